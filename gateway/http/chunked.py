"""A chunked body, piece by piece (RFC 9112 section 7.1).

Pure module. It is strict, since a proxy that reads a chunk differently lets a
second request hide in the first: sizes are plain hexadecimal, lines end in
CRLF, extensions and trailers are read over and bounded. llhttp could decode the
chunks but does not say where they end, which the next request depends on.
"""

from __future__ import annotations

import re
from typing import Final, final

# Size, optional extension (some visible text), CRLF. 8 digits are 4 GiB.
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]{0,8};[\t\x20-\x7e]{0,200})?\r\n")
_SIZE_START: Final = re.compile(
    rb"(?:[0-9A-Fa-f]{1,8}(?:[ \t]{0,8}(?:;[\t\x20-\x7e]{0,200})?)?\r?)?"
)
_FIELD_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")
_LINE_BYTES: Final = 256
_TRAILER_BYTES: Final = 4096


class ChunkError(ValueError):
    """The body is not chunked as the RFC says."""


class BodyTooLongError(ValueError):
    """The body is longer than the caller allowed."""


@final
class ChunkedBody:
    """Collects one body of at most ``limit`` bytes."""

    __slots__ = ("_body", "_buffer", "_left", "_limit", "_size", "_trailer")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Not a list of pieces: a million of a byte each would cost 40 times the body.
        self._body = bytearray()
        self._size = 0
        self._buffer = b""
        # Bytes of the current chunk still to come; -1 means a size line is next.
        self._left = -1
        self._trailer = -1

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take bytes; return (body, what follows it) when the body is complete.

        Raises:
            ChunkError: the framing is wrong.
            BodyTooLongError: more than the limit was announced.
        """
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        at = 0
        while True:
            if self._trailer >= 0:
                return self._end(data, at)
            if self._left < 0:
                line = _SIZE_LINE.match(data, at)
                if line is None:
                    self._keep(data[at:], _LINE_BYTES)
                    return None
                at = line.end()
                self._announce(int(line[1], 16))
                continue
            if len(data) - at < self._left + 2:
                at += self._take(data, at)
                self._buffer = data[at:]
                return None
            at += self._take(data, at)
            if data[at : at + 2] != b"\r\n":
                raise ChunkError("a chunk must end in CRLF")
            at += 2
            self._left = -1

    def _announce(self, size: int) -> None:
        if size == 0:
            self._trailer = 0
            return
        self._size += size
        if self._size > self._limit:
            raise BodyTooLongError
        self._left = size

    def _take(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        self._body += piece
        self._left -= len(piece)
        return len(piece)

    def _end(self, data: bytes, at: int) -> tuple[bytes, bytes] | None:
        """Read over the trailer section up to the empty line that ends the body."""
        while not data.startswith(b"\r\n", at):
            line = _FIELD_LINE.match(data, at)
            if line is None:
                self._keep(data[at:], _TRAILER_BYTES)
                return None
            self._trailer += line.end() - at
            if self._trailer > _TRAILER_BYTES:
                raise ChunkError("the trailers are too long")
            at = line.end()
        return bytes(self._body), data[at + 2 :]

    def _keep(self, rest: bytes, limit: int) -> None:
        """Keep the start of a line for the next feed, unless it cannot become one."""
        if len(rest) > limit or b"\n" in rest:
            raise ChunkError("a line of the chunked framing is malformed")
        if self._trailer < 0 and not _SIZE_START.fullmatch(rest):
            raise ChunkError("a chunk's size must be hexadecimal")
        self._buffer = rest
