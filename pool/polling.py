"""Which sockets are ready, for as little as the system can tell it.

epoll where it is, else what the `selectors` module finds: its wrapping costs
about as much as a send, which the task that owns every socket cannot spare.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Sequence
from typing import Final, Protocol

#: The bits of what a descriptor is watched for, and of what `Selector.poll` says of it. A
#: peer that is gone may show as another bit, or as both: reading tells.
READ: Final = 1
WRITE: Final = 4


class Selector(Protocol):
    """Descriptors that are watched. It can be waited for itself: it has a ``fileno``."""

    def register(self, number: int, events: int, /) -> None:
        """Watch a descriptor for some of the events, at least one."""

    def unregister(self, number: int, /) -> None:
        """Watch it no more."""

    def modify(self, number: int, events: int, /) -> None:
        """Watch it for these events instead."""

    def poll(self, seconds: float, limit: int, /) -> Sequence[tuple[int, int]]:
        """Return who is ready, and for what, after this long at most.

        The next call begins with those that ``limit`` left out.
        """

    def fileno(self) -> int:
        """Return a descriptor that is readable when something is ready."""

    def close(self) -> None:
        """Let go of the system's part."""


class _Anywhere:
    """The selector of systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._left: list[tuple[int, int]] = []
        self.close = self._selector.close

    def register(self, number: int, events: int, /) -> None:
        self._selector.register(number, _translated(events))

    def modify(self, number: int, events: int, /) -> None:
        self._selector.modify(number, _translated(events))

    def unregister(self, number: int, /) -> None:
        self._selector.unregister(number)

    def poll(self, seconds: float, limit: int, /) -> list[tuple[int, int]]:
        if not self._left:
            self._left = [
                (key.fd, (events & selectors.EVENT_READ) | (events & selectors.EVENT_WRITE) << 1)
                for key, events in self._selector.select(seconds)
            ]
        ready, self._left = self._left[:limit], self._left[limit:]
        return ready

    def fileno(self) -> int:
        number: int = self._selector.fileno()
        return number


def _translated(events: int) -> int:
    return (events & READ) | (events & WRITE) >> 1


def open_selector() -> Selector:
    """Return the cheapest selector of this system."""
    return select.epoll() if hasattr(select, "epoll") else _Anywhere()
