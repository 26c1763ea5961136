"""Connections that are opened inside the loop, by the thousand, and that come back.

A line is dialled, goes through its handshake and is handed over; when that
fails, or the connection is cut, it is dialled again after a random pause whose
limit doubles. It counts refused handshakes, and refuses to judge them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import random  # noqa: TID251 - pauses that differ, not secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from loadtest.handshakes import Handshake, PeerError
from loadtest.load import Load
from loadtest.places import Place

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 15.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 8.0
# Handshakes under way at once while everybody joins: more would overflow the server's backlog.
_AT_ONCE: Final = 128

#: What somebody has who was not connected yet.
NOWHERE: Final = socket.socket()
NOWHERE.close()


class Route(NamedTuple):
    """From where to where."""

    place: Place
    #: The address to come from; empty: the system chooses.
    source: str = ""
    #: How much the system shall receive ahead; 0: as much as it likes.
    receive_bytes: int = 0


@dataclasses.dataclass(slots=True)
class Dialled:
    """How dialling went, for all lines together."""

    opened: int = 0
    refused: int = 0
    last_refusal: str = ""


class Line(Generic[T]):
    """One connection, again and again."""

    def __init__(
        self,
        load: Load,
        route: Route,
        handshake: Callable[[], Handshake[T]],
        opened: Callable[[socket.socket, T], None],
        dialled: Dialled,
    ) -> None:
        self._load = load
        self._route = route
        self._handshake = handshake
        self._opened = opened
        self._dialled = dialled
        self._pause = _FIRST_PAUSE_SECONDS
        #: Called once, when it was opened for the first time.
        self.joined: Callable[[], None] = _nothing

    def open(self, _now: float = 0.0) -> None:
        """Dial now."""
        try:
            sock = _connecting(self._route)
        except OSError as error:
            self.failed(str(error))
            return
        _Dialling(self._load, sock, self._handshake(), self)

    def again(self) -> None:
        """Dial after a pause."""
        pause = random.uniform(0, self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._load.at(time.perf_counter() + pause, self.open)

    def failed(self, why: str) -> None:
        """Count a handshake that came to nothing, and dial again."""
        self._dialled.refused += 1
        self._dialled.last_refusal = why
        self.again()

    def succeeded(self, sock: socket.socket, agreed: T) -> None:
        """Hand the connection over."""
        self._dialled.opened += 1
        self._pause = _FIRST_PAUSE_SECONDS
        self._opened(sock, agreed)
        joined, self.joined = self.joined, _nothing
        joined()


class _Dialling(Generic[T]):
    """One attempt."""

    def __init__(
        self, load: Load, sock: socket.socket, handshake: Handshake[T], line: Line[T]
    ) -> None:
        self.sock = sock
        self._load = load
        self._handshake = handshake
        self._line = line
        self._over = False
        load.drive(self)
        load.send_later(sock, next(handshake))
        load.at(time.perf_counter() + _PATIENCE_SECONDS, self._expire)

    def owed(self) -> int:
        """Return 0: nobody has asked yet."""
        return 0

    def ready(self) -> None:
        """Take a part of the handshake."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        try:
            message = self._handshake.send(data)
        except StopIteration as agreed:
            self._over = True
            self._load.release(self.sock)
            self._line.succeeded(self.sock, agreed.value)
        except PeerError as error:
            self._load.refused(self.sock, str(error).encode())
        else:
            if message:
                self._load.send(self.sock, message)

    def gone(self, why: bytes) -> bool:
        """Fail; that is counted with the handshakes."""
        self._over = True
        self.sock.close()
        self._line.failed(why.decode(errors="replace"))
        return False

    def _expire(self, _now: float) -> None:
        if not self._over:
            self._load.refused(self.sock, b"no reply to the handshake")


class Joining:
    """Everybody's first connection, so many handshakes at a time."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._waiting: deque[Line[bytes]] = deque()
        self._done = done
        self.joined = 0
        self.missing = 0

    def add(self, line: Line[bytes]) -> None:
        """Have this line opened, too, once it is its turn."""
        self.missing += 1
        line.joined = self._joined
        self._waiting.append(line)

    def begin(self) -> None:
        """Dial the first ones; each that is there lets the next one go."""
        if not self.missing:
            self._done()
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            self._waiting.popleft().open()

    def _joined(self) -> None:
        self.joined += 1
        self.missing -= 1
        if self._waiting:
            self._waiting.popleft().open()
        elif not self.missing:
            self._done()


def _nothing() -> None:
    """Do nothing: who joined before."""


@functools.cache
def _address(place: Place) -> tuple[socket.AddressFamily, tuple[str, int]]:
    return place.socket_address()


def _connecting(route: Route) -> socket.socket:
    family, address = _address(route.place)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if route.receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, route.receive_bytes)
        if route.source:
            # A port is chosen when it connects, so that one may serve several targets.
            if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((route.source, 0))
        problem = sock.connect_ex(address)
        if problem not in (0, errno.EINPROGRESS):
            raise OSError(problem, os.strerror(problem))
        stack.pop_all()
    return sock
