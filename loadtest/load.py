"""The loop that drives connections under load, and what it counts.

It knows nothing of what they say: that is `loadtest.drivers`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Iterator
from typing import Final, Protocol

from loadtest import requests
from pool.polling import READ, WRITE, open_selector

# Past 128 KiB glibc maps and unmaps a buffer for every read, which costs more than the read.
_READ_BYTES: Final = 64 * 1024
# How many sockets are looked at between two looks at the clock.
_EVENTS: Final = 1024
_DRAIN_TURN_SECONDS: Final = 0.05


@dataclasses.dataclass(slots=True)
class Tally:
    """What happened; all of it since the window was opened, but the failures since the start."""

    answered: int = 0
    frames: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    streamed: int = 0
    #: An answer to another question than the one that was asked.
    crossed: int = 0
    #: Refused, or a connection that the server closed.
    refused: int = 0
    #: Asked and never answered; known when the load is over.
    lost: int = 0
    first_refusal: bytes = b""

    @property
    def failures(self) -> int:
        """How often the server did not do what it was asked."""
        return self.crossed + self.refused + self.lost


class Peer(Protocol):
    """One connection under load."""

    sock: socket.socket

    def ready(self) -> None:
        """Take what has arrived."""

    def owed(self) -> int:
        """Return how many replies are still to come."""


class Load:
    """The loop. Peers are added before it runs; everything happens inside `run` and `drain`."""

    def __init__(self, drain_seconds: float = 5.0) -> None:
        self._drain_seconds = drain_seconds
        self.tally = Tally()
        self.asking = False
        self.cpu_share = 0.0
        self.peers: list[Peer] = []
        self._by_number: dict[int, Peer] = {}
        self._outboxes: dict[int, bytes] = {}
        self._selector = open_selector()
        self._next_token = requests.FIRST_TOKEN

    def add(self, peer: Peer) -> None:
        """Drive this connection from now on."""
        peer.sock.settimeout(0)
        self.peers.append(peer)
        self._by_number[peer.sock.fileno()] = peer
        self._selector.register(peer.sock.fileno(), READ)

    def token(self) -> bytes:
        """Return a token that nobody else in this load has."""
        self._next_token += 1
        return b"%d" % self._next_token

    def send(self, sock: socket.socket, data: bytes) -> None:
        """Send now what the socket takes, and the rest when it takes more."""
        number = sock.fileno()
        waiting = self._outboxes.get(number)
        if waiting is not None:
            self._outboxes[number] = waiting + data
            return
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.refused(sock, str(error).encode())
            return
        if sent < len(data):
            self._outboxes[number] = data[sent:]
            self._selector.modify(number, READ | WRITE)

    def receive(self, sock: socket.socket) -> bytes | None:
        """Return what has arrived, or ``None`` when that is nothing, or the end."""
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self.refused(sock, str(error).encode())
            return None
        if data:
            return data
        self.refused(sock, b"the server closed the connection")
        return None

    def refused(self, sock: socket.socket, why: bytes) -> None:
        """Count a peer that the server did not serve, and drive it no more."""
        self.tally.refused += 1
        self.tally.first_refusal = self.tally.first_refusal or why[:300]
        number = sock.fileno()
        if self._by_number.pop(number, None) is not None:
            self._selector.unregister(number)

    def run(self, seconds: float) -> float:
        """Drive everybody for this long; return how long it took."""
        begun, cpu = time.perf_counter(), time.process_time()
        end = begun + seconds
        now = begun
        while now < end:
            self._turn(end - now)
            now = time.perf_counter()
        self.cpu_share = (time.process_time() - cpu) / (now - begun)
        return now - begun

    def open_window(self) -> None:
        """Forget what was counted so far, but no failure."""
        self.tally.answered = self.tally.frames = self.tally.streamed = 0
        self.tally.seconds = []

    def drain(self) -> None:
        """Ask no more, and wait (bounded) for what is still owed; what never comes is lost."""
        self.asking = False
        end = time.perf_counter() + self._drain_seconds
        # Who was refused has been counted.
        served = self._by_number.values()
        while any(peer.owed() for peer in served) and time.perf_counter() < end:
            self._turn(_DRAIN_TURN_SECONDS)
        self.tally.lost += sum(peer.owed() for peer in served)

    def close(self) -> None:
        """Leave."""
        for peer in self.peers:
            peer.sock.close()
        self._selector.close()

    def _turn(self, seconds: float) -> None:
        by_number = self._by_number
        for number, events in self._selector.poll(seconds, _EVENTS):
            if events & WRITE:
                self._flush(number)
            if events != WRITE and (peer := by_number.get(number)) is not None:
                peer.ready()

    def _flush(self, number: int) -> None:
        data = self._outboxes.pop(number, b"")
        self._selector.modify(number, READ)
        peer = self._by_number.get(number)
        if data and peer is not None:
            self.send(peer.sock, data)


@contextlib.contextmanager
def opened_load() -> Iterator[Load]:
    """Yield a load whose connections end with the block."""
    load = Load()
    try:
        yield load
    finally:
        load.close()
