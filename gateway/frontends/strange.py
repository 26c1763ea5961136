"""Frames that are not plain or not complete, and what comes of them.

Control frames, fragments, binary messages and violations are judged by a
`ServerProtocol` of `websockets`; what it does not bound is bounded here: the
fragments of a message and the control frames of a heartbeat.
"""

from __future__ import annotations

import math
from typing import Final, final

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway import errors
from gateway.frontends.frames import is_long_control, missing

# More than any library cuts a megabyte into.
_FRAGMENTS: Final = 1024
_CONTROL_FRAMES: Final = frozenset((Opcode.PING, Opcode.PONG, Opcode.CLOSE))
# What the peer did wrong: RFC 6455 section 7.1.7 lets us hang up after saying so.
_FAILURES: Final = frozenset((1002, 1003, 1007, 1008, 1009))


@final
class UnfinishedFrame:
    """A plain frame whose end has not come yet; looked at once it can be whole."""

    __slots__ = ("_frame", "_missing", "since")

    def __init__(self, start: bytes, since: float) -> None:
        self._frame = bytearray(start)
        self._missing = missing(start)
        self.since = since

    def take(self, data: bytes) -> bytes:
        """Return all there is once there is enough to look at again, else nothing."""
        self._frame += data
        self._missing -= len(data)
        return bytes(self._frame) if self._missing <= 0 else b""


@final
class StrangeFrames:
    """What `websockets` makes of the frames that are not plain."""

    __slots__ = ("_control", "_control_limit", "_count", "_kind", "_pieces", "_since", "protocol")

    def __init__(self, message_bytes: int, control_frames: int) -> None:
        self.protocol = ServerProtocol(state=State.OPEN, max_size=message_bytes)
        self._pieces: list[bytes] = []
        self._kind: Opcode | None = None
        self._since = math.inf
        self._count = 0
        self._control = 0
        self._control_limit = control_frames

    @property
    def wants_all(self) -> bool:
        """Whether even plain frames are its business: inside a message, or while closing."""
        return self._kind is not None or self.protocol.state is not State.OPEN

    @property
    def unfinished_since(self) -> float:
        """When the message began whose last fragment has not come yet."""
        return math.inf if self._kind is None else self._since

    def new_period(self) -> None:
        """Control frames are counted per heartbeat."""
        self._control = 0

    def close(self, code: errors.CloseCode) -> None:
        """Begin the closing handshake, unless it has begun."""
        if self.protocol.state is State.OPEN:
            self.protocol.fail(code.code, code.reason) if code.code in _FAILURES else (
                self.protocol.send_close(code.code, code.reason)
            )

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take whole frames, or the start of an illegal one; return the texts they complete."""
        protocol = self.protocol
        if not self.wants_all and is_long_control(data):
            # `websockets` would wait for all of it before it says so.
            protocol.fail(1002, "a control frame has at most 125 bytes")
            return []
        protocol.receive_data(data)
        texts = []
        for event in protocol.events_received():
            if isinstance(event, Frame):
                text = self._frame(event, now)
                if text is not None:
                    texts.append(text)
        return texts

    def _frame(self, frame: Frame, now: float) -> bytes | None:
        if frame.opcode in _CONTROL_FRAMES:
            self._control += 1
            if self._control > self._control_limit:
                self.close(errors.CLOSE_POLICY)
            return None
        if frame.opcode is not Opcode.CONT:
            self._kind = frame.opcode
            self._since = now
            self._count = 0
        self._count += 1
        self._pieces.append(bytes(frame.data))
        if self._count > _FRAGMENTS:
            self._pieces.clear()
            self.close(errors.CLOSE_POLICY)
            return None
        if not frame.fin:
            return None
        kind, self._kind = self._kind, None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        if kind is Opcode.BINARY:
            self.close(errors.CLOSE_UNSUPPORTED)
            return None
        return whole
