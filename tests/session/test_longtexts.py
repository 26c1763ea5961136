"""JSON with long texts: the same as read and written whole, in steps that stay small."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session import gojson, longtexts
from session.steps import PIECE, WHOLE, Steps, T, in_one_go
from tests.portions import in_portions

TOKEN = "a token that nobody guesses"
# What must not be cut in two, and what ends a string or does not.
ATOMS = ["a", "\\", '"', "\n", "é", "→", "\U0001f600", '\\"', "\x01", "\u2028", "[{", '":']


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text whose atoms lie across the end of a piece, wherever that is."""
    atoms = "".join(draw(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=30)))
    before = draw(st.integers(PIECE - 40, PIECE + 5))
    return "x" * before + atoms + "y" * draw(st.sampled_from([0, 5, PIECE, 2 * PIECE]))


@st.composite
def documents(draw: st.DrawFn) -> Any:
    text = texts() | st.text(max_size=20)
    return draw(
        st.recursive(
            text | st.integers(-5, 5) | st.none(),
            lambda part: (
                st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3)
            ),
            max_leaves=5,
        )
    )


@settings(max_examples=40, deadline=None)
@given(documents(), st.booleans(), st.sampled_from([None, 1]))
def test_a_document_is_what_it_is_when_it_is_read_whole(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert in_one_go(longtexts.decoding(data, TOKEN)) == gojson.decode(data) == value


@settings(max_examples=40, deadline=None)
@given(texts())
def test_atoms_of_all_kinds_may_lie_where_a_piece_ends(text: str) -> None:
    for ascii_only in (True, False):
        data = json.dumps([text, text], ensure_ascii=ascii_only).encode()
        assert in_one_go(longtexts.decoding(data, TOKEN)) == [text, text]


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        (b"\\x", "invalid escape"),
        (b"\x01", "invalid character"),
        (b"\xff", "not UTF-8"),
        (b"\\ud83d", "surrogate"),
        (b'" "', "expected"),
    ],
)
@pytest.mark.parametrize("before", [10, PIECE - 3, PIECE + 10])
def test_what_is_wrong_inside_a_long_text_is_refused(inside: bytes, why: str, before: int) -> None:
    data = b'["%b%b%b"]' % (b"x" * before, inside, b"y" * 2 * PIECE)
    with pytest.raises(gojson.DecodeError, match="(?i)" + why):
        in_one_go(longtexts.decoding(data, TOKEN))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"%b":1}' % (b"k" * 2 * PIECE), "a key is longer than"),
        (b'{"a":"%b","a":"%b"}' % ((b"x" * 2 * PIECE,) * 2), "a key is repeated"),
        (b'["%b' % (b"x" * 3 * PIECE), "does not end"),
        (b'["%b"' % (b"x" * 3 * PIECE), "truncated"),
        (b"[%b0]" % (b"0," * WHOLE), f"more than {WHOLE} bytes besides"),
        (b" " * 2 * WHOLE, f"more than {WHOLE} bytes besides"),
        (b'["%b",{"a":1,"a":2}]' % (b"x" * 2 * PIECE), "a key is repeated"),
        (b'["%b",%b]' % (b"x" * 2 * PIECE, b"[" * 65 + b"]" * 65), "nested more than 64"),
    ],
)
def test_what_is_refused_when_read_whole_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(gojson.DecodeError, match=why):
        in_one_go(longtexts.decoding(data, TOKEN))


def test_a_text_that_looks_like_a_mark_stays_what_it_is() -> None:
    value = [f"{TOKEN[:-1]}:0", "0", "x" * 2 * PIECE]
    assert in_one_go(longtexts.decoding(json.dumps(value).encode(), TOKEN)) == value


@settings(max_examples=20, deadline=None)
@given(texts(), texts())
def test_what_is_written_in_steps_is_what_msgspec_writes(one: str, other: str) -> None:
    writer = longtexts.Writer(TOKEN)
    marked = {"a": writer.mark(one), "b": [writer.mark(other), writer.mark(one)], "c": "short"}
    written = in_one_go(writer.writing(marked))
    assert written == msgspec.json.encode({"a": one, "b": [other, one], "c": "short"})


def counted(steps: Steps[T]) -> int:
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration:
            return count
        count += 1


def test_sixteen_times_as_much_takes_sixteen_times_as_many_steps() -> None:
    """No step grows with the document."""
    small, large = (json.dumps(["x\n" * size]).encode() for size in (WHOLE, 8 * WHOLE))
    steps, more = (counted(longtexts.decoding(data, TOKEN)) for data in (small, large))
    assert steps > 3 * WHOLE // PIECE
    assert more > 7 * steps
    writer = longtexts.Writer(TOKEN)
    assert counted(writer.writing([writer.mark("x\n" * WHOLE)])) >= 2 * WHOLE // PIECE


def test_what_is_put_back_among_many_values_takes_several_steps() -> None:
    value = [["x" * 2 * PIECE], [0] * 100_000]
    data = json.dumps(value, separators=(",", ":")).encode()
    assert in_one_go(longtexts.decoding(data, TOKEN)) == value
    few = json.dumps([["x" * (2 * PIECE + 200_000)], [0]]).encode()
    assert counted(longtexts.decoding(data, TOKEN)) > counted(longtexts.decoding(few, TOKEN))


@settings(max_examples=20, deadline=None)
@given(documents())
def test_a_value_is_marked_as_a_copy_and_quoted_as_a_text(value: Any) -> None:
    before = msgspec.json.encode(value)
    writer = longtexts.Writer(TOKEN)
    marked = in_one_go(writer.marking(value))
    assert msgspec.json.encode(value) == before
    assert in_one_go(writer.writing(marked)) == before
    quoted = in_one_go(longtexts.quoting(in_one_go(writer.pieces(marked))))
    assert b"".join(quoted) == msgspec.json.encode(before.decode())


@pytest.mark.parametrize(
    ("value", "is_long"),
    [
        (None, False),
        ({"a": ["x" * 1000, 5, {"b": "y"}]}, False),
        ("x" * longtexts.LONG, False),
        ({"a": [{"b": "x" * (longtexts.LONG + 1)}]}, True),
        (["x" * 1000] * 300, True),
        ([0] * 300_000, True),
        ({str(number): [[]] for number in range(20_000)}, True),
    ],
)
def test_what_is_too_long_to_be_written_in_one_go(value: Any, is_long: bool) -> None:
    assert longtexts.is_long(value) is is_long


@pytest.mark.parametrize(("most", "is_long"), [(10, True), (11, False)])
def test_what_is_too_long_for_what_it_is_for(most: int, is_long: bool) -> None:
    assert longtexts.is_long({"a": ["x" * 4, "y" * 3], "b": 0}, most, 1) is is_long


@pytest.mark.parametrize("atom", ["prose ", '\\"\n', "\u2192", "\x01"])
def test_no_more_than_a_piece_is_written_or_read_in_one_go(atom: str) -> None:
    texts = [atom * (4 * WHOLE // len(atom)), atom * (3 * WHOLE // len(atom))]
    value = {"a": texts, "b": "short"}
    data = msgspec.json.encode(value)
    steps, read = in_portions(longtexts.decoding(data, TOKEN))
    assert read == value
    # Each piece is looked at, and then decoded.
    assert steps >= 2 * (len(data) // PIECE)
    writer = longtexts.Writer(TOKEN)
    marked = in_one_go(writer.marking(value))
    steps, pieces = in_portions(writer.pieces(marked))
    assert steps >= sum(len(text) // PIECE for text in texts)
    # Each character may become six bytes.
    assert max(map(len, pieces)) <= 6 * PIECE
    steps, quoted = in_portions(longtexts.quoting(pieces))
    assert steps >= sum(len(text) // PIECE for text in texts)
    # Of those six a backslash is doubled.
    assert max(map(len, quoted)) <= 12 * PIECE


def test_what_has_a_key_as_long_as_a_text_is_refused_whoever_parses_the_rest() -> None:
    data = b'{"%b":"%b"}' % (b"k" * 2 * PIECE, b"x" * 2 * PIECE)
    with pytest.raises(gojson.DecodeError, match="a key is longer"):
        in_one_go(longtexts.decoding(data, TOKEN, parse=msgspec.json.decode))


def test_how_much_there_may_be_besides_long_texts_is_for_the_caller_to_say() -> None:
    data = b"[%b0]" % (b"0," * WHOLE)
    assert in_one_go(longtexts.decoding(data, TOKEN, most=3 * WHOLE)) == [0] * (WHOLE + 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=5) | st.just(b"x" * (WHOLE + 3)), max_size=8))
def test_pieces_are_joined_a_part_at_a_time(pieces: list[bytes]) -> None:
    joined = in_one_go(longtexts.joining(pieces))
    assert type(joined) is bytes
    assert joined == b"".join(pieces)
    assert counted(longtexts.joining(pieces)) >= len(joined) // (2 * WHOLE)
