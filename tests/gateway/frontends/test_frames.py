"""The short way through frames, and what is handed on (RFC 6455 section 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.frontends.frames import encode_text, is_long_control, missing, scan, take_fragments

LIMIT = 70_000


def frame(
    payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True, mask: bool = True
) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=mask)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, LIMIT])
def test_a_text_of_any_size_within_the_limit_is_taken(size: int) -> None:
    assert scan(frame(b"x" * size) + b"\x81", LIMIT) == ([b"x" * size], b"", b"\x81")


def test_texts_in_one_read_come_in_order() -> None:
    data = b"".join(frame(b"%d" % number) for number in range(50))
    assert scan(data, LIMIT) == ([b"%d" % number for number in range(50)], b"", b"")


@pytest.mark.parametrize("size", [5, 300, 66_000])
def test_an_unfinished_frame_is_left_for_the_next_read(size: int) -> None:
    whole = frame(b"x" * size)
    for cut in (1, 2, 3, 5, 7, 9, len(whole) - 1):
        texts, special, rest = scan(frame(b"first") + whole[:cut], LIMIT)
        assert (texts, special, rest) == ([b"first"], b"", whole[:cut])


@pytest.mark.parametrize(
    "strange",
    [
        frame(b"", Opcode.PING),
        frame(b"x" * 125, Opcode.PONG),
        frame(b"\x03\xe8", Opcode.CLOSE),
        frame(b"x", Opcode.BINARY),
        frame(b"x", fin=False),
        frame(b"x", Opcode.CONT),
        b"\xc1" + frame(b"x")[1:],
        b"\x83" + frame(b"x")[1:],
    ],
)
def test_whatever_is_not_plain_is_handed_on_whole(strange: bytes) -> None:
    after = frame(b"b")
    assert scan(frame(b"a") + strange + after, LIMIT) == ([b"a"], strange, after)


@pytest.mark.parametrize(
    "illegal",
    [
        frame(b"x", mask=False),
        b"\x81\xfe\xff\xff",
        b"\x81\xff" + (LIMIT + 1).to_bytes(8, "big"),
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x89\xfe\x00\x80",
    ],
)
def test_an_illegal_frame_is_handed_on_before_its_payload_comes(illegal: bytes) -> None:
    limit = 60_000 if illegal.startswith(b"\x81\xfe") else LIMIT
    assert scan(illegal, limit) == ([], illegal, b"")


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
def test_an_encoded_text_is_the_librarys(size: int) -> None:
    payload = b"x" * size
    assert encode_text(payload) == frame(payload, mask=False)


@given(st.lists(st.binary(max_size=300), max_size=10), st.integers(1, 50))
def test_texts_survive_any_cut(payloads: list[bytes], step: int) -> None:
    data = b"".join(map(frame, payloads))
    found: list[bytes] = []
    rest = b""
    for at in range(0, len(data), step):
        texts, special, rest = scan(rest + data[at : at + step], LIMIT)
        assert special == b""
        found += texts
    assert (found, rest) == (payloads, b"")


@given(st.binary(max_size=200))
def test_any_bytes_are_texts_a_strange_frame_or_the_start_of_one(data: bytes) -> None:
    texts, special, rest = scan(data, 100)
    assert all(len(text) <= 100 for text in texts)
    assert len(special) + len(rest) <= len(data)


@given(st.binary(max_size=300), st.data())
def test_what_is_missing_of_a_frame_is_never_overestimated(
    payload: bytes, data: st.DataObject
) -> None:
    """Waiting for that many bytes and asking again ends exactly at the frame's end."""
    whole = frame(payload)
    have = data.draw(st.integers(0, len(whole) - 1))
    while have < len(whole):
        assert missing(whole[:have]) > 0
        have += missing(whole[:have])
    assert have == len(whole)


PINGED = frame(b"?", Opcode.PING)
BEGUN = frame(b"Is ", fin=False)
GOES_ON = frame(b"it ", Opcode.CONT, fin=False)
ENDS = frame(b"so?", Opcode.CONT)


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (ENDS, ENDS),
        (ENDS + ENDS, ENDS),
        (ENDS + BEGUN, ENDS),
        (PINGED + GOES_ON + PINGED + ENDS + PINGED, PINGED + GOES_ON + PINGED + ENDS),
        (GOES_ON + ENDS[:-1], GOES_ON),
        (GOES_ON + ENDS[:1], GOES_ON),
        (GOES_ON[:-1], b""),
        (GOES_ON[:1], b""),
        (GOES_ON * 300, GOES_ON * 256),
        # What is illegal comes alone, and is not waited for.
        (GOES_ON + b"\x80\x05", GOES_ON),
        (b"\x80\x05" + ENDS, b"\x80\x05" + ENDS),
        (GOES_ON + b"\x89\xfe", GOES_ON),
        (b"\x89\xfe\x00", b"\x89\xfe\x00"),
        (b"\x80\xff" + (LIMIT + 15).to_bytes(8, "big"),) * 2,
        (b"\x80\xff" + LIMIT.to_bytes(8, "big"), b""),
    ],
)
def test_fragments_are_taken_up_to_the_end_of_their_message(data: bytes, taken: bytes) -> None:
    assert take_fragments(data, LIMIT) == (taken, data[len(taken) :])


@pytest.mark.parametrize("size", [65_535, 65_536, LIMIT])
def test_a_long_frame_is_waited_for_in_one_step_once_its_header_is_there(size: int) -> None:
    whole = frame(b"x" * size)
    assert missing(whole[:14]) == len(whole) - 14
    assert missing(whole) == 0


@pytest.mark.parametrize(
    ("start", "is_long"),
    [(b"\x89\xfd", False), (b"\x89\xfe", True), (b"\x8a\xff", True), (b"\x81\xfe", False)],
)
def test_a_control_frame_is_known_to_be_too_long_by_its_first_bytes(
    start: bytes, is_long: bool
) -> None:
    assert is_long_control(start) is is_long
