"""WebSocket frames that everybody sends, decoded and encoded directly (RFC 6455 section 5).

Pure module. `scan` finds where frames end and unmasks the plain ones: whole
text messages within the limit. Whatever else there is, control frames,
fragments, binary, violations, it hands on untouched, for `websockets` to judge.
"""

from __future__ import annotations

from typing import Final

from websockets.speedups import apply_mask

PING: Final = b"\x89\x00"

_TEXT: Final = 0x81
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_CONTROL: Final = 0x08
_LENGTH: Final = 0x7F
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
# What stands before a short text.
_HEADS: Final = tuple(bytes((_TEXT, length)) for length in range(_TWO_BYTES))
# The longest there is.
_HEADER: Final = 14
# Fragments that are handed on before it is looked at what came of them.
_TOGETHER: Final = 256


def scan(data: bytes, limit: int) -> tuple[list[bytes], bytes, bytes]:
    """Take plain messages off the front of ``data``, which starts at a frame.

    Returns their payloads, in order; then a whole frame that is not plain (or the
    start of one that cannot become legal), or nothing; then what comes behind.

    A frame longer than ``limit`` is special as soon as its header says so: its
    payload is never waited for.
    """
    texts: list[bytes] = []
    at, end = 0, len(data)
    while end - at >= 2:  # noqa: PLR2004 - the smallest header
        first, second = data[at], data[at + 1]
        length = second & _LENGTH
        start = at + 2
        if length >= _TWO_BYTES:
            if first & _CONTROL:
                return texts, data[at:], b""
            start += 2 if length == _TWO_BYTES else 8
            if start > end:
                break
            length = int.from_bytes(data[at + 2 : start], "big")
            if length > limit:
                return texts, data[at:], b""
        if not second & _MASKED:
            return texts, data[at:], b""
        stop = start + 4 + length
        if stop > end:
            break
        if first != _TEXT:
            return texts, data[at:stop], data[stop:]
        texts.append(apply_mask(data[start + 4 : stop], data[start : start + 4]))
        at = stop
    return texts, b"", data[at:] if at < end else b""


def take_fragments(data: bytes, limit: int) -> tuple[bytes, bytes]:
    """Take whole frames off the front of ``data``, inside of a message and up to its end.

    Returns them as they are, a few at a time, or the start of one that cannot become legal,
    or nothing while the first is not whole; then what comes behind. ``limit`` is as in `scan`.
    """
    at, end = 0, len(data)
    for _ in range(_TOGETHER):
        if end - at < 2:  # noqa: PLR2004 - the smallest header
            break
        first, second = data[at], data[at + 1]
        size = _size(data, at)
        is_long = first & _CONTROL and second & _LENGTH >= _TWO_BYTES
        if is_long or not second & _MASKED or size > limit + _HEADER:
            return (data[:at], data[at:]) if at else (data, b"")
        if at + size > end:
            break
        at += size
        if first & _FINAL and not first & _CONTROL:
            break
    return data[:at], data[at:]


def missing(start: bytes) -> int:
    """Return how many bytes must at least come before the frame begun by ``start`` tells more."""
    return _size(start, 0) - len(start)


def _size(data: bytes, at: int) -> int:
    """Return how long the frame that begins there is, or what of it tells that, if that lacks."""
    have = len(data) - at
    if have < 2:  # noqa: PLR2004 - the smallest header
        return 2
    length = data[at + 1] & _LENGTH
    if length < _TWO_BYTES:
        return 6 + length
    told = 4 if length == _TWO_BYTES else 10
    return told if have < told else 4 + told + int.from_bytes(data[at + 2 : at + told], "big")


def is_long_control(start: bytes) -> bool:
    """Whether a frame is a control frame longer than any may be (RFC 6455 section 5.5)."""
    return bool(start[0] & _CONTROL) and start[1] & _LENGTH >= _TWO_BYTES


def encode_text(payload: bytes) -> bytes:
    """Return a server's text frame: whole and unmasked."""
    length = len(payload)
    if length < _TWO_BYTES:
        return b"%b%b" % (_HEADS[length], payload)
    if length < 0x10000:  # noqa: PLR2004 - what two bytes hold
        return b"\x81\x7e%b%b" % (length.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (length.to_bytes(8, "big"), payload)
