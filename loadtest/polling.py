"""Which sockets are ready, for as little as the system can tell it.

epoll where it is, else what the `selectors` module finds: its wrapping costs
about as much as a send, which a driver of load cannot spare.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Sequence
from typing import Final, Protocol

#: The bit in the events of `Selector.poll` that says so; all others mean something to read.
WRITE: Final = 4
_SELECTABLE: Final = 1024


class Selector(Protocol):
    """Descriptors that are watched for reading, and some of them for writing."""

    def register(self, number: int) -> None:
        """Watch a descriptor for reading."""

    def unregister(self, number: int) -> None:
        """Watch it no more."""

    def modify(self, number: int, *, writing: bool) -> None:
        """Watch it for writing, too, or no longer."""

    def poll(self, seconds: float) -> Sequence[tuple[int, int]]:
        """Return who is ready, after this long at most; rounded up to a millisecond."""

    def nap(self, seconds: float) -> None:
        """Wait until somebody is ready, or this long, to the microsecond where possible."""

    def close(self) -> None:
        """Let go of the system's part."""


class _Anywhere:
    """The selector of systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close

    def register(self, number: int) -> None:
        self._selector.register(number, selectors.EVENT_READ)

    def unregister(self, number: int) -> None:
        self._selector.unregister(number)

    def modify(self, number: int, *, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(number, events)

    def nap(self, seconds: float) -> None:
        self._selector.select(seconds)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return [
            (key.fd, (events & selectors.EVENT_READ) | (events & selectors.EVENT_WRITE) << 1)
            for key, events in self._selector.select(seconds)
        ]


if hasattr(select, "epoll"):

    class _Epoll:
        """epoll itself: the selectors module would cost as much as a send."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.poll = self._epoll.poll
            self.close = self._epoll.close
            self.unregister = self._epoll.unregister

        def nap(self, seconds: float) -> None:
            # epoll_wait counts in milliseconds, select in microseconds, and an epoll
            # can itself be selected. It was opened early: select ends at 1,024.
            if self._epoll.fileno() < _SELECTABLE:
                select.select((self._epoll,), (), (), seconds)

        def register(self, number: int) -> None:
            self._epoll.register(number, select.EPOLLIN)

        def modify(self, number: int, *, writing: bool) -> None:
            self._epoll.modify(number, select.EPOLLIN | (select.EPOLLOUT if writing else 0))


def open_selector() -> Selector:
    """Return the cheapest selector of this system."""
    return _Epoll() if hasattr(select, "epoll") else _Anywhere()
