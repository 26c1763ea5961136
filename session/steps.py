"""Work that is done in steps, for others to have their turn between them.

Pure module. What is small is done in one go. `gateway.large` drives what is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Final, Protocol, TypeVar

T = TypeVar("T")
#: Yields after each step, and returns what came of them in the end.
Steps = Generator[None, None, T]

#: What is done in one go, in bytes: tests hold every shape of so many to next to no time.
WHOLE: Final = 1024 * 1024
#: What a step works on, in bytes or characters.
PIECE: Final = 64 * 1024


class Stepper(Protocol):
    """Whoever does work in steps for a tenant, beside everything else (`gateway.large`)."""

    def __call__(self, tenant: str, steps: Steps[T], /) -> Awaitable[T]:
        """Return what comes of it, for whoever awaits that.

        Raises in whoever awaits it:
            StoreUnavailableError: too much waits to be done; nothing was.
        """


async def at_once(_tenant: str, steps: Steps[T]) -> T:
    """Be a `Stepper` where nobody else waits, or nothing is large."""
    return in_one_go(steps)


def in_one_go(steps: Steps[T]) -> T:
    """Do all steps at once, for what turned out to be small."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
