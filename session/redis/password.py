"""The password that a file has, for whoever logs in to Redis: a gateway, or a command."""

from __future__ import annotations

from pathlib import Path


class PasswordFileError(Exception):
    """The file cannot be read; the message says why."""


def password_in(file: str) -> str:
    """Return the password that a file has.

    Raises:
        PasswordFileError: the file cannot be read.
    """
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PasswordFileError(f"--redis-password-file {file} cannot be read: {why}") from None
