"""A file that somebody edits while we run: read when it is another one, or changed."""

from __future__ import annotations

from pathlib import Path

#: What tells one state of a file from another.
State = tuple[int, int, int]


class UnreadableError(Exception):
    """A file cannot be read; the message says why."""


def read_if_changed(path: str, seen: State | None, most: int) -> tuple[State, bytes] | None:
    """Return the state of a file and at most so many bytes of it, or `None` if it is as seen.

    This waits for a disk.

    Raises:
        UnreadableError: it cannot be read, or is longer.
    """
    file_path = Path(path)
    try:
        found = file_path.stat()
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if state == seen:
            return None
        with file_path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UnreadableError(f"it cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise UnreadableError(f"it is longer than {most} bytes")
    return state, data
