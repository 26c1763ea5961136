"""Which coding a body has, and which one its reader would like (RFC 9110 section 8.4, 12.5.3).

Pure module. What a coding does is in `session.codec`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from session import codec
from session.steps import Steps

#: What is understood and offered, the one that is liked best first (RFC 8878, RFC 1952).
CODINGS: Final = (b"zstd", b"gzip")
#: What a request with another coding is told, in the header Accept-Encoding.
ACCEPTED: Final = b", ".join(CODINGS)

_MEANT: Final = {b"x-gzip": b"gzip", b"identity": b""}
_QUALITY: Final = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class UnsupportedCodingError(ValueError):
    """A coding that is not understood, or several on top of each other."""


def coding_of(header: bytes | None) -> bytes:
    """Return the coding that a Content-Encoding names; empty for none.

    Raises:
        UnsupportedCodingError: it is none of ours. Layers are refused: nobody needs them,
            and each multiplies what comes out.
    """
    if header is None:
        return b""
    name = header.strip().lower()
    name = _MEANT.get(name, name)
    if name and name not in CODINGS:
        raise UnsupportedCodingError
    return name


def preferred(accept: bytes | None, among: Sequence[bytes] = CODINGS) -> bytes:
    """Return the coding to send to who sent this Accept-Encoding; empty for none.

    Of those that are liked alike, it is the first of ``among``.
    """
    if not accept:
        return b""
    best, best_quality = b"", 0.0
    qualities: dict[bytes, float] = {}
    for part in accept.lower().split(b","):
        name, _, parameter = part.partition(b";")
        found = _QUALITY.fullmatch(parameter.strip())
        name = name.strip()
        qualities[_MEANT.get(name, name)] = float(found[1]) if found else 1.0
    for coding in among:
        quality = qualities.get(coding, qualities.get(b"*", 0.0))
        if quality > best_quality:
            best, best_quality = coding, quality
    # Somebody who would rather have it plain gets it plain.
    return best if best_quality >= qualities.get(b"", 0.0) else b""


def decoded(body: bytes, coding: bytes, limit: int) -> bytes:
    """Return what is in a body of this coding.

    Raises:
        session.codec.TooLongError: it is longer than ``limit``.
        session.codec.CodingError: it is damaged.
    """
    return codec.unzstd(body, limit) if coding == b"zstd" else codec.gunzip(body, limit)


def decoding(body: bytes, coding: bytes, limit: int) -> Steps[bytes]:
    """Do as `decoded` does, step by step."""
    return codec.unpacking(body, limit) if coding == b"zstd" else codec.ungzipping(body, limit)


def encoded(body: bytes, coding: bytes) -> bytes:
    """Return a body in this coding."""
    return codec.zstandardized(body) if coding == b"zstd" else codec.gzipped(body)
