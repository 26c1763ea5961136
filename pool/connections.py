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

import socket
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, final

import trio

from pool.addresses import Addresses
from pool.anteroom import Anteroom
from pool.connection import (
    NOBODY,
    Callback,
    Connection,
    IsProxy,
    Listener,
    ProtocolFactory,
    make_room,
)
from pool.connection_settings import Settings
from pool.doors import Doors
from pool.flusher import Flusher
from pool.gathering import PAUSE_SECONDS, Gathering
from pool.lag import Lag
from pool.polling import READ, WRITE, open_selector
from pool.refusal import refuse
from pool.runnable import Runnable
from pool.statistics import ConnectionStatistics
from pool.ticker import TICK_SECONDS, Ticker
from pool.timers import Timers

# How long sockets are served before Trio gets its turn, so that under load many share what a
# turn costs; and how much is done between two looks at the clock: a handshake takes a fifth of a
# millisecond, and so does the end of a connection.
_SECONDS_PER_TURN: Final = 0.005
_READ_PER_LOOK: Final = 8
_HEARD_PER_LOOK: Final = 4
_CALLED_PER_LOOK: Final = 16
_FLUSH_ROUNDS: Final = 8


OnFailure = Callable[["Connection | None", Exception], None]


@final
class Connections:
    """All connections of the process, and the task that serves them."""

    def __init__(self, settings: Settings, timers: Timers[Callback], on_failure: OnFailure) -> None:
        self.settings = settings
        self.timers = timers
        self.selector = open_selector()
        self.accepted = self.refused = 0
        self.slow_consumers = self.failures = 0
        self.reads = self.sends = self.turns = 0
        self._on_failure = on_failure
        # By descriptor.
        self._open: dict[int, Connection] = {}
        self._addresses = Addresses()
        self._ours = 0
        #: Those who may have to go for others.
        self.idle: Anteroom[Connection] = Anteroom()
        #: Connections with something to send, and whether a turn will send it.
        self.unsent: list[Connection] = []
        self.in_turn = False
        # What else is to be written before that is sent.
        self._last_words: list[Callback] = []
        self._flusher = Flusher(self.flush)
        # Who was read, latest first, and is yet to be heard.
        self._unheard: list[Connection] = []
        #: Tells how long something takes. Trio's clock is interpreted, and read in the midst
        #: of messages its code would take their place in the processor's cache.
        self.stopwatch: Callable[[], float] = perf_counter
        self._turn_ended = 0.0
        self._runnable = Runnable()
        self.gathering = Gathering(self._runnable.tasks)
        self._doors = Doors(self.selector, timers, self._admit, settings.accept_pause_seconds)
        self._lag = Lag(timers.now())
        self._ticker = Ticker(timers)

    def listen(
        self,
        sock: socket.socket,
        factory: ProtocolFactory,
        *,
        refusal: bytes = b"",
        is_proxy: IsProxy = lambda _peer: False,
    ) -> None:
        """Accept from a bound socket; ``refusal`` is sent to whom a cap turns away.

        A proxy has as many connections as there may be in all: see `Connection.name_peer`.
        """
        self._doors.add(sock, factory, refusal, is_proxy)

    def adopt(
        self, sock: socket.socket, factory: ProtocolFactory, *, outbox_bytes: int
    ) -> Connection:
        """Serve a socket that we connected, as one of ours; the caps are for the accepted.

        ``outbox_bytes`` bounds what waits for this peer. The socket belongs to the
        connection from now on, also when ``factory`` raises: then it is closed.
        """
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        connection = Connection(self, sock, "", outbox_bytes, is_ours=True)
        self._ours += 1
        self._open[connection.number] = connection
        self.selector.register(connection.number, READ)
        connection.protocol = NOBODY
        try:
            connection.protocol = factory(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    def stop_listening(self) -> None:
        """Accept nobody from now on; who is connected stays."""
        self._doors.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then every connection is closed at once."""
        trio.lowlevel.add_instrument(self._runnable)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                nursery.start_soon(self._flusher.run)
                task_status.started()
                while True:
                    if self._unheard:
                        await trio.lowlevel.checkpoint()
                    else:
                        await trio.lowlevel.wait_readable(self.selector)
                    self.turns += 1
                    self._take_turn()
        finally:
            trio.lowlevel.remove_instrument(self._runnable)
            self.stop_listening()
            for connection in list(self._open.values()):
                connection.abort()
            self.selector.close()

    async def wait_until_sent(self) -> None:
        """Return when nothing that was written still waits for its peer."""
        # Once in a process: an event would cost every send something.
        while any(connection.outbox_bytes for connection in self._open.values()):  # noqa: ASYNC110 - at the end only
            await trio.sleep(TICK_SECONDS)

    def statistics(self) -> ConnectionStatistics:
        """Return a moment of this object as numbers."""
        waiting = [c.outbox_bytes for c in self._open.values() if c.outbox_bytes]
        return ConnectionStatistics(
            open=len(self._open) - self._ours,
            ours=self._ours,
            accepted=self.accepted,
            refused=self.refused,
            made_room=self.idle.displaced,
            slow_consumers=self.slow_consumers,
            failures=self.failures,
            outbox_bytes=sum(waiting),
            blocked=len(waiting),
            accepting=self._doors.open,
            turns=self.turns,
            reads=self.reads,
            sends=self.sends,
            timers=len(self.timers),
            lag=self._lag.now,
            stall=self._lag.longest(),
        )

    def _take_turn(self) -> None:
        now = self.stopwatch()
        is_busy = now - self._turn_ended < PAUSE_SECONDS
        end = now + _SECONDS_PER_TURN
        self._expire(trio.current_time())
        while now < end:
            if not self._unheard:
                ready = self.gathering.ready(self.selector, is_busy=is_busy)
                if not ready:
                    break
                self._read(ready, end)
            now = self._hear(end)
        self._turn_ended = self.stopwatch()

    def _read(self, ready: Sequence[tuple[int, int]], end: float) -> None:
        """Read from those who are ready, and let in who is new, until the turn is over.

        Who is left is ready the next time, too.
        """
        self.in_turn = True
        unheard = self._unheard
        for start in range(0, len(ready), _READ_PER_LOOK):
            for number, events in ready[start : start + _READ_PER_LOOK]:
                # Who was closed since they were ready is gone. A newcomer may have their
                # descriptor: it finds nothing to read, and nothing is lost.
                connection = self._open.get(number)
                if connection is None:
                    self._doors.accept(number)
                    continue
                try:
                    if events != WRITE and (data := connection.receive()):
                        connection.received = data
                        unheard.append(connection)
                    if events & WRITE:
                        connection.flush()
                except Exception as error:  # noqa: BLE001 - the connection boundary
                    self._failed(connection, error)
            if self.stopwatch() > end:
                break
        unheard.reverse()

    def _hear(self, end: float) -> float:
        """Take what was read until the turn is over, and answer; return the time.

        All was read first: in turns, the kernel's code and ours would each find the other's
        in the processor's cache.
        """
        self.in_turn = True
        unheard = self._unheard
        now = 0.0
        while unheard and now < end:
            for _ in range(min(_HEARD_PER_LOOK, len(unheard))):
                connection = unheard.pop()
                data, connection.received = connection.received, b""
                try:
                    # Who was closed meanwhile has nobody's protocol.
                    if not connection.closing:
                        connection.protocol.data_received(data)
                except Exception as error:  # noqa: BLE001 - the connection boundary
                    self._failed(connection, error)
            now = self.stopwatch()
        self.flush()
        return self.stopwatch()

    def flush(self) -> None:
        """Send what this turn wrote; whoever hears `drained` may write more, for some rounds.

        What is left after them leaves with the next turn or tick of the clock.
        """
        self.in_turn = True
        for _ in range(_FLUSH_ROUNDS):
            if self._last_words:
                self._say_last_words()
            if not self.unsent:
                break
            unsent, self.unsent = self.unsent, []
            for connection in unsent:
                try:
                    connection.flush()
                except Exception as error:  # noqa: BLE001 - the connection boundary
                    self._failed(connection, error)
        self.in_turn = False

    def flush_soon(self) -> None:
        """Send what was written outside of a turn, once all tasks of this tick have run.

        Without the task that does it, before `run` and after it, it is sent at once.
        """
        self._flusher.soon()

    def before_flush(self, callback: Callback) -> None:
        """Call ``callback`` once, just before what was written now leaves: it may add to it."""
        self._last_words.append(callback)
        if not self.in_turn:
            self.flush_soon()

    def _say_last_words(self) -> None:
        last_words, self._last_words = self._last_words, []
        for callback in last_words:
            self._call(callback)

    def _expire(self, now: float) -> bool:
        """Call what is due on the timers, for one turn; return whether that was all.

        They belong to connections, as their failures do.
        """
        end = self.stopwatch() + _SECONDS_PER_TURN
        due = self.timers.due(now)
        while True:
            self.in_turn = True
            some = 0
            for callback in due:
                self._call(callback)
                some += 1
                if some == _CALLED_PER_LOOK:
                    break
            if some or self.unsent:
                self.flush()
            self.in_turn = False
            if some < _CALLED_PER_LOOK:
                return True
            if self.stopwatch() > end:
                return False

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - the connection boundary
            self._failed(None, error)

    def _failed(self, connection: Connection | None, error: Exception) -> None:
        self.failures += 1
        self._on_failure(connection, error)
        if connection is not None:
            connection.abort()

    async def _keep_time(self) -> None:
        """Call what is due on the timers, and measure how late the loop is."""
        while True:
            lag = await self._ticker.sleep()
            now = trio.current_time()
            self._lag.note(now, lag)
            while not self._expire(now):
                await trio.lowlevel.checkpoint()
                now = trio.current_time()

    def _admit(self, listener: Listener, sock: socket.socket, peer: str) -> None:
        if not self._has_room(peer, is_proxy=listener.is_proxy(peer)):
            self.refused += 1
            refuse(sock, listener.refusal)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        self._addresses.add(peer)
        connection = Connection(self, sock, peer, self.settings.outbox_bytes)
        self._open[connection.number] = connection
        self.selector.register(connection.number, READ)
        connection.protocol = listener.factory(connection)
        if connection.is_idle:
            self.idle.enter(connection, peer)

    def _has_room(self, peer: str, *, is_proxy: bool) -> bool:
        """Whether one more may come from ``peer``; there is room if somebody can go for it."""
        crowded = not is_proxy and self._addresses.count(peer) >= self.settings.per_address
        if not crowded and len(self._open) - self._ours < self.settings.maximum:
            return True
        return make_room(self.idle, peer if crowded else None)

    def lost(self, connection: Connection) -> None:
        """Let go of a connection that has just closed; it calls this itself."""
        del self._open[connection.number]
        self.idle.leave(connection)
        if connection.is_ours:
            self._ours -= 1
        else:
            self._addresses.remove(connection.peer)
        protocol = connection.protocol
        # The two hold each other: that would be left to the collector, whose pauses grow
        # with the number of connections.
        connection.protocol = NOBODY
        protocol.connection_lost()

    def rename(self, connection: Connection, peer: str) -> bool:
        """Count a connection as another address's; whether that may have one more."""
        if connection.peer == peer:
            return True
        self._addresses.remove(connection.peer)
        self.idle.leave(connection)
        connection.peer = peer
        crowded = self._addresses.count(peer) >= self.settings.per_address
        has_room = not crowded or make_room(self.idle, peer)
        self._addresses.add(peer)
        if connection.is_idle:
            self.idle.enter(connection, peer)
        self.refused += not has_room
        return has_room
