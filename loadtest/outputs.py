"""What a run leaves behind: words for whoever waited for it, and files.

What cannot be written is said, before the load where that can be seen; nothing
that can be said is kept back because of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def check(name: str) -> None:
    """Look whether a file of this name can be written, and leave all as it is.

    Raises:
        ValueError: it cannot; the message says why.
    """
    try:
        _try(Path(name))
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror or error}") from None


def _try(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path}: it is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    is_new = not path.exists()
    # What is no file, a pipe for one, is opened once: when there is something to write.
    if is_new or path.is_file():
        path.open("ab").close()
    if is_new:
        path.unlink()


def leave(text: str, files: Sequence[tuple[str, Callable[[], bytes]]]) -> list[str]:
    """Print this and write these files; return which could not be written, and why."""
    failures = []
    # Words first: they need no disk, and a run of a day is not to end without any.
    say(text)
    for name, content in files:
        try:
            Path(name).write_bytes(content())
        except OSError as error:
            failures.append(f"{name}: {error.strerror or error}")
    return failures


def say(text: str) -> None:
    """Print this to whoever still reads; the exit status says the same of a run without it."""
    try:
        # Flushed where it can be caught, and not when the process ends.
        print(text, flush=True)
    except BrokenPipeError:
        # Whoever read what we print has left. What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
