"""gzip and zstd, one frame at a time and never more of it than asked for.

Pure module. Whoever sends a compressed body says how small it is and not how large it
becomes: so every output has a limit, declared sizes are only believed to refuse, and a
frame is all there is: nothing behind it, nothing skipped, no window beyond 8 MiB (RFC
1952, RFC 8878). klauspost/compress and compress/gzip of Go read and write the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, final

import zstandard

from session.steps import PIECE, Steps, in_one_go

_NONE: Final[Mapping[int, bytes]] = {}
#: How frames begin that can be told from JSON by their first bytes.
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: RFC 8878 section 3.1.1.1.2 recommends to support at least this.
_WINDOW: Final = 8 * 1024 * 1024
_BLOCK_HEADER: Final = 3
_CHECKSUM: Final = 4
_SMALL_BLOCK: Final = 256
_BLOCKS: Final = 1_000
_BLOCKS_PER_STEP: Final = 10_000
#: What ends a message of permessage-deflate, and is not sent.
EMPTY_BLOCK: Final = b"\x00\x00\xff\xff"
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
# Where more costs more time than it saves bytes: `loadtest.codecs` has the table.
_GZIP_LEVEL: Final = 5
_ZSTD_LEVEL: Final = 3
# With a dictionary: a short message is worth the better level, which takes 4 us instead of
# one; where it would take a millisecond it is not.
_SHORT_LEVEL: Final = 9
_SHORT: Final = 2 * 1024

# Making them takes longer than using them on a message; they are of one thread only, and for
# what is done in one go.
_COMPRESSOR: Final = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
_DECOMPRESSOR: Final = zstandard.ZstdDecompressor()


class CodingError(ValueError):
    """These bytes are not what their coding says; the message tells what is wrong."""


class TooLongError(CodingError):
    """More would come out than may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes come out of it")


class UnknownDictionaryError(CodingError):
    """A frame names a dictionary that is not among those it may name."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the dictionary {number} is not known here")
        self.number = number


@final
class Packer:
    """Makes zstd frames with a dictionary, which they name.

    Its checksum is left out: a tenth of a short message, and what carries these frames has
    its own.
    """

    __slots__ = ("_dictionary", "_long", "_short")

    def __init__(self, dictionary: bytes) -> None:
        self._dictionary = dictionary
        self._short = _packer(dictionary, _SHORT_LEVEL)
        self._long = _packer(dictionary, _ZSTD_LEVEL)

    def packed(self, data: bytes) -> bytes:
        """Return a frame that says how long its content is."""
        return (self._short if len(data) < _SHORT else self._long).compress(data)

    def packing(self, data: bytes) -> Steps[bytes]:
        """Do as `packed` does with what is long, step by step."""
        return _compressing(_packer(self._dictionary, _ZSTD_LEVEL), data)


def _packer(dictionary: bytes, level: int) -> zstandard.ZstdCompressor:
    prepared = zstandard.ZstdCompressionDict(dictionary)
    prepared.precompute_compress(level)
    return zstandard.ZstdCompressor(level=level, dict_data=prepared)


# To prepare a dictionary takes longer than to use it on a message.
@lru_cache(maxsize=8)
def _prepared(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(dictionary)


@lru_cache(maxsize=8)
def _unpacker(dictionary: bytes) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_prepared(dictionary))


def gunzip(data: bytes, limit: int) -> bytes:
    """Return what is in one gzip member.

    Raises:
        TooLongError: it is longer than ``limit``.
        CodingError: it is cut off, damaged, or not alone.
    """
    inflater = zlib.decompressobj(_GZIP_BITS)
    try:
        plain = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise CodingError(f"this is no gzip: {error}") from None
    if len(plain) > limit:
        raise TooLongError(limit)
    if not inflater.eof:
        raise CodingError("this gzip is cut off")
    if inflater.unused_data:
        raise CodingError("something comes after this gzip member")
    return plain


def unzstd(data: bytes, limit: int, dictionaries: Mapping[int, bytes] = _NONE) -> bytes:
    """Return what is in one zstd frame; ``dictionaries`` are those it may name, by their ids.

    Raises:
        TooLongError: it is longer than ``limit``.
        UnknownDictionaryError: it names none of ``dictionaries``.
        CodingError: it is cut off, damaged, not alone, or needs too large a window.
    """
    known = in_one_go(_checked(data, limit, dictionaries))
    decompressor = _DECOMPRESSOR if known is None else _unpacker(known)
    try:
        # A byte more than may be, to tell what is too long from what just fits.
        plain = decompressor.decompress(data, max_output_size=limit + 1)
    except zstandard.ZstdError as error:
        if "did not decompress full frame" in str(error):
            # It is whole, as its blocks say, so there is more of it.
            raise TooLongError(limit) from None
        raise CodingError(f"this zstd frame is damaged: {error}") from None
    if len(plain) > limit:
        raise TooLongError(limit)
    return plain


def unpacking(data: bytes, limit: int, dictionaries: Mapping[int, bytes] = _NONE) -> Steps[bytes]:
    """Do as `unzstd` does, step by step."""
    known = yield from _checked(data, limit, dictionaries)
    # One of its own: between two steps, others use those that everybody has.
    prepared = None if known is None else _prepared(known)
    decompressor = zstandard.ZstdDecompressor(dict_data=prepared)
    plain = bytearray()
    with decompressor.stream_reader(data) as reader:
        while True:
            try:
                piece = reader.read(PIECE)
            except zstandard.ZstdError as error:
                raise CodingError(f"this zstd frame is damaged: {error}") from None
            if not piece:
                return bytes(plain)
            plain += piece
            if len(plain) > limit:
                raise TooLongError(limit)
            yield


def ungzipping(data: bytes, limit: int) -> Steps[bytes]:
    """Do as `gunzip` does, step by step."""
    inflater = zlib.decompressobj(_GZIP_BITS)
    try:
        plain = yield from _inflating(inflater, data, limit)
    except zlib.error as error:
        raise CodingError(f"this is no gzip: {error}") from None
    if not inflater.eof:
        raise CodingError("this gzip is cut off")
    if inflater.unused_data:
        raise CodingError("something comes after this gzip member")
    return plain


def undeflating(data: bytes, limit: int, window_bits: int) -> Steps[bytes]:
    """Return what is in a message of permessage-deflate, step by step (RFC 7692 section 7.2.2).

    Raises:
        TooLongError: it is longer than ``limit``.
        CodingError: it is damaged.
    """
    inflater = zlib.decompressobj(-window_bits)
    try:
        return (yield from _inflating(inflater, data + EMPTY_BLOCK, limit))
    except zlib.error as error:
        raise CodingError(f"this is not deflated: {error}") from None


def _inflating(inflater: zlib._Decompress, data: bytes, limit: int) -> Steps[bytes]:
    plain = bytearray()
    for at in range(0, len(data), PIECE):
        left, piece = data[at : at + PIECE], b""
        # It may have taken all there is and still have more to give.
        while (left or len(piece) == PIECE) and not inflater.eof:
            piece = inflater.decompress(left, PIECE)
            left = inflater.unconsumed_tail
            plain += piece
            if len(plain) > limit:
                raise TooLongError(limit)
            yield
        if inflater.eof and at + PIECE < len(data):
            raise CodingError("something comes after its end")
    return bytes(plain)


def names_dictionary(data: bytes) -> bool:
    """Whether a zstd frame says which dictionary it needs (RFC 8878 section 3.1.1.1.1.6)."""
    return len(data) > len(ZSTD) and data[len(ZSTD)] & 3 != 0


def _checked(data: bytes, limit: int, dictionaries: Mapping[int, bytes]) -> Steps[bytes | None]:
    """Return the dictionary of a frame, if it has one, unless what it says of itself is refused."""
    if not data.startswith(ZSTD):
        # Skippable frames are none: they would be work for nothing.
        raise CodingError("this is no zstd frame")
    try:
        frame = zstandard.get_frame_parameters(data)
        yield from _check_frame(data, frame, limit)
    except zstandard.ZstdError:
        raise CodingError("the header of this zstd frame is damaged") from None
    if not frame.dict_id:
        return None
    known = dictionaries.get(frame.dict_id)
    if known is None:
        raise UnknownDictionaryError(frame.dict_id)
    return known


def _check_frame(data: bytes, frame: zstandard.FrameParameters, limit: int) -> Steps[None]:
    """Refuse what a frame says of itself, before anything is made of it."""
    if frame.content_size != zstandard.CONTENTSIZE_UNKNOWN:
        # The library would make room for whatever a frame says that it has.
        if frame.content_size > limit:
            raise TooLongError(limit)
    elif frame.window_size > _WINDOW:
        raise CodingError(f"this zstd frame needs a window of more than {_WINDOW} bytes")
    length = yield from _frame_length(data, frame, limit)
    if length > len(data):
        raise CodingError("this zstd frame is cut off")
    if length < len(data):
        raise CodingError("something comes after this zstd frame")


def _frame_length(data: bytes, frame: zstandard.FrameParameters, limit: int) -> Steps[int]:
    """Return how long a frame is by its blocks (RFC 8878 section 3.1.1.2).

    More than ``len(data)`` when it is cut off. Blocks that bring next to nothing are work
    for us and cheap for their sender, so there is a limit to how many there may be.
    """
    at: int = zstandard.frame_header_size(data)
    for count in range(limit // _SMALL_BLOCK + _BLOCKS):
        header = int.from_bytes(data[at : at + _BLOCK_HEADER], "little")
        if at + _BLOCK_HEADER > len(data):
            return len(data) + 1
        is_run = header >> 1 & 3 == 1
        at += _BLOCK_HEADER + (1 if is_run else header >> 3)
        if header & 1:
            return at + (_CHECKSUM if frame.has_checksum else 0)
        if count % _BLOCKS_PER_STEP == _BLOCKS_PER_STEP - 1:
            yield
    raise CodingError("this zstd frame is in too many pieces")


def gzipped(data: bytes) -> bytes:
    """Return a gzip member with no name and no time, as equal inputs should be equal."""
    deflater = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)
    return deflater.compress(data) + deflater.flush()


def zstandardized(data: bytes) -> bytes:
    """Return a zstd frame that says how long its content is."""
    return _COMPRESSOR.compress(data)


def packing(data: bytes) -> Steps[bytes]:
    """Do as `zstandardized` does, step by step."""
    return _compressing(zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True), data)


def _compressing(compressor: zstandard.ZstdCompressor, data: bytes) -> Steps[bytes]:
    """Return a frame of a compressor that nobody else uses meanwhile, step by step."""
    packer = compressor.compressobj(len(data))
    packed = bytearray()
    for at in range(0, len(data), PIECE):
        packed += packer.compress(data[at : at + PIECE])
        yield
    packed += packer.flush()
    return bytes(packed)


def deflating(data: bytes, deflater: zlib._Compress) -> Steps[bytes]:
    """Return what is to be sent of a message of permessage-deflate, step by step."""
    packed = bytearray()
    for at in range(0, len(data), PIECE):
        packed += deflater.compress(data[at : at + PIECE])
        yield
    packed += deflater.flush(zlib.Z_SYNC_FLUSH)
    return bytes(packed.removesuffix(EMPTY_BLOCK))
