"""Messages made smaller for frontends that want that, once for all of them.

permessage-deflate (RFC 7692) is what browsers offer. It is agreed upon without context
takeover, so that a compressed message is the same for everybody and an idle frontend
costs nothing more; with a small window, so that compressing costs little memory. The
subprotocol `frontend-router.v1.zstd` has binary messages, each a zstd frame; a frontend that
says which dictionaries it has gets short ones compressed with the one that is ours, too.
Whoever has agreed to either still takes plain text: what would not get smaller stays as it is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode

from session import codec
from session.steps import Steps

if TYPE_CHECKING:
    from gateway.metrics import Metrics

_WINDOW_BITS: Final = 12
_MEMORY_LEVEL: Final = 5
_LEVEL: Final = 5
# An offer that binds us to a smaller window than ours: such messages would not be the same
# for everybody, and nobody makes such offers but tests.
_SMALLER: Final = re.compile(r'server_max_window_bits="?([89]|1[01])\b')
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_DEFLATED: Final = 0xC1
_BINARY: Final = 0x82

_DATA: Final = frozenset((Opcode.TEXT, Opcode.BINARY, Opcode.CONT))

#: What zstd frames are counted as: without a dictionary, and with one.
ZSTD: Final = "zstd"
ZSTD_DICTIONARY: Final = "zstd-dictionary"
DEFLATE: Final = "deflate"

#: Told of a coding, and of bytes before and after.
Counted = Callable[[str, int, int], None]


class Coding(Protocol):
    """How messages leave to the frontends that agreed to it."""

    def of(self, frame: bytes) -> bytes:
        """Return a plain text frame in this coding, or as it is where that is better."""

    def coding(self, frame: bytes) -> Steps[bytes]:
        """Do as `of` does, step by step, for a large frame."""


@final
class Tally:
    """What frontends' compressed messages were, in bytes, and what was none."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def sent(self, coding: str, plain: int, coded: int) -> None:
        """Count a message that was compressed."""
        self._count(coding, "out", plain, coded)

    def taken(self, coding: str, plain: int, coded: int) -> None:
        """Count a message, or a fragment of one, that came compressed."""
        self._count(coding, "in", plain, coded)

    def refused(self, coding: str) -> None:
        """Count one that was damaged, or too much came out of."""
        self._metrics.coding_refused.labels(coding).inc()

    def _count(self, coding: str, direction: str, plain: int, coded: int) -> None:
        self._metrics.coded.labels(coding, direction, "plain").inc(plain)
        self._metrics.coded.labels(coding, direction, "coded").inc(coded)


@final
class InboundDeflate(PerMessageDeflate):
    """permessage-deflate as it was agreed on, both ways, with what comes in counted.

    Where messages may be large, it leaves them as they are, for others to inflate in steps.
    """

    def __init__(self, remote_bits: int, local_bits: int, tally: Tally, *, leaves: bool) -> None:
        super().__init__(
            remote_no_context_takeover=True,
            local_no_context_takeover=True,
            remote_max_window_bits=remote_bits,
            local_max_window_bits=local_bits,
        )
        self._tally = tally
        self._leaves = leaves
        #: Whether the message that has come, or comes, was left as it is.
        self.left = False

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return a frame as it was before it was compressed, if it was."""
        is_coded = frame.rsv1 or (self.decode_cont_data and frame.opcode is Opcode.CONT)
        if is_coded and self._leaves and frame.opcode in _DATA:
            return self._leave(frame)
        try:
            whole = super().decode(frame, max_size=max_size)
        except (PayloadTooBig, ProtocolError):
            self._tally.refused(DEFLATE)
            raise
        if is_coded:
            self._tally.taken(DEFLATE, len(whole.data), len(frame.data))
        return whole

    def _leave(self, frame: Frame) -> Frame:
        if frame.rsv1 and frame.opcode is Opcode.CONT:
            raise ProtocolError("RSV1 bit set in continuation frame")
        self.decode_cont_data = not frame.fin
        self.left = True
        return Frame(frame.opcode, frame.data, frame.fin, False, frame.rsv2, frame.rsv3)  # noqa: FBT003 - as it is declared


@final
class Deflate:
    """permessage-deflate."""

    __slots__ = ("_coded", "_counted", "_plain", "_threshold")

    def __init__(self, threshold: int, counted: Counted) -> None:
        self._threshold = threshold
        self._counted = counted
        # A question goes to many, one after the other.
        self._plain = self._coded = b""

    def of(self, frame: bytes) -> bytes:
        """Return a frame that says the same, compressed if that pays."""
        if len(frame) < self._threshold:
            return frame
        if frame is not self._plain:
            deflater = _deflater()
            packed = deflater.compress(payload_of(frame)) + deflater.flush(zlib.Z_SYNC_FLUSH)
            coded = _frame(_DEFLATED, packed.removesuffix(codec.EMPTY_BLOCK))
            self._plain = frame
            self._coded = coded if len(coded) < len(frame) else frame
            self._counted(DEFLATE, len(frame), len(self._coded))
        return self._coded

    def coding(self, frame: bytes) -> Steps[bytes]:
        """Do as `of` does, step by step, for a large frame."""
        packed = yield from codec.deflating(payload_of(frame), _deflater())
        coded = _frame(_DEFLATED, packed)
        yield
        coded = coded if len(coded) < len(frame) else frame
        self._counted(DEFLATE, len(frame), len(coded))
        return coded


@final
class Zstd:
    """The messages of the subprotocol `frontend-router.v1.zstd`.

    Args:
        threshold: the shortest frame that is compressed.
        pack: makes a zstd frame.
        name: what these are counted as.
    """

    __slots__ = ("_coded", "_counted", "_name", "_pack", "_plain", "_threshold")

    def __init__(
        self,
        threshold: int,
        counted: Counted,
        pack: Callable[[bytes], bytes] = codec.zstandardized,
        name: str = ZSTD,
    ) -> None:
        self._threshold = threshold
        self._counted = counted
        self._pack = pack
        self._name = name
        self._plain = self._coded = b""

    def of(self, frame: bytes) -> bytes:
        """Return a frame that says the same, compressed if that pays."""
        if len(frame) < self._threshold:
            return frame
        if frame is not self._plain:
            coded = _frame(_BINARY, self._pack(payload_of(frame)))
            self._plain = frame
            self._coded = coded if len(coded) < len(frame) else frame
            self._counted(self._name, len(frame), len(self._coded))
        return self._coded

    def coding(self, frame: bytes) -> Steps[bytes]:
        """Do as `of` does, step by step, for a large frame: a dictionary would not help it."""
        coded = _frame(_BINARY, (yield from codec.packing(payload_of(frame))))
        yield
        coded = coded if len(coded) < len(frame) else frame
        self._counted(ZSTD, len(frame), len(coded))
        return coded


def deflate_extension(offered: str) -> list[ServerPerMessageDeflateFactory]:
    """Return what negotiates permessage-deflate with who offered these extensions, or nothing."""
    if "permessage-deflate" not in offered or _SMALLER.search(offered):
        return []
    return [
        ServerPerMessageDeflateFactory(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=_WINDOW_BITS,
            client_max_window_bits=_WINDOW_BITS,
        )
    ]


def _deflater() -> zlib._Compress:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY_LEVEL)


def payload_of(frame: bytes) -> bytes:
    """Return what is in a frame of ours."""
    length = frame[1]
    return frame[4 if length == _TWO_BYTES else 10 if length == _EIGHT_BYTES else 2 :]


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < _TWO_BYTES:
        return b"%c%c%b" % (first, length, payload)
    if length < 0x10000:  # noqa: PLR2004 - what two bytes hold
        return b"%c\x7e%b%b" % (first, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, length.to_bytes(8, "big"), payload)
