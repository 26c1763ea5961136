"""A connection without a socket, for protocol objects: what they write is kept, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pool.connection import Connection, ConnectionProtocol
from pool.timers import Timers


class Wire:
    """Stands where `pool.connections.Connection` does; the peer is the test."""

    def __init__(self) -> None:
        self.sent = b""
        self.outbox_bytes = 0
        self.outbox_limit = 64 * 1024
        self.peer = "127.0.0.1"
        self.closing = False
        self.aborted = False
        self.is_idle = False
        self.reading = True
        self.tell_when_drained = False
        #: Whether an address that a proxy tells may have one more connection.
        self.may_be_named = True
        self.protocol: ConnectionProtocol

    @property
    def is_open(self) -> bool:
        return not (self.closing or self.aborted)

    def write(self, data: bytes) -> None:
        if self.is_open:
            self.sent += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.protocol.connection_lost()

    def name_peer(self, peer: str) -> bool:
        self.peer = peer
        return self.may_be_named

    def stay(self) -> None:
        self.is_idle = False

    def has_unread(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def taken(self) -> bytes:
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, b""
        return sent

    def speak(self, make: Callable[[Connection], Any]) -> Any:
        """Make the protocol of this connection, and return it."""
        self.protocol = make(cast("Connection", self))
        return self.protocol


class Clock:
    """A wheel of timers that the test turns."""

    def __init__(self) -> None:
        self.timers: Timers[Callable[[], None]] = Timers(1000.0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, calling what comes due."""
        end = self.timers.now() + seconds
        while self.timers.now() < end:
            for callback in self.timers.due(min(end, self.timers.now() + 0.05)):
                callback()
