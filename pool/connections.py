"""The one task that owns every socket.

It accepts, reads, writes through, queues what a socket will not take, and
closes. What the bytes mean is the business of the protocol object of each
connection, which is called synchronously and answers with `Connection.write`.
A Trio task waits on one selector that holds all the sockets, so an idle
connection costs an object and not a task, and a busy moment costs one
rescheduling and not one a connection.

It refuses to wait for a peer: what cannot be sent at once is queued up to a
bound and a deadline, and past either the connection is closed.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Final, final

import trio

from pool.connection import NOBODY, Callback, Connection, ConnectionProtocol
from pool.polling import READ, WRITE, open_selector
from pool.settings import setting
from pool.timers import Timer, Timers

# How long sockets are served before Trio gets its turn, so that under load many share
# what a turn costs; and how many between two looks at the clock: a handshake takes
# a fifth of a millisecond, a message a hundredth.
_SECONDS_PER_TURN: Final = 0.01
_EVENTS_PER_POLL: Final = 64
_ACCEPTS_PER_EVENT: Final = 64
_FLUSH_ROUNDS: Final = 8
_TICK_SECONDS: Final = 0.05
# For how long a stall is told: scrapes come every 15 seconds or less.
_STALLS_SECONDS: Final = 15.0
_OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Limits on connections, for all ports together."""

    maximum: int = setting(
        16_384, "Open connections in all; more are refused with 503.", unit="connections", minimum=1
    )
    per_address: int = setting(
        16_384,
        "Open connections from one peer address; more are refused with 503.",
        unit="connections",
        minimum=1,
    )
    outbox_bytes: int = setting(
        4 * 1024 * 1024,
        "Bytes waiting for a peer that does not read; past it the connection is closed.",
        unit="bytes",
        minimum=64 * 1024,
    )
    send_seconds: float = setting(
        10.0, "How long a peer may take nothing of what waits for it.", unit="seconds", minimum=0.1
    )
    accept_pause_seconds: float = setting(
        0.5,
        "How long no connection is accepted after the process ran out of file descriptors.",
        unit="seconds",
        minimum=0.01,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """A moment of the one task, for metrics and tests."""

    open: int
    accepted: int
    refused: int
    slow_consumers: int
    failures: int
    outbox_bytes: int
    blocked: int
    accepting: bool
    turns: int
    reads: int
    sends: int
    timers: int
    lag: float
    #: The longest lag in the last `_STALLS_SECONDS` to twice as long.
    stall: float


ProtocolFactory = Callable[["Connection"], ConnectionProtocol]
OnFailure = Callable[["Connection | None", Exception], None]


@final
class _Listener:
    """A listening socket and what its connections speak."""

    __slots__ = ("factory", "refusal", "sock")

    def __init__(self, sock: socket.socket, factory: ProtocolFactory, refusal: bytes) -> None:
        self.sock = sock
        self.factory = factory
        self.refusal = refusal


@final
class Connections:
    """All connections of the process, and the task that serves them."""

    def __init__(self, settings: Settings, timers: Timers[Callback], on_failure: OnFailure) -> None:
        self.settings = settings
        self.timers = timers
        self.selector = open_selector()
        self.accepted = self.refused = self.slow_consumers = self.failures = 0
        self.reads = self.sends = self.turns = 0
        self._on_failure = on_failure
        self._listeners: dict[int, _Listener] = {}
        # By descriptor.
        self._open: dict[int, Connection] = {}
        self._by_address: dict[str, int] = {}
        #: Connections with something to send, and whether a turn will send it.
        self.unsent: list[Connection] = []
        self.in_turn = False
        self._accepting = True
        self._retry: Timer[Callback] | None = None
        self._lag = 0.0
        # The longest lag in this period, and in the one before.
        self._stall = self._stall_before = 0.0
        self._period_ends = timers.now() + _STALLS_SECONDS

    def listen(
        self, sock: socket.socket, factory: ProtocolFactory, *, refusal: bytes = b""
    ) -> None:
        """Accept from a bound socket; ``refusal`` is sent to whom a cap turns away."""
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.listen(4096)
        self._listeners[sock.fileno()] = _Listener(sock, factory, refusal)
        self.selector.register(sock.fileno(), READ)

    def stop_listening(self) -> None:
        """Accept nobody from now on; who is connected stays."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for number, listener in self._listeners.items():
            if self._accepting:
                self.selector.unregister(number)
            listener.sock.close()
        self._listeners.clear()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then every connection is closed at once."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(self.selector)
                    self.turns += 1
                    self._take_turn()
        finally:
            self.stop_listening()
            for connection in list(self._open.values()):
                connection.abort()
            self.selector.close()

    async def wait_until_sent(self) -> None:
        """Return when nothing that was written still waits for its peer."""
        # Once in a process: an event would cost every send something.
        while any(connection.outbox_bytes for connection in self._open.values()):  # noqa: ASYNC110 - at the end only
            await trio.sleep(_TICK_SECONDS)

    def statistics(self) -> ConnectionStatistics:
        """Return a moment of this object as numbers."""
        waiting = [c.outbox_bytes for c in self._open.values() if c.outbox_bytes]
        return ConnectionStatistics(
            open=len(self._open),
            accepted=self.accepted,
            refused=self.refused,
            slow_consumers=self.slow_consumers,
            failures=self.failures,
            outbox_bytes=sum(waiting),
            blocked=len(waiting),
            accepting=self._accepting,
            turns=self.turns,
            reads=self.reads,
            sends=self.sends,
            timers=len(self.timers),
            lag=self._lag,
            stall=max(self._stall, self._stall_before),
        )

    def _take_turn(self) -> None:
        now = trio.current_time()
        self._expire(now)
        end = now + _SECONDS_PER_TURN
        while now < end:
            ready = self.selector.poll(0, _EVENTS_PER_POLL)
            if not ready:
                return
            self._serve(ready)
            now = trio.current_time()

    def _serve(self, ready: Sequence[tuple[int, int]]) -> None:
        self.in_turn = True
        for number, events in ready:
            # Who was closed since they were ready is gone. A newcomer may have their
            # descriptor: it finds nothing to read, and nothing is lost.
            connection = self._open.get(number)
            if connection is None:
                listener = self._listeners.get(number)
                if listener is not None:
                    self._accept(listener)
                continue
            try:
                if events != WRITE:
                    connection.readable()
                if events & WRITE:
                    connection.flush()
            except Exception as error:  # noqa: BLE001 - the connection boundary
                self._failed(connection, error)
        self.flush()

    def flush(self) -> None:
        """Send what this turn wrote; whoever hears `drained` may write more, for some rounds.

        What is left after them leaves with the next turn or tick of the clock.
        """
        self.in_turn = True
        for _ in range(_FLUSH_ROUNDS):
            if not self.unsent:
                break
            unsent, self.unsent = self.unsent, []
            for connection in unsent:
                try:
                    connection.flush()
                except Exception as error:  # noqa: BLE001 - the connection boundary
                    self._failed(connection, error)
        self.in_turn = False

    def _expire(self, now: float) -> None:
        """Call what is due on the timers; they belong to connections, as their failures do."""
        self.in_turn = True
        for callback in self.timers.due(now):
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - the connection boundary
                self.failures += 1
                self._on_failure(None, error)
        self.flush()

    def _failed(self, connection: Connection, error: Exception) -> None:
        self.failures += 1
        self._on_failure(connection, error)
        connection.abort()

    async def _keep_time(self) -> None:
        """Call what is due on the timers, and measure how late the loop is."""
        while True:
            before = trio.current_time()
            await trio.sleep(_TICK_SECONDS)
            now = trio.current_time()
            self._note_lag(now, max(0.0, now - before - _TICK_SECONDS))
            self._expire(now)

    def _note_lag(self, now: float, lag: float) -> None:
        self._lag = lag
        if now >= self._period_ends:
            self._stall_before, self._stall = self._stall, 0.0
            self._period_ends = now + _STALLS_SECONDS
        self._stall = max(self._stall, lag)

    def _accept(self, listener: _Listener) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Anything else (ECONNABORTED ...) is the peer's failure.
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause_accepting()
                    return
                continue
            self._admit(listener, sock, address[0] if isinstance(address, tuple) else "")

    def _admit(self, listener: _Listener, sock: socket.socket, peer: str) -> None:
        count = self._by_address.get(peer, 0)
        sock.setblocking(False)  # noqa: FBT003 - as above
        if len(self._open) >= self.settings.maximum or count >= self.settings.per_address:
            self.refused += 1
            _refuse(sock, listener.refusal)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        self._by_address[peer] = count + 1
        connection = Connection(self, sock, peer)
        self._open[connection.number] = connection
        self.selector.register(connection.number, READ)
        connection.protocol = listener.factory(connection)

    def lost(self, connection: Connection) -> None:
        """Let go of a connection that has just closed; it calls this itself."""
        del self._open[connection.number]
        count = self._by_address[connection.peer] - 1
        if count:
            self._by_address[connection.peer] = count
        else:
            del self._by_address[connection.peer]
        protocol = connection.protocol
        # The two hold each other: that would be left to the collector, whose pauses grow
        # with the number of connections.
        connection.protocol = NOBODY
        protocol.connection_lost()

    def _pause_accepting(self) -> None:
        if not self._accepting:
            return
        self._accepting = False
        for number in self._listeners:
            self.selector.unregister(number)
        self._retry = self.timers.arm(self.settings.accept_pause_seconds, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._retry = None
        self._accepting = True
        for number in self._listeners:
            self.selector.register(number, READ)


def _refuse(sock: socket.socket, refusal: bytes) -> None:
    """Say why, as far as the socket takes it at once, and close."""
    try:
        if refusal:
            sock.send(refusal)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    sock.close()
