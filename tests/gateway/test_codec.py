"""Which coding is meant, and which is preferred."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codec import (
    CODINGS,
    UnsupportedCodingError,
    coding_of,
    decoded,
    encoded,
    preferred,
)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, b""),
        (b"", b""),
        (b"gzip", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"zstd", b"zstd"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"gzip;q=1.0, zstd;q=0.5", b"gzip"),
        (b"gzip;q=0, zstd;q=0", b""),
        (b"*", b"zstd"),
        (b"*;q=0.1, gzip", b"gzip"),
        (b"zstd;q=0, *", b"gzip"),
        (b"identity, gzip;q=0.5", b""),
        (b"identity;q=0.5, gzip", b"gzip"),
        (b"deflate, br", b""),
        (b"GZIP ; q=0.3", b"gzip"),
        (b"gzip;q=nonsense", b"gzip"),
    ],
)
def test_who_accepts_several_gets_what_they_like_best(accept: bytes | None, coding: bytes) -> None:
    assert preferred(accept) == coding


@given(st.binary(max_size=60))
def test_any_header_has_an_answer(header: bytes) -> None:
    assert preferred(header) in (b"", *CODINGS)
    try:
        assert coding_of(header) in (b"", *CODINGS)
    except UnsupportedCodingError:
        assert header


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_comes_back(coding: bytes) -> None:
    body = b"a question " * 100
    packed = encoded(body, coding)
    assert len(packed) < len(body) / 5
    assert decoded(packed, coding, len(body)) == body
