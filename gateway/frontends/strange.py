"""Frames that are not plain or not complete, and what comes of them.

Control frames, fragments, binary messages and violations are judged by a
`ServerProtocol` of `websockets`; what it does not bound is bounded here: the
short fragments and the control frames of a heartbeat.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, final

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway import errors
from gateway.frontends.coding import DEFLATE, ZSTD, ZSTD_DICTIONARY, InboundDeflate, Tally
from gateway.frontends.frames import is_long_control, missing
from session import codec, dictionary
from session.steps import WHOLE, Steps, in_one_go

# Libraries cut messages into pieces of 4 KiB and more, but for the last one of each. Shorter
# ones are work for next to nothing: of so many a heartbeat there may be. 64 KiB of fragments of
# a byte are more than nine thousand, which would keep everybody waiting.
_SHORT: Final = 256
_SHORT_FRAGMENTS: Final = 4096
_CONTROL_FRAMES: Final = frozenset((Opcode.PING, Opcode.PONG, Opcode.CLOSE))
# What the peer did wrong: RFC 6455 section 7.1.7 lets us hang up after saying so.
_FAILURES: Final = frozenset((1002, 1003, 1007, 1008, 1009))


class Agreed(NamedTuple):
    """How a frontend's messages may be compressed."""

    #: permessage-deflate: the bits of its window and of ours; empty for none.
    deflate: tuple[int, ...] = ()
    #: Whether binary messages are zstd frames.
    zstd: bool = False


NOTHING_AGREED: Final = Agreed()


class Coded(NamedTuple):
    """A message that is still compressed, as all of it takes too long to inflate in one go."""

    data: bytes
    #: What it is counted as.
    name: str
    #: Of permessage-deflate.
    window_bits: int = 0

    def inflating(self, limit: int) -> Steps[bytes]:
        """Return what is in it, step by step.

        Raises:
            session.codec.CodingError: nothing usable; `TooLongError` when it is too much.
        """
        if self.window_bits:
            return codec.undeflating(self.data, limit, self.window_bits)
        return dictionary.unpacking(self.data, limit)


#: What a frontend has said, as far as it was read.
Said = bytes | Coded


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

    __slots__ = (
        "_binary",
        "_control",
        "_control_limit",
        "_deflate",
        "_kind",
        "_message_bytes",
        "_pieces",
        "_short",
        "_since",
        "_tally",
        "_window_bits",
        "protocol",
    )

    def __init__(
        self,
        message_bytes: int,
        control_frames: int,
        tally: Tally,
        agreed: Agreed = NOTHING_AGREED,
    ) -> None:
        self.protocol = ServerProtocol(state=State.OPEN, max_size=message_bytes)
        self._deflate: InboundDeflate | None = None
        self._window_bits = 0
        if agreed.deflate:
            remote, local = agreed.deflate
            self._deflate = InboundDeflate(remote, local, tally, leaves=message_bytes > WHOLE)
            self._window_bits = remote
            self.protocol.extensions = [self._deflate]
        self._tally = tally
        self._binary = agreed.zstd
        self._message_bytes = message_bytes
        self._pieces: list[bytes] = []
        self._kind: Opcode | None = None
        self._since = math.inf
        self._short = 0
        self._control = 0
        self._control_limit = control_frames

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun whose last fragment has not come yet."""
        return self._kind is not None

    @property
    def is_closing(self) -> bool:
        """Whether whatever comes is its business."""
        return self.protocol.state is not State.OPEN

    @property
    def unfinished_since(self) -> float:
        """When the message began whose last fragment has not come yet."""
        return math.inf if self._kind is None else self._since

    def new_period(self) -> None:
        """Control frames and short fragments are counted per heartbeat."""
        self._control = self._short = 0

    def close(self, code: errors.CloseCode) -> None:
        """Begin the closing handshake, unless it has begun."""
        if self.protocol.state is State.OPEN:
            self.protocol.fail(code.code, code.reason) if code.code in _FAILURES else (
                self.protocol.send_close(code.code, code.reason)
            )

    def receive(self, data: bytes, now: float) -> list[Said]:
        """Take whole frames, or the start of an illegal one; return what they complete.

        They end where a message does: what comes behind it may be plain, and no business of
        `websockets`, which would keep the start of a frame and wait for its rest.
        """
        protocol = self.protocol
        if not self.is_closing and is_long_control(data):
            # `websockets` would wait for all of it before it says so.
            protocol.fail(1002, "a control frame has at most 125 bytes")
            return []
        protocol.receive_data(data)
        if protocol.parser_exc is not None:
            # Where it came from has all that was inflated before it was too much, and would
            # be kept until the peer has said goodbye.
            protocol.parser_exc = None
            protocol.extensions = []
        texts: list[Said] = []
        for event in protocol.events_received():
            if isinstance(event, Frame):
                text = self._frame(event, now)
                if text is not None:
                    texts.append(text)
        return texts

    def _frame(self, frame: Frame, now: float) -> Said | None:
        if frame.opcode in _CONTROL_FRAMES:
            self._control += 1
            if self._control > self._control_limit:
                self.close(errors.CLOSE_POLICY)
            return None
        if frame.opcode is not Opcode.CONT:
            self._kind = frame.opcode
            self._since = now
        self._pieces.append(bytes(frame.data))
        is_fragment = frame.opcode is Opcode.CONT or not frame.fin
        self._short += is_fragment and len(frame.data) < _SHORT
        if self._short > _SHORT_FRAGMENTS:
            self._pieces.clear()
            self.close(errors.CLOSE_POLICY)
            return None
        if not frame.fin:
            return None
        kind, self._kind = self._kind, None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        if self._deflate is not None and self._deflate.left:
            self._deflate.left = False
            return self._undeflated(Coded(whole, DEFLATE, self._window_bits))
        return whole if kind is not Opcode.BINARY else self._inflated(whole)

    def _undeflated(self, coded: Coded) -> Said | None:
        """Return the message in one that was deflated, which may be large."""
        if len(coded.data) > WHOLE:
            return coded
        try:
            plain = in_one_go(coded.inflating(WHOLE))
        except codec.TooLongError:
            return coded
        except codec.CodingError as error:
            self.refuse(coded.name, error)
            return None
        self._tally.taken(DEFLATE, len(plain), len(coded.data))
        return plain

    def _inflated(self, whole: bytes) -> Said | None:
        """Return the message in a binary one, which is a zstd frame where that was agreed."""
        if not self._binary:
            self.close(errors.CLOSE_UNSUPPORTED)
            return None
        name = ZSTD_DICTIONARY if codec.names_dictionary(whole) else ZSTD
        is_large = self._message_bytes > WHOLE
        if is_large and len(whole) > WHOLE:
            return Coded(whole, name)
        try:
            plain = dictionary.unpacked(whole, min(self._message_bytes, WHOLE))
        except codec.CodingError as error:
            if is_large and isinstance(error, codec.TooLongError):
                return Coded(whole, name)
            self.refuse(name, error)
            return None
        self._tally.taken(name, len(plain), len(whole))
        return plain

    def refuse(self, name: str, error: codec.CodingError) -> None:
        """Close, as a message in the coding of this name cannot be used."""
        code = errors.CLOSE_NOT_DEFLATED if name == DEFLATE else errors.CLOSE_NOT_ZSTD
        if isinstance(error, codec.TooLongError):
            code = errors.CLOSE_TOO_LONG
        elif isinstance(error, codec.UnknownDictionaryError):
            code = errors.CLOSE_UNKNOWN_DICTIONARY
        self._tally.refused(name)
        self.close(code)
