"""What counts as an answer, and which schemas can be used."""

from typing import Any

import pytest

from gateway.answers import InvalidSchemaError, check_schema, refusal
from session.model import Choice, Question

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0},
        "mail": {"type": "string", "format": "email"},
    },
    "required": ["age"],
    "additionalProperties": False,
}


def question(**more: Any) -> Question:
    return Question("q", "acme", "agent", "?", 0.0, 1.0, **more)


@pytest.mark.parametrize(("answer", "good"), [("blue", True), ("", False), (" ", True)])
def test_a_plain_question_takes_any_text(answer: str, good: bool) -> None:
    assert (refusal(question(), answer, None) == "") is good


def test_a_choice_is_taken_by_its_value_only() -> None:
    asked = question(choices=(Choice("r", "Red"), Choice("b", "Blue")))
    assert refusal(asked, "b", None) == ""
    assert "r, b" in refusal(asked, "Blue", None)
    assert refusal(asked, "", None)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ({"age": 3}, ""),
        ({"age": 3, "mail": "a@b.example"}, ""),
        ({"age": -1}, "age"),
        ({"age": 1.5}, "age"),
        ({"mail": "a@b.example"}, "age"),
        ({"age": 3, "mail": "no mail"}, "mail"),
        ({"age": 3, "more": 1}, "more"),
        (None, "content"),
    ],
)
def test_a_form_names_the_field_that_is_wrong(content: dict[str, Any] | None, wrong: str) -> None:
    message = refusal(question(schema=FORM), "", content)
    assert (wrong in message) if wrong else message == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "nonsense"},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "description": "x" * 70_000},
        {"type": "object", "description": "\n" * 40_000},
    ],
)
def test_a_schema_nobody_could_answer_is_refused_at_the_ask(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchemaError):
        check_schema(schema)


def test_references_inside_the_schema_are_followed() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    check_schema(schema)
    assert refusal(question(schema=schema), "", {"a": 1}) == ""
    assert refusal(question(schema=schema), "", {"a": "x"})


def test_a_pattern_that_explodes_elsewhere_is_matched_in_linear_time() -> None:
    """(a+)+$ takes a backtracking engine 2^40 steps on this text: this test would not end."""
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    check_schema(schema)
    assert refusal(question(schema=schema), "", {"a": "a" * 40 + "!"})
