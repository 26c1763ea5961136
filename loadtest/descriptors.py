"""How many files, and so connections, a process may have open."""

from __future__ import annotations

import resource
from typing import Final

# What a process needs beside its connections.
_SPARE: Final = 500


def allow_many() -> None:
    """Let this process, and those that it starts, open as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections(wanted: int) -> int:
    """Return how many connections of these a process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - _SPARE))


def possible(wanted: int) -> int:
    """Allow many, and return how many connections of these there can be, saying so if fewer."""
    allow_many()
    count = connections(wanted)
    if count < wanted:
        print(f"descriptors suffice for {count} connections instead of {wanted}")
    return count
