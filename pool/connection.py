"""One socket, as its protocol object sees it.

Half of a pair: `pool.connections` waits for all the sockets and says when this one
can be read or written. Nothing here waits or raises.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from pool.anteroom import Anteroom
from pool.polling import READ, WRITE
from pool.timers import Timer

if TYPE_CHECKING:
    from pool.connections import Connections

#: What a timer of the connections calls.
Callback = Callable[[], None]

# One read: a whole small request or many pipelined frames, and the share of a
# wake-up that one busy peer may take.
_READ_BYTES: Final = 64 * 1024
# How much goes to the kernel in one call, and the progress within one send
# deadline that shows a peer to be reading. What is much longer leaves in parts.
_SEND_BYTES: Final = 256 * 1024
_AT_ONCE_BYTES: Final = 2 * _SEND_BYTES
_PROGRESS_BYTES: Final = 64 * 1024
# How many are looked at to find one that can go. Those who have just sent something stand together.
_LOOKS: Final = 64
# What a peer may still send after we closed, before it is cut off (RFC 9112
# section 9.6: closing with unread input would destroy our last response).
_LINGER_SECONDS: Final = 1.0


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


@final
class _Nobody:
    """The protocol of a connection that is gone."""

    def data_received(self, data: bytes) -> None:
        """Take nothing."""

    def eof_received(self) -> bool:
        """Want nothing more."""
        return False

    def drained(self) -> None:
        """Have nothing to send."""

    def connection_lost(self) -> None:
        """Know it."""


NOBODY: Final = _Nobody()


ProtocolFactory = Callable[["Connection"], ConnectionProtocol]
#: Whether an address is a proxy's, whose connections are those of many clients.
IsProxy = Callable[[str], bool]


@final
class Connection:
    """One socket, as its protocol object sees it. Nothing here waits or raises."""

    __slots__ = (
        "_deadline",
        "_eof",
        "_interest",
        "_longest",
        "_outbox",
        "_owner",
        "_progress",
        "_socket",
        "closing",
        "is_idle",
        "is_ours",
        "number",
        "outbox_bytes",
        "outbox_limit",
        "peer",
        "protocol",
        "received",
        "tell_when_drained",
    )

    protocol: ConnectionProtocol

    def __init__(
        self,
        owner: Connections,
        sock: socket.socket,
        peer: str,
        outbox_limit: int,
        *,
        is_ours: bool = False,
    ) -> None:
        self._owner = owner
        self._socket: socket.socket | None = sock
        #: The descriptor, as the selector knows it.
        self.number = sock.fileno()
        self._outbox: list[bytes | memoryview] | None = None
        self._interest = READ
        self._deadline: Timer[Callback] | None = None
        self._progress = self._longest = 0
        self._eof = False
        #: What was read and is to be taken in this turn; its owner keeps it.
        self.received = b""
        #: Whether we connected, and not the peer.
        self.is_ours = is_ours
        #: Whether nothing is under way: its protocol says so, and it may be closed for
        #: another one from then on, until `stay`.
        self.is_idle = False
        #: Past how many bytes that wait it is closed.
        self.outbox_limit = outbox_limit
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
        """Send, with all that this turn, or this tick's Trio tasks, write, in one system call.

        ``data`` is queued whole or not at all: over the outbox bound, for which the longest since
        it was empty does not count, the connection is closed instead, as its peer does not read.
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
                owner.flush_soon()
            return
        waiting = self.outbox_bytes + len(data)
        if waiting > self.outbox_limit + self._longest:
            # Looked for then only, as many may wait: it is closed, or a longer one is known.
            self._longest = max(len(data), *map(len, outbox))
            if waiting - self._longest > self.outbox_limit:
                self._owner.slow_consumers += 1
                self.abort()
                return
        outbox.append(data)
        self.outbox_bytes = waiting

    def write_behind(self, head: bytes, data: bytes) -> None:
        """Write ``data`` behind ``head``, as `write` does with both."""
        self.write(data)
        if self._outbox is not None:
            self._outbox.insert(-1, head)
            self.outbox_bytes += len(head)

    def name_peer(self, peer: str) -> bool:
        """Have it count as another address's, which a proxy has told.

        Returns whether that address may have one more.
        """
        return self._owner.rename(self, peer)

    def stay(self) -> None:
        """Be closed for another one no more, whether idle or not."""
        self.is_idle = False
        self._owner.idle.leave(self)

    def has_unread(self) -> bool:
        """Whether its peer has sent something that was not looked at yet."""
        if self.received:
            return True
        if self._socket is None:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

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
            self._owner.selector.unregister(self.number)
        self._socket = self._outbox = None
        self._interest = self.outbox_bytes = 0
        self._disarm()
        sock.close()
        self._owner.lost(self)

    def _want(self, interest: int) -> None:
        sock = self._socket
        if sock is None or interest == self._interest:
            return
        selector = self._owner.selector
        if not self._interest:
            selector.register(self.number, interest)
        elif not interest:
            selector.unregister(self.number)
        else:
            selector.modify(self.number, interest)
        self._interest = interest

    def receive(self) -> bytes:
        """Read once, and see to what is no data; called when the selector says so."""
        sock = self._socket
        if sock is None:
            return b""
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            self.abort()
            return b""
        self._owner.reads += 1
        if not data and self.closing and self._outbox is None:
            self.abort()
        elif not data:
            # A socket at its end stays readable: watching it would spin.
            self._eof = True
            self.pause_reading()
            if not self.closing and not self.protocol.eof_received():
                self.close()
        return data

    def flush(self) -> None:
        """Give the kernel what is queued; arm the deadline for what it refuses."""
        sock, outbox = self._socket, self._outbox
        if sock is None or outbox is None:
            return
        was_blocked = self._deadline is not None
        while outbox:
            data = outbox[0] if len(outbox) == 1 else _gather(outbox)
            if len(data) > _AT_ONCE_BYTES:
                self._flush_part(outbox, data)
                return
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
            outbox.pop(0)
        self._outbox = None
        self._longest = 0
        if was_blocked:
            self._disarm()
            self._want(self._interest & ~WRITE)
        if self.closing:
            self._half_close()
        elif self.tell_when_drained:
            self.tell_when_drained = False
            self.protocol.drained()

    def _flush_part(self, outbox: list[bytes | memoryview], data: bytes | memoryview) -> None:
        """Send a part of what is large, each time the selector says so: others send much, too."""
        sock, sent = self._socket, 0
        try:
            if sock is not None and self._deadline is not None:
                sent = sock.send(memoryview(data)[:_PROGRESS_BYTES])
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
            return
        self._owner.sends += 1
        self.outbox_bytes -= sent
        outbox[0] = memoryview(data)[sent:]
        self._blocked(sent)

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


@final
class Listener:
    """A listening socket and what its connections speak."""

    __slots__ = ("factory", "is_proxy", "refusal", "sock")

    def __init__(
        self, sock: socket.socket, factory: ProtocolFactory, refusal: bytes, is_proxy: IsProxy
    ) -> None:
        self.sock = sock
        self.factory = factory
        self.refusal = refusal
        self.is_proxy = is_proxy


def make_room(idle: Anteroom[Connection], peer: str | None) -> bool:
    """Close a connection on which nothing is under way, if one is found; from ``peer``, or any."""
    for _ in range(_LOOKS):
        connection = idle.turn(peer)
        if connection is None:
            break
        # Who has just sent a request has not been read yet, which is not its fault.
        if connection.is_idle and not connection.has_unread():
            idle.displaced += 1
            connection.abort()
            return True
    return False


def _gather(outbox: list[bytes | memoryview]) -> bytes | memoryview:
    """Join the first buffers into one of about `_SEND_BYTES`, in place."""
    size = count = 0
    for piece in outbox:
        if count and len(piece) > _SEND_BYTES:
            # To copy it would take longer than one more call does.
            break
        size += len(piece)
        count += 1
        if size >= _SEND_BYTES:
            break
    if count > 1:
        outbox[:count] = [b"".join(outbox[:count])]
    return outbox[0]
