"""What comes out of gzip and zstd, and how little it takes to be refused."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from session import dictionary
from session.codec import (
    CodingError,
    TooLongError,
    gunzip,
    gzipped,
    unpacking,
    unzstd,
    zstandardized,
)
from session.steps import PIECE, in_one_go

TEXT = b'{"type":"ask_user","question":"Which?"}' * 20
LIMIT = 4096


def streamed(*pieces: bytes, checksum: bool = False) -> bytes:
    """Return a frame that does not say how long it is."""
    made = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=False).compressobj()
    parts = [
        made.compress(piece) + made.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces
    ]
    return b"".join(parts) + made.flush()


@given(st.binary(max_size=LIMIT))
def test_what_goes_in_comes_out(data: bytes) -> None:
    assert gunzip(gzipped(data), LIMIT) == data
    assert unzstd(zstandardized(data), LIMIT) == data
    assert unzstd(streamed(data[:10], data[10:]), LIMIT) == data
    assert gunzip(gzip.compress(data), LIMIT) == data


@given(st.binary(max_size=200))
def test_anything_else_is_refused_and_nothing_worse(data: bytes) -> None:
    for decode in (gunzip, unzstd):
        for given_bytes in (data, b"\x28\xb5\x2f\xfd" + data, b"\x1f\x8b\x08" + data):
            try:
                assert len(decode(given_bytes, LIMIT)) <= LIMIT
            except CodingError:
                continue


@given(st.data())
def test_a_damaged_frame_is_refused_or_harmless(data: st.DataObject) -> None:
    for made, decode in ((gzipped(TEXT), gunzip), (zstandardized(TEXT), unzstd)):
        at = data.draw(st.integers(0, len(made) - 1))
        bit = data.draw(st.integers(0, 7))
        broken = made[:at] + bytes([made[at] ^ 1 << bit]) + made[at + 1 :]
        try:
            # gzip's header has fields that nobody needs.
            assert decode(broken, LIMIT) == TEXT
        except CodingError:
            continue


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_limit_is_exact(size: int) -> None:
    data = b"a" * size
    for made, decode in (
        (gzipped(data), gunzip),
        (zstandardized(data), unzstd),
        (streamed(data), unzstd),
    ):
        if size <= LIMIT:
            assert decode(made, LIMIT) == data
        else:
            with pytest.raises(TooLongError):
                decode(made, LIMIT)


@pytest.mark.parametrize("decode", [gunzip, unzstd])
@pytest.mark.parametrize("content", [TEXT, b""])
def test_a_frame_is_whole_and_alone(decode: Callable[[bytes, int], bytes], content: bytes) -> None:
    frames = [gzipped(content)] if decode is gunzip else [zstandardized(content), streamed(content)]
    for frame in frames:
        for cut in range(len(frame)):
            with pytest.raises(CodingError):
                decode(frame[:cut], LIMIT)
        for more in (b"x", frame, b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"):
            with pytest.raises(CodingError, match="after"):
                decode(frame + more, LIMIT)


def test_skippable_frames_are_not_looked_at() -> None:
    with pytest.raises(CodingError, match="no zstd frame"):
        unzstd(b"\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstandardized(TEXT), LIMIT)


def test_a_window_is_bounded_where_it_would_be_needed() -> None:
    # Of unknown size, with a window of 128 MiB.
    with pytest.raises(CodingError, match="window"):
        unzstd(b"\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", LIMIT)


def test_empty_blocks_are_counted() -> None:
    many = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x00\x00\x00" * 100_000 + b"\x01\x00\x00"
    with pytest.raises(CodingError, match="pieces"):
        unzstd(many, LIMIT)
    few = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x00\x00\x00" * 100 + b"\x01\x00\x00"
    assert unzstd(few, LIMIT) == b""


def test_a_checksum_is_checked() -> None:
    frame = zstandardized(TEXT)
    with pytest.raises(CodingError, match="damaged"):
        unzstd(frame[:-1] + bytes([frame[-1] ^ 1]), LIMIT)


def test_a_dictionary_must_be_known() -> None:
    samples: list[bytes | bytearray | memoryview[int]] = [
        b'{"type":"ask_user","request_id":"%032x","question":"Which %d?"}' % (n, n)
        for n in range(2000)
    ]
    trained = zstandard.train_dictionary(2048, samples)
    frame = zstandard.ZstdCompressor(dict_data=trained).compress(samples[7])
    known = {trained.dict_id(): trained.as_bytes()}
    assert unzstd(frame, LIMIT, known) == samples[7]
    with pytest.raises(CodingError, match=f"the dictionary {trained.dict_id()} is not known"):
        unzstd(frame, LIMIT)


@pytest.mark.parametrize("second", [zstandardized, dictionary.packed])
@pytest.mark.parametrize("first", [zstandardized, dictionary.packed])
def test_between_two_steps_others_may_do_the_same(
    first: Callable[[bytes], bytes], second: Callable[[bytes], bytes]
) -> None:
    """Of all that is under way at once, each comes out as itself, whatever is done meanwhile."""
    noise = hashlib.shake_128(b"noise").digest(5 * PIECE)
    plains = [noise, noise[: 3 * PIECE] + TEXT * 200]
    pairs = list(zip(plains, (first, second), strict=True))
    under_way = {
        plain: unpacking(pack(plain), 16 * PIECE, dictionary.KNOWN) for plain, pack in pairs
    }
    done: dict[bytes, bytes] = {}
    while len(done) < len(plains):
        for plain in plains:
            for frame in (zstandardized(TEXT), dictionary.packed(TEXT)):
                assert unzstd(frame, LIMIT, dictionary.KNOWN) == TEXT
            if plain not in done:
                try:
                    next(under_way[plain])
                except StopIteration as end:
                    done[plain] = end.value
    assert [done[plain] == plain for plain in plains] == [True, True]
    for plain, pack in pairs:
        with pytest.raises(TooLongError):
            in_one_go(unpacking(pack(plain), len(plain) - 1, dictionary.KNOWN))


def test_a_bomb_takes_no_more_memory_than_its_limit() -> None:
    gibibyte = 1 << 30
    bomb = zstandard.ZstdCompressor().compressobj(size=gibibyte)
    piece = bytes(1 << 20)
    known = b"".join(bomb.compress(piece) for _ in range(1024)) + bomb.flush()
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = b"".join(deflater.compress(piece) for _ in range(64)) + deflater.flush()
    tracemalloc.start()
    for _ in range(20):
        for decode, data in ((unzstd, known), (unzstd, streamed(bytes(1 << 22))), (gunzip, member)):
            with pytest.raises(TooLongError):
                decode(data, 1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20
