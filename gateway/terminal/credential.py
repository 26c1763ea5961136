"""The credential of a command: from the environment or a file, never from its arguments."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

#: The environment variable that has it.
VARIABLE: Final = "FRONTEND_ROUTER_TOKEN"
_LONGEST: Final = 16 * 1024


class CredentialFileError(Exception):
    """The credential cannot be read; the message says why."""


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Declare where the credential is."""
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"Has the API key or access token; or it is in {VARIABLE}.",
    )


def credential(options: argparse.Namespace) -> str:
    """Return the credential, or an empty text where there is none.

    Raises:
        CredentialFileError: the file that was named has none.
    """
    if not options.token_file:
        return _visible(os.environ.get(VARIABLE, ""), VARIABLE)
    path = Path(options.token_file)
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace").strip()
    except OSError as error:
        raise CredentialFileError(f"{path} cannot be read: {error.strerror}") from None
    if not text:
        raise CredentialFileError(f"{path} is empty; it should have an API key or access token")
    return _visible(text, str(path))


def _visible(text: str, where: str) -> str:
    if not all("!" <= character <= "~" for character in text):
        raise CredentialFileError(f"{where} has no API key or access token: they are one line")
    return text
