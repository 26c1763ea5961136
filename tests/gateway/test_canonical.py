"""JSON as it is hashed, and as people are shown it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import MOST_BYTES, UnshowableError, canonical, digest_of, shown, visible

_KEYS = st.text("ab\u202e", max_size=3)
_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": [{"q": 1, "p": 2}]}}, {"a": {"y": [{"p": 2, "q": 1}], "x": 1}}),
        ({"a": 1.0}, {"a": 1}),
        ({"a": -0.0}, {"a": 0}),
        ({"a": 1e3}, {"a": 1000}),
    ],
)
def test_equal_values_are_one_text(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": 1.5}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "x"}, {"a": "x\u200b"}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
    ],
)
def test_different_values_are_different_texts(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical(one) != canonical(other)


def test_a_digest_names_tool_and_arguments() -> None:
    digests = {digest_of(tool, text) for tool in ("a", "b") for text in ("{}", '{"a":1}')}
    # Nothing moves from the one to the other.
    digests |= {digest_of('a","{}', ""), digest_of("a{}", "")}
    assert len(digests) == 6
    assert all(len(each) == 64 for each in digests)


@given(value=st.dictionaries(_KEYS, _JSON, max_size=4))
def test_what_is_shown_is_the_value_and_all_of_it_can_be_seen(value: dict[str, Any]) -> None:
    text = canonical(value)
    people_see = shown(text)
    assert json.loads(people_see) == json.loads(text) == value
    assert all(letter == "\n" or letter.isprintable() for letter in people_see)


@pytest.mark.parametrize(
    ("hidden", "seen"),
    [
        ("\u202e", "\\u202e"),  # what follows reads backwards
        ("\u2066", "\\u2066"),
        ("\u200b", "\\u200b"),
        ("\u200d", "\\u200d"),
        ("\ufeff", "\\ufeff"),
        ("\u00a0", "\\u00a0"),
        ("\u00ad", "\\u00ad"),
        ("\u2028", "\\u2028"),
        ("\u3164", "\\u3164"),  # a letter with nothing to see
        ("\u2800", "\\u2800"),
        ("\ufe0f", "\\ufe0f"),
        ("\x00", "\\u0000"),
        ("\x1b", "\\u001b"),
        ("\x7f", "\\u007f"),
        ("\U000e0041", "\\udb40\\udc41"),  # a tag: text that no font draws
        ("\ue000", "\\ue000"),
    ],
)
def test_what_cannot_be_seen_is_written_out(hidden: str, seen: str) -> None:
    assert visible(f"a{hidden}b") == f"a{seen}b"
    people_see = shown(canonical({"key": f"a{hidden}b"}))
    assert f'"a{seen}b"' in people_see
    assert json.loads(people_see) == {"key": f"a{hidden}b"}


def test_texts_of_people_stay_as_they_are() -> None:
    for text in ("Stra\u00dfe", "\u65e5\u672c\u8a9e", "\u0627\u0644\u0639", "\U0001f600", "a\n\tb"):
        assert visible(text) == text
    assert visible("a\r\nb", lines="") == "a\\r\\nb"


def test_what_is_too_much_is_refused_and_not_shortened() -> None:
    most = {"a": "x" * (MOST_BYTES - len('{"a":""}'))}
    assert len(canonical(most)) == MOST_BYTES
    with pytest.raises(UnshowableError, match="longer than"):
        canonical({"a": most["a"] + "x"})
    # Short, and long for people.
    with pytest.raises(UnshowableError, match="a member to a line"):
        canonical({"a": [0] * 14_000})
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    with pytest.raises(UnshowableError, match="nested"):
        canonical({"a": deep})
    assert canonical({"a": deep[0]})
