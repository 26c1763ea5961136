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
import selectors
import socket
from collections.abc import Callable
from typing import Final, Protocol, final

import trio

from pool.settings import setting
from pool.timers import Timer, Timers

# One read: a whole small request or many pipelined frames, and the share of a
# wake-up that one busy peer may take.
_READ_BYTES: Final = 64 * 1024
# Sockets served before Trio gets its turn: about 5 ms of work.
_EVENTS_PER_TURN: Final = 256
# Polls before Trio gets its turn, so that under load its cost is shared.
_POLLS_PER_TURN: Final = 4
_ACCEPTS_PER_EVENT: Final = 64
_FLUSH_ROUNDS: Final = 8
_TICK_SECONDS: Final = 0.05
# How much goes to the kernel in one call, and the progress within one send
# deadline that shows a peer to be reading.
_SEND_BYTES: Final = 256 * 1024
_PROGRESS_BYTES: Final = 64 * 1024
# What a peer may still send after we closed, before it is cut off (RFC 9112
# section 9.6: closing with unread input would destroy our last response).
_LINGER_SECONDS: Final = 1.0
_OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE


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


class ConnectionProtocol(Protocol):
    """What a connection's bytes mean. Every method returns at once."""

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent: at least one byte, at most 64 KiB."""

    def eof_received(self) -> bool:
        """Return whether the connection stays open for writing now that the peer sends no more."""

    def drained(self) -> None:
        """The outbox is empty; called once after `Connection.tell_when_drained` was set."""

    def connection_lost(self) -> None:
        """The connection is gone; called exactly once, whoever ended it."""


#: What a timer of the connections calls.
Callback = Callable[[], None]
ProtocolFactory = Callable[["Connection"], ConnectionProtocol]
OnFailure = Callable[["Connection | None", Exception], None]


@final
class Connection:
    """One socket, as its protocol object sees it. Nothing here waits or raises."""

    __slots__ = (
        "_deadline",
        "_eof",
        "_interest",
        "_outbox",
        "_owner",
        "_progress",
        "_socket",
        "closing",
        "outbox_bytes",
        "peer",
        "protocol",
        "tell_when_drained",
    )

    protocol: ConnectionProtocol

    def __init__(self, owner: Connections, sock: socket.socket, peer: str) -> None:
        self._owner = owner
        self._socket: socket.socket | None = sock
        self._outbox: list[bytes | memoryview] | None = None
        self._interest = READ
        self._deadline: Timer[Callback] | None = None
        self._progress = 0
        self._eof = False
        #: Bytes that have not left yet.
        self.outbox_bytes = 0
        #: Have the protocol's ``drained`` called when all that was written has left.
        self.tell_when_drained = False
        #: Set once `close` was called: nothing more is read or written.
        self.closing = False
        #: The peer's address, without its port.
        self.peer = peer

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be written."""
        return self._socket is not None and not self.closing

    def write(self, data: bytes) -> None:
        """Send, with everything else that this turn writes, in one system call.

        ``data`` is queued whole or not at all: over the outbox bound the
        connection is closed instead, as its peer does not read.
        """
        if self._socket is None or self.closing:
            return
        outbox = self._outbox
        if outbox is None:
            self._outbox = [data]
            self.outbox_bytes = len(data)
            owner = self._owner
            owner.unsent.append(self)
            if not owner.in_turn:
                owner.flush()
            return
        if self.outbox_bytes + len(data) > self._owner.settings.outbox_bytes:
            self._owner.slow_consumers += 1
            self.abort()
            return
        outbox.append(data)
        self.outbox_bytes += len(data)

    def pause_reading(self) -> None:
        """Leave what the peer sends in the kernel: TCP carries the pressure back."""
        self._want(self._interest & ~READ)

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if not self._eof:
            self._want(self._interest | READ)

    def close(self) -> None:
        """Send what is queued, then close; the peer's further bytes are thrown away."""
        if self._socket is None or self.closing:
            return
        self.closing = True
        if self._outbox is None:
            self._half_close()

    def abort(self) -> None:
        """Close at once; what is queued is lost."""
        sock = self._socket
        if sock is None:
            return
        if self._interest:
            self._owner.selector.unregister(sock)
        self._socket = None
        self._interest = 0
        self._outbox = None
        self.outbox_bytes = 0
        self._disarm()
        sock.close()
        self._owner._lost(self)  # noqa: SLF001 - its other half

    def _want(self, interest: int) -> None:
        sock = self._socket
        if sock is None or interest == self._interest:
            return
        selector = self._owner.selector
        if not self._interest:
            selector.register(sock, interest, self)
        elif not interest:
            selector.unregister(sock)
        else:
            selector.modify(sock, interest, self)
        self._interest = interest

    def _readable(self) -> None:
        sock = self._socket
        if sock is None:
            return
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        self._owner.reads += 1
        if self.closing:
            if not data:
                self.abort()
        elif data:
            self.protocol.data_received(data)
        else:
            # A socket at its end stays readable: watching it would spin.
            self._eof = True
            self.pause_reading()
            if not self.protocol.eof_received():
                self.close()

    def _flush(self) -> None:
        """Give the kernel what is queued; arm the deadline for what it refuses."""
        sock, outbox = self._socket, self._outbox
        if sock is None or outbox is None:
            return
        was_blocked = self._deadline is not None
        while outbox:
            data = outbox[0] if len(outbox) == 1 else _gather(outbox)
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            self._owner.sends += 1
            self.outbox_bytes -= sent
            if sent < len(data):
                outbox[0] = memoryview(data)[sent:]
                self._blocked(sent)
                return
            del outbox[0]
        self._outbox = None
        if was_blocked:
            self._disarm()
            self._want(self._interest & ~WRITE)
        if self.closing:
            self._half_close()
        elif self.tell_when_drained:
            self.tell_when_drained = False
            self.protocol.drained()

    def _blocked(self, sent: int) -> None:
        self._progress += sent
        if self._deadline is None or self._progress >= _PROGRESS_BYTES:
            self._disarm()
            self._deadline = self._owner.timers.arm(
                self._owner.settings.send_seconds, self._send_deadline
            )
        self._want(self._interest | WRITE)

    def _send_deadline(self) -> None:
        self._owner.slow_consumers += 1
        self.abort()

    def _half_close(self) -> None:
        sock = self._socket
        assert sock is not None
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
            return
        if self._eof:
            self.abort()
            return
        self._want(READ)
        self._deadline = self._owner.timers.arm(_LINGER_SECONDS, self.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._progress = 0


def _gather(outbox: list[bytes | memoryview]) -> bytes | memoryview:
    """Join the first buffers into one of about `_SEND_BYTES`, in place."""
    size = count = 0
    for piece in outbox:
        size += len(piece)
        count += 1
        if size >= _SEND_BYTES:
            break
    if count > 1:
        outbox[:count] = [b"".join(outbox[:count])]
    return outbox[0]


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
        self.selector = selectors.DefaultSelector()
        self.accepted = self.refused = self.slow_consumers = self.failures = 0
        self.reads = self.sends = self.turns = 0
        self._on_failure = on_failure
        self._listeners: list[_Listener] = []
        self._open: set[Connection] = set()
        self._by_address: dict[str, int] = {}
        #: Connections with something to send, and whether a turn will send it.
        self.unsent: list[Connection] = []
        self.in_turn = False
        self._accepting = True
        self._retry: Timer[Callback] | None = None
        self._lag = 0.0

    def listen(
        self, sock: socket.socket, factory: ProtocolFactory, *, refusal: bytes = b""
    ) -> None:
        """Accept from a bound socket; ``refusal`` is sent to whom a cap turns away."""
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.listen(4096)
        listener = _Listener(sock, factory, refusal)
        self._listeners.append(listener)
        self.selector.register(sock, READ, listener)

    def stop_listening(self) -> None:
        """Accept nobody from now on; who is connected stays."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for listener in self._listeners:
            if self._accepting:
                self.selector.unregister(listener.sock)
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
                    await self._take_turn()
        finally:
            self.stop_listening()
            for connection in list(self._open):
                connection.abort()
            self.selector.close()

    async def wait_until_sent(self) -> None:
        """Return when nothing that was written still waits for its peer."""
        # Once in a process: an event would cost every send something.
        while any(connection.outbox_bytes for connection in self._open):  # noqa: ASYNC110 - at the end only
            await trio.sleep(_TICK_SECONDS)

    def statistics(self) -> ConnectionStatistics:
        """Return a moment of this object as numbers."""
        waiting = [c.outbox_bytes for c in self._open if c.outbox_bytes]
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
        )

    async def _take_turn(self) -> None:
        self._expire(trio.current_time())
        for _ in range(_POLLS_PER_TURN):
            ready = self.selector.select(0)
            if not ready:
                return
            for start in range(0, len(ready), _EVENTS_PER_TURN):
                if start:
                    await trio.lowlevel.checkpoint()
                self._serve(ready[start : start + _EVENTS_PER_TURN])

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        self.in_turn = True
        for key, events in ready:
            target = key.data
            if type(target) is _Listener:
                self._accept(target)
                continue
            try:
                if events & READ:
                    target._readable()  # noqa: SLF001 - its other half
                if events & WRITE:
                    target._flush()  # noqa: SLF001 - its other half
            except Exception as error:  # noqa: BLE001 - the connection boundary
                self._failed(target, error)
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
                    connection._flush()  # noqa: SLF001 - its other half
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
            self._lag = max(0.0, now - before - _TICK_SECONDS)
            self._expire(now)

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
        self._open.add(connection)
        self.selector.register(sock, READ, connection)
        connection.protocol = listener.factory(connection)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        count = self._by_address[connection.peer] - 1
        if count:
            self._by_address[connection.peer] = count
        else:
            del self._by_address[connection.peer]
        connection.protocol.connection_lost()

    def _pause_accepting(self) -> None:
        if not self._accepting:
            return
        self._accepting = False
        for listener in self._listeners:
            self.selector.unregister(listener.sock)
        self._retry = self.timers.arm(self.settings.accept_pause_seconds, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._retry = None
        self._accepting = True
        for listener in self._listeners:
            self.selector.register(listener.sock, READ, listener)


def _refuse(sock: socket.socket, refusal: bytes) -> None:
    """Say why, as far as the socket takes it at once, and close."""
    try:
        if refusal:
            sock.send(refusal)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    sock.close()
