"""What is compressed, what is not, and what is counted of it."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard

from gateway import codec
from gateway.codings import Codings
from gateway.metrics import Metrics
from session.codec import CodingError, TooLongError
from session.steps import PIECE, WHOLE, in_one_go
from tests.portions import in_portions

TEXT = b"a question " * 100


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return dict(metrics.coded.samples())


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_a_request_is_inflated_within_its_limit_and_counted(coding: bytes) -> None:
    metrics = Metrics()
    codings = Codings(len(TEXT), metrics)
    body = codec.encoded(TEXT, coding)
    assert codings.inflated(body, coding) == TEXT
    label = coding.decode()
    assert counted(metrics) == {
        (label, "in", "coded"): len(body),
        (label, "in", "plain"): len(TEXT),
    }
    with pytest.raises(TooLongError):
        codings.inflated(codec.encoded(TEXT + b"!", coding), coding)
    with pytest.raises(CodingError):
        codings.inflated(b"no such thing", coding)
    assert metrics.coding_refused.samples() == {(label,): 2}


def test_a_response_is_compressed_for_those_who_want_it() -> None:
    metrics = Metrics()
    codings = Codings(1, metrics)
    packed, said = codings.packed(TEXT, b"gzip")
    assert gzip.decompress(packed) == TEXT
    assert said == ((b"Vary", b"Accept-Encoding"), (b"Content-Encoding", b"gzip"))
    assert counted(metrics)["gzip", "out", "coded"] == len(packed)
    assert codings.packed(TEXT, None) == (TEXT, ((b"Vary", b"Accept-Encoding"),))


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_each_piece_of_a_stream_can_be_read_when_it_is_there(coding: bytes) -> None:
    metrics = Metrics()
    codings = Codings(1, metrics)
    stream = codings.stream(coding, 1)
    assert stream is not None
    assert (b"Content-Encoding", coding) in stream.headers
    read = (
        zlib.decompressobj(31).decompress
        if coding == b"gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress
    )
    sent = 0
    for number in range(50):
        event = b"event: message\ndata: %d %b\n\n" % (number, TEXT)
        piece = stream.piece(event)
        assert read(piece) == event
        sent += len(piece)
    assert read(stream.end()) == b""
    assert counted(metrics)[coding.decode(), "out", "coded"] == sent
    assert sent < counted(metrics)[coding.decode(), "out", "plain"] / 10


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_a_large_piece_is_compressed_in_portions(coding: bytes) -> None:
    metrics = Metrics()
    stream = Codings(1, metrics).stream(coding, 1)
    assert stream is not None
    read = (
        zlib.decompressobj(31).decompress
        if coding == b"gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress
    )
    large = TEXT * (3 * WHOLE // len(TEXT))
    assert read(stream.piece(b"before")) == b"before"
    portions, coded = in_portions(stream.coding(large))
    assert portions >= len(large) // PIECE
    assert read(coded) == large
    assert read(stream.piece(b"behind")) == b"behind"
    assert read(stream.end()) == b""
    name = coding.decode()
    assert counted(metrics)[name, "out", "plain"] == len(b"before" + large + b"behind")


@pytest.mark.parametrize("steps", [1, 2])
def test_a_large_piece_of_a_stream_that_is_no_more_is_left_as_it_is(steps: int) -> None:
    metrics = Metrics()
    stream = Codings(1, metrics).stream(b"gzip", 1)
    assert stream is not None
    work = stream.coding(bytes(steps * PIECE))
    for _ in range(2):
        next(work)
    stream.close()
    in_one_go(work)
    assert counted(metrics) == {}


def test_so_many_streams_are_compressed_at_a_time() -> None:
    codings = Codings(1, Metrics())
    streams = [codings.stream(b"zstd, gzip", 3) for _ in range(5)]
    first, second, third, *beyond = streams
    assert first is not None
    assert (second is not None, third is not None) == (True, True)
    assert beyond == [None, None]
    first.close()
    first.close()
    assert codings.streams == 2
    again = codings.stream(b"br, gzip;q=0.5, zstd;q=0.4", 3)
    assert again is not None
    assert again.name == b"gzip"
    for nobody in (None, b"", b"br", b"gzip;q=0"):
        assert codings.stream(nobody, 9) is None


def test_what_would_grow_or_take_too_long_is_left_as_it_is() -> None:
    codings = Codings(1, Metrics())
    noise = gzip.compress(TEXT)
    assert codings.packed(noise, b"gzip") == (noise, ((b"Vary", b"Accept-Encoding"),))
    large = bytes(1024 * 1024 + 1)
    assert codings.packed(large, b"gzip") == (large, ())
