"""Questions and answers as texts; `tests/gateway/mcp/test_several.py` has them asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.texts import content_of, listed
from session.model import Question

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "title": "One?"},
        "b": {"type": "integer", "title": "Two?"},
    },
}
QUESTION = Question("q", "acme", "agent", "Both", 0.0, 1.0, schema=SCHEMA, parts=("a", "b"))


def test_each_is_a_line() -> None:
    assert listed(QUESTION).splitlines()[2:4] == ["1. One?", "2. Two?"]


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("x\n7", {"a": "x", "b": 7}),
        ("b: 7\na: x", {"a": "x", "b": 7}),
        ("x\nseven", {"a": "x", "b": "seven"}),
        # A number of no question, and a name of none, are part of the answer.
        ("3. x\nc: 7", {"a": "3. x", "b": "c: 7"}),
        ("x", None),
        ("1. x\n1. y", None),
        ('{"a": 1}', {"a": 1}),
        ("{no", None),
        ("x" * 262_142 + "\n7", {"a": "x" * 262_142, "b": 7}),
        # Too long to be looked at in one go.
        ("x" * 262_143 + "\n7", None),
    ],
)
def test_what_a_text_says(answer: str, content: dict[str, Any] | None) -> None:
    assert content_of(QUESTION, answer) == content


@given(answer=st.text(max_size=200))
def test_any_text_is_content_for_all_or_none(answer: str) -> None:
    content = content_of(QUESTION, answer)
    if content is not None and not answer.lstrip().startswith("{"):
        assert content.keys() == {"a", "b"}
