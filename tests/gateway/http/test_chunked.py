"""A chunked body is read as the RFC says, and in no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.chunked import BodyTooLongError, ChunkedBody, ChunkError


def feed(data: bytes, *, limit: int = 1000, step: int = 0) -> tuple[bytes, bytes] | None:
    """Feed ``data`` whole or in steps of ``step`` bytes."""
    body = ChunkedBody(limit)
    step = step or len(data)
    for at in range(0, len(data), step):
        complete = body.feed(data[at : at + step])
        if complete is not None:
            whole, rest = complete
            return whole, rest + data[at + step :]
    return None


GOOD = [
    (b"0\r\n\r\n", b"", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
    (b"A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\nGET /", b"0123456789!", b"GET /"),
    (b'3;name="v;x"\r\nabc\r\n0;last\r\nTrailer: x\r\n\r\n', b"abc", b""),
    (b"0003 ; x\r\n\r\n\r\r\n0\r\n\r\n", b"\r\n\r", b""),
]


@pytest.mark.parametrize("step", [0, 1, 2, 3])
@pytest.mark.parametrize(("data", "body", "rest"), GOOD)
def test_good_bodies_in_pieces_of_any_size(
    data: bytes, body: bytes, rest: bytes, step: int
) -> None:
    assert feed(data, step=step) == (body, rest)


BAD = [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\n\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 5\r\nhello\r\n",
    b"\r\n",
    b"G\r\n",
    b"123456789\r\n",
    b"5;" + b"x" * 300 + b"\r\n",
    b"5;bad\x00\r\nhello\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"0\r\nName : x\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"0\r\nA: b\n\r\n",
]


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("data", BAD)
def test_bad_framing_is_refused(data: bytes, step: int) -> None:
    with pytest.raises(ChunkError):
        feed(data, step=step)


def test_a_body_is_refused_as_soon_as_more_than_the_limit_is_announced() -> None:
    with pytest.raises(BodyTooLongError):
        feed(b"3\r\nabc\r\n3e7\r\n", limit=1000)
    with pytest.raises(BodyTooLongError):
        feed(b"FFFFFFFF\r\n")
    assert feed(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n", limit=1000) == (b"x" * 1000, b"")


@given(st.binary(max_size=200), st.integers(1, 7))
def test_any_bytes_end_in_a_body_or_a_clear_error(data: bytes, step: int) -> None:
    try:
        feed(data, step=step)
    except (ChunkError, BodyTooLongError):
        pass


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.binary(max_size=9),
    st.integers(0, 5),
)
def test_what_was_chunked_comes_out_whole(pieces: list[bytes], rest: bytes, step: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert feed(data + rest, step=step) == (b"".join(pieces), rest)
