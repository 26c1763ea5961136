"""The loop that drives connections under load, and what it counts.

It knows nothing of what they say: that is the peers' own business.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from loadtest import requests
from loadtest.tally import Tally
from pool.polling import READ, WRITE, Selector, open_selector

# Past 128 KiB glibc maps and unmaps a buffer for every read, which costs more than the read.
_READ_BYTES: Final = 64 * 1024
# How many sockets are looked at between two looks at the clock: handshakes cost the most.
_EVENTS: Final = 256
_SELECTABLE: Final = 1024
_DRAIN_TURN_SECONDS: Final = 0.05
# Tokens of one process before they would be those of the next: a day at 100,000 a second.
_TOKENS: Final = 10_000_000_000
# Below this the selector's millisecond is too coarse to be on time.
_SHORT_SECONDS: Final = 0.002


class Peer(Protocol):
    """One connection under load."""

    sock: socket.socket

    def ready(self) -> None:
        """Take what has arrived."""

    def owed(self) -> int:
        """Return how many replies are still to come."""

    def gone(self, why: bytes) -> bool:
        """Take leave of the connection; return whether the server is to blame.

        Whoever opens another one does so here, or from a timer.
        """


class Load:
    """The loop. Everything happens inside `run` and `drain`.

    ``part`` is the number of this load among those that share a server: tokens
    of different parts differ.
    """

    def __init__(self, drain_seconds: float = 5.0, part: int = 0) -> None:
        self._drain_seconds = drain_seconds
        self.tally = Tally()
        self.asking = False
        self.cpu_share = 0.0
        #: The longest turn, or the most by which a timer was late, until somebody resets it.
        self.lag = 0.0
        self.peers: list[Peer] = []
        self._by_number: dict[int, Peer] = {}
        self._outboxes: dict[int, bytes] = {}
        self._selector = open_selector()
        self._next_token = requests.FIRST_TOKEN + part * _TOKENS
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._stopped = False

    def add(self, peer: Peer) -> None:
        """Drive this connection from now on."""
        self.peers.append(peer)
        self.drive(peer)

    def drive(self, peer: Peer) -> None:
        """Drive the connection that this peer has now; its owner keeps the peer."""
        peer.sock.settimeout(0)
        self._by_number[peer.sock.fileno()] = peer
        self._selector.register(peer.sock.fileno(), READ)

    def release(self, sock: socket.socket) -> None:
        """Drive this connection no more; nobody is told, and what was not sent is dropped."""
        number = sock.fileno()
        if self._by_number.pop(number, None) is not None:
            self._outboxes.pop(number, None)
            self._selector.unregister(number)

    def at(self, when: float, call: Callable[[float], None]) -> None:
        """Call with the time, at a time of `time.perf_counter`; it cannot be taken back."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def stop(self) -> None:
        """Let `run` return at the end of this turn."""
        self._stopped = True

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
            self.send_later(sock, data[sent:])

    def send_later(self, sock: socket.socket, data: bytes) -> None:
        """Send when the socket takes it: when it is connected, if it is not yet."""
        self._outboxes[sock.fileno()] = data
        self._selector.modify(sock.fileno(), READ | WRITE)

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
        """Tell a peer that the server serves it no more, count that, and drive it no more."""
        peer = self._by_number.get(sock.fileno())
        if peer is not None:
            self.release(sock)
            if peer.gone(why):
                self.tally.refuse(why)

    def run(self, seconds: float) -> float:
        """Drive everybody for this long, or until `stop`; return how long it took."""
        self._stopped = False
        begun, cpu = time.perf_counter(), time.process_time()
        end = begun + seconds
        now = begun
        while now < end and not self._stopped:
            self._turn(end - now)
            now = time.perf_counter()
        self.cpu_share = (time.process_time() - cpu) / max(now - begun, 1e-9)
        return now - begun

    def open_window(self) -> None:
        """Forget what was counted so far, but no failure."""
        self.tally.answered = self.tally.frames = self.tally.streamed = 0
        self.tally.seconds = []

    def drain(self) -> None:
        """Ask no more, and wait (bounded) for what is still owed; what never comes is lost."""
        self.asking = False
        end = time.perf_counter() + self._drain_seconds
        while self.owed() and time.perf_counter() < end:
            self._turn(_DRAIN_TURN_SECONDS)
        self.tally.lost += self.owed()

    def owed(self) -> int:
        """Return how many replies are still to come, to everybody."""
        return sum(peer.owed() for peer in self.peers)

    def close(self) -> None:
        """Leave."""
        for peer in (*self.peers, *self._by_number.values()):
            peer.sock.close()
        self._selector.close()

    def _turn(self, seconds: float) -> None:
        if self._timers:
            seconds = min(seconds, max(0.0, self._timers[0][0] - time.perf_counter()))
            if 0 < seconds < _SHORT_SECONDS:
                _nap(self._selector, seconds)
                seconds = 0
        by_number = self._by_number
        ready = self._selector.poll(seconds, _EVENTS)
        begun = time.perf_counter()
        for number, events in ready:
            if events & WRITE:
                self._flush(number)
            if events != WRITE and (peer := by_number.get(number)) is not None:
                peer.ready()
        if self._timers:
            self._fire(begun)
        self.lag = max(self.lag, time.perf_counter() - begun)

    def _fire(self, begun: float) -> None:
        timers = self._timers
        if timers[0][0] < begun:
            self.lag = max(self.lag, begun - timers[0][0])
        # What a timer arms for at once waits for the next turn: sockets have theirs in between.
        now = time.perf_counter()
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2](now)

    def _flush(self, number: int) -> None:
        peer = self._by_number.get(number)
        if peer is None:
            # Released in this very turn.
            return
        data = self._outboxes.pop(number, b"")
        self._selector.modify(number, READ)
        if data:
            self.send(peer.sock, data)


def _nap(selector: Selector, seconds: float) -> None:
    """Wait until somebody is ready, or this long, to the microsecond where possible.

    epoll counts in milliseconds and select in microseconds, and what watches sockets can
    itself be selected. It was opened early: select ends at 1,024.
    """
    if selector.fileno() < _SELECTABLE:
        select.select((selector,), (), (), seconds)


@contextlib.contextmanager
def opened_load() -> Iterator[Load]:
    """Yield a load whose connections end with the block."""
    load = Load()
    try:
        yield load
    finally:
        load.close()
