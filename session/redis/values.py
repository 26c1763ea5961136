"""Values as they are in Redis: JSON, or one frame of it where that is shorter.

Which of them it is, their first bytes say. What is written is plain or a zstd frame, for
questions and outcomes with our dictionary; what is read may be gzip as well, as whoever
shares the keys may have compressed them. Scripts look into none of these values.
"""

from __future__ import annotations

from typing import Final

import msgspec

from session import codec, dictionary
from session.steps import Steps

#: What a value may become: the longest message there can be, stored, is half of it.
LIMIT: Final = 32 * 1024 * 1024
# Longer ones take their time, of which this process has less than Redis has memory.
_LARGEST: Final = 4 * 1024 * 1024
_FIRST_BYTES: Final = frozenset((codec.GZIP[0], codec.ZSTD[0]))


def packed(data: bytes, threshold: int) -> bytes:
    """Return a value as this project's programs read it; 0 is to leave all as they are."""
    if not 0 < threshold <= len(data) <= _LARGEST:
        return data
    frame = dictionary.packed(data)
    return frame if len(frame) < len(data) else data


def packing(data: bytes, threshold: int) -> Steps[bytes]:
    """Do as `packed` does with what is long, step by step."""
    if not 0 < threshold <= len(data) <= _LARGEST:
        return data
    frame = yield from dictionary.packing(data)
    return frame if len(frame) < len(data) else data


def packed_for_all(data: bytes, threshold: int) -> bytes:
    """Return a value as other programs read it, too, that know no dictionary."""
    if not 0 < threshold <= len(data) <= _LARGEST:
        return data
    frame = codec.zstandardized(data)
    return frame if len(frame) < len(data) else data


def plain(data: bytes) -> bytes:
    """Return the JSON in a value.

    Raises:
        msgspec.DecodeError: it is a frame, and damaged, too long or with a dictionary of
            another version: as unusable here as JSON of another version.
    """
    if data[:1] == b"{" or not data or data[0] not in _FIRST_BYTES:
        return data
    try:
        if data.startswith(codec.GZIP):
            return codec.gunzip(data, LIMIT)
        return dictionary.unpacked(data, LIMIT)
    except codec.CodingError as error:
        raise msgspec.DecodeError(str(error)) from None


def unpacking(data: bytes) -> Steps[bytes]:
    """Do as `plain` does, step by step."""
    if data[:1] == b"{" or not data or data[0] not in _FIRST_BYTES:
        return data
    try:
        if data.startswith(codec.GZIP):
            return (yield from codec.ungzipping(data, LIMIT))
        return (yield from dictionary.unpacking(data, LIMIT))
    except codec.CodingError as error:
        raise msgspec.DecodeError(str(error)) from None
