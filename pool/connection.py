"""One socket, as its protocol object sees it.

Half of a pair: `pool.connections` waits for all the sockets and says when this one
can be read or written. Nothing here waits or raises.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

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
# deadline that shows a peer to be reading.
_SEND_BYTES: Final = 256 * 1024
_PROGRESS_BYTES: Final = 64 * 1024
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
        "number",
        "outbox_bytes",
        "peer",
        "protocol",
        "tell_when_drained",
    )

    protocol: ConnectionProtocol

    def __init__(self, owner: Connections, sock: socket.socket, peer: str) -> None:
        self._owner = owner
        self._socket: socket.socket | None = sock
        #: The descriptor, as the selector knows it.
        self.number = sock.fileno()
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
            self._owner.selector.unregister(self.number)
        self._socket = None
        self._interest = 0
        self._outbox = None
        self.outbox_bytes = 0
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

    def readable(self) -> None:
        """Read once and hand on; called when the selector says so."""
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

    def flush(self) -> None:
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
