"""Bodies made smaller and whole again, with what that brings counted.

What does not get smaller is left as it is, and so is what would keep everybody else
waiting. From which size it is worth the time is a setting; `loadtest.codecs` has a table.

An event stream is compressed event by event: each can be read as soon as it is there. What
compresses it lives as long as the stream does, and costs it some 25 KiB (gzip) or 50 (zstd)
where a stream without takes two: so there may be only so many, by default none.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, final

import zstandard

from gateway import codec
from session.codec import CodingError, TooLongError
from session.longtexts import joining
from session.steps import PIECE, WHOLE, Steps

if TYPE_CHECKING:
    from gateway.http.messages import Headers
    from gateway.metrics import Metrics

_LARGEST: Final = 1024 * 1024
_VARIES: Final = (b"Vary", b"Accept-Encoding")
_LABELS: Final = {b"gzip": "gzip", b"zstd": "zstd"}
# gzip first: it needs half the memory for the same bytes.
_STREAM_CODINGS: Final = (b"gzip", b"zstd")
# A window of 4 KiB: an event is like the one before it.
_GZIP_WINDOW: Final = 16 + 12
_GZIP_MEMORY: Final = 5
_GZIP_LEVEL: Final = 5
_ZSTD: Final = zstandard.ZstdCompressionParameters(
    window_log=12, chain_log=10, hash_log=11, strategy=zstandard.STRATEGY_FAST
)


@final
class Codings:
    """What all ports of a process share.

    Args:
        limit: bytes that may come out of a request's body.
    """

    __slots__ = ("_metrics", "limit", "streams")

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        #: Streams that are compressed now.
        self.streams = 0
        self._metrics = metrics

    def inflated(self, body: bytes, coding: bytes) -> bytes | None:
        """Return what is in a request's body; ``None`` for what `inflating` is to do.

        Raises:
            session.codec.CodingError: nothing usable; `TooLongError` when it is too much.
        """
        if len(body) > WHOLE:
            return None
        try:
            plain = codec.decoded(body, coding, min(self.limit, WHOLE))
        except CodingError as error:
            if isinstance(error, TooLongError) and self.limit > WHOLE:
                return None
            self._metrics.coding_refused.labels(_LABELS[coding]).inc()
            raise
        self._count_inflated(coding, body, plain)
        return plain

    def inflating(self, body: bytes, coding: bytes) -> Steps[bytes]:
        """Return what is in a request's body, step by step.

        Raises:
            session.codec.CodingError: as `inflated` does.
        """
        try:
            plain = yield from codec.decoding(body, coding, self.limit)
        except CodingError:
            self._metrics.coding_refused.labels(_LABELS[coding]).inc()
            raise
        self._count_inflated(coding, body, plain)
        return plain

    def _count_inflated(self, coding: bytes, body: bytes, plain: bytes) -> None:
        label = _LABELS[coding]
        self._metrics.coded.labels(label, "in", "coded").inc(len(body))
        self._metrics.coded.labels(label, "in", "plain").inc(len(plain))

    def packed(self, body: bytes, accept: bytes | None) -> tuple[bytes, Headers]:
        """Return a response's body for who sent this Accept-Encoding, and what to say of it."""
        size = len(body)
        if size > _LARGEST:
            return body, ()
        coding = codec.preferred(accept)
        if not coding:
            return body, (_VARIES,)
        packed = codec.encoded(body, coding)
        if len(packed) >= size:
            return body, (_VARIES,)
        label = _LABELS[coding]
        self._metrics.coded.labels(label, "out", "plain").inc(size)
        self._metrics.coded.labels(label, "out", "coded").inc(len(packed))
        return packed, (_VARIES, (b"Content-Encoding", coding))

    def stream(self, accept: bytes | None, most: int) -> StreamCoding | None:
        """Return what compresses a stream for who sent this Accept-Encoding.

        There are ``most`` at a time: the streams beyond are as plain as those of callers
        that do not ask for more.
        """
        coding = codec.preferred(accept, _STREAM_CODINGS)
        if not coding or self.streams >= most:
            return None
        self.streams += 1
        return StreamCoding(self, coding)

    def count_piece(self, coding: bytes, plain: int, coded: int) -> None:
        """Count a piece of a stream."""
        label = _LABELS[coding]
        self._metrics.coded.labels(label, "out", "plain").inc(plain)
        self._metrics.coded.labels(label, "out", "coded").inc(coded)


@final
class StreamCoding:
    """Compresses one stream, piece by piece; see `gateway.http.response.PieceCoding`."""

    __slots__ = ("_codings", "_deflater", "_packer", "headers", "name")

    def __init__(self, codings: Codings, coding: bytes) -> None:
        self._codings: Codings | None = codings
        self.name = coding
        self.headers: Headers = (_VARIES, (b"Content-Encoding", coding))
        self._deflater: zlib._Compress | None = None
        self._packer: zstandard.ZstdCompressionObj | None = None
        if coding == b"gzip":
            self._deflater = zlib.compressobj(
                _GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW, _GZIP_MEMORY
            )
        else:
            self._packer = zstandard.ZstdCompressor(compression_params=_ZSTD).compressobj()

    def piece(self, data: bytes) -> bytes:
        """Return a piece as it is sent: its reader can read all of it."""
        coded = self._compressed(data) + self._flushed()
        if self._codings is not None:
            self._codings.count_piece(self.name, len(data), len(coded))
        return coded

    def coding(self, data: bytes) -> Steps[bytes]:
        """Do as `piece` does, step by step: no other piece until it is done.

        Nothing usable comes of it once the stream is of no use any more.
        """
        parts = []
        for at in range(0, len(data), PIECE):
            if self._codings is None:
                return b""
            parts.append(self._compressed(data[at : at + PIECE]))
            yield
        coded = yield from joining((*parts, self._flushed()))
        if self._codings is not None:
            self._codings.count_piece(self.name, len(data), len(coded))
        return coded

    def _compressed(self, data: bytes) -> bytes:
        if self._deflater is not None:
            return self._deflater.compress(data)
        assert self._packer is not None
        return self._packer.compress(data)

    def _flushed(self) -> bytes:
        if self._deflater is not None:
            return self._deflater.flush(zlib.Z_SYNC_FLUSH)
        assert self._packer is not None
        return self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        """Return what ends the stream."""
        if self._deflater is not None:
            return self._deflater.flush()
        assert self._packer is not None
        return self._packer.flush()

    def close(self) -> None:
        """Make room for another; called once it is of no use, however that came about."""
        if self._codings is not None:
            self._codings.streams -= 1
            self._codings = None
