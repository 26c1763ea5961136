"""Several questions in one: the form they are, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.frontends.messages import Stamps, ask_user
from tests.gateway.mcp.recording import Port, Recorder, Screen

QUESTIONS = [
    {"question": "Which version?"},
    {
        "id": "where",
        "question": "Where to?",
        "choices": ["staging", {"value": "prod", "label": "Production", "description": "Live"}],
    },
    {"id": "notify", "question": "Tell everybody?", "schema": {"type": "boolean"}},
]


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def put(port: Port, questions: Any = QUESTIONS, **more: Any) -> Recorder:
    arguments = {"question": "The release", "questions": questions, **more}
    return port.modern("tools/call", {"name": "ask_user", "arguments": arguments})


def structured(response: Recorder) -> dict[str, Any]:
    found: dict[str, Any] = response.reply["result"]["structuredContent"]
    return found


def words(response: Recorder) -> str:
    text: str = response.reply["result"]["content"][0]["text"]
    return text


def test_they_are_one_question_with_a_form(port: Port, screen: Screen) -> None:
    response = put(port)
    (question,) = screen.asked
    assert question.parts == ("q1", "where", "notify")
    assert question.schema == {
        "type": "object",
        "properties": {
            "q1": {"type": "string", "minLength": 1, "title": "Which version?"},
            "where": {
                "type": "string",
                "oneOf": [
                    {"const": "staging", "title": "staging"},
                    {"const": "prod", "title": "Production: Live"},
                ],
                "title": "Where to?",
            },
            "notify": {"type": "boolean", "title": "Tell everybody?"},
        },
        "required": ["q1", "where", "notify"],
        "additionalProperties": False,
    }
    content = {"q1": "1.2", "where": "prod", "notify": True}
    assert port.answer(screen, "", content=content | {"where": "elsewhere"}) == "invalid"
    assert port.answer(screen, "", content={"q1": "1.2"}) == "invalid"
    assert port.answer(screen, "", content=content) == "accepted"
    assert structured(response)["content"] == content
    assert json.loads(words(response)) == content


def test_who_knows_only_texts_reads_a_list(port: Port, screen: Screen) -> None:
    put(port)
    frame = json.loads(ask_user(screen.asked[0], Stamps()))
    assert frame["heading"] == "The release"
    assert frame["question"] == (
        "The release\n\n"
        "1. Which version?\n"
        "2. Where to? (staging / prod)\n"
        "3. Tell everybody?\n\n"
        "Answer in 3 lines, the first for question 1."
    )


@pytest.mark.parametrize(
    "answer",
    [
        "1.2\nprod\ntrue",
        "1. 1.2\n2. prod\n3. true",
        "2) prod\n1) 1.2\n3) true",
        "q1: 1.2\n\nnotify: true\nwhere: Production: Live\n",
        '{"q1": "1.2", "where": "prod", "notify": true}',
    ],
)
def test_who_knows_only_texts_answers_in_lines(port: Port, screen: Screen, answer: str) -> None:
    response = put(port)
    assert port.answer(screen, answer) == "accepted"
    assert structured(response)["content"] == {"q1": "1.2", "where": "prod", "notify": True}


@pytest.mark.parametrize(
    "answer", ["", "1.2", "1.2\nprod", "1.2\nprod\ntrue\nmore", "1. a\n1. b\n1. c", "{", "[1]"]
)
def test_a_text_that_is_not_clear_is_refused(port: Port, screen: Screen, answer: str) -> None:
    response = put(port)
    assert port.answer(screen, answer) == "invalid"
    assert not response.complete


def test_references_inside_a_schema_stay_good(port: Port, screen: Screen) -> None:
    own = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/side"}, "self": {"$ref": "#"}},
        "$defs": {"side": {"enum": ["a", {"$ref": "#/kept"}]}},
    }
    response = put(port, [{"id": "tree", "question": "Which?", "schema": own}])
    schema = screen.asked[0].schema
    assert schema is not None
    moved = schema["properties"]["tree"]
    assert moved["properties"]["left"] == {"$ref": "#/properties/tree/$defs/side"}
    assert moved["properties"]["self"] == {"$ref": "#/properties/tree"}
    # What is data stays as it is.
    assert moved["$defs"]["side"]["enum"][1] == {"$ref": "#/kept"}
    assert port.answer(screen, "", content={"tree": {"left": "b"}}) == "invalid"
    assert port.answer(screen, "", content={"tree": {"self": {"left": "a"}}}) == "accepted"
    assert structured(response)["content"] == {"tree": {"self": {"left": "a"}}}


@pytest.mark.parametrize(
    ("questions", "more", "hint"),
    [
        ([{"question": "?"}] * 21, {}, "$.questions"),
        ([{"question": ""}], {}, "question"),
        ([{"question": "?", "id": "a b"}], {}, "id"),
        ([{"question": "?", "id": "a\n"}], {}, "id"),
        ([{"question": "?", "id": "a"}] * 2, {}, "same id"),
        ([{"question": "?", "id": "q2"}, {"question": "?"}], {}, "same id"),
        ([{"question": "?", "choices": ["a", "a"]}], {}, "q1: two choices"),
        ([{"question": "?", "choices": ["a"], "schema": {}}], {}, "q1: give either"),
        ([{"question": "?"}], {"choices": ["a"]}, "not beside them"),
        ([{"question": "?"}], {"schema": {"type": "object"}}, "not beside them"),
        ([{"question": "?", "schema": {"$ref": "http://elsewhere/"}}], {}, "another document"),
        ([{"question": "?", "schema": {"enum": [0] * 40_000}}] * 2, {}, "together too large"),
    ],
)
def test_what_cannot_be_asked_together(
    port: Port, screen: Screen, questions: Any, more: dict[str, Any], hint: str
) -> None:
    response = put(port, questions, **more)
    assert response.reply["result"]["isError"]
    assert hint in words(response)
    assert screen.asked == []


def test_urgency_is_told_unless_it_is_as_usual(port: Port, screen: Screen) -> None:
    for urgency in ("low", "normal", "high"):
        arguments = {"question": "?", "urgency": urgency}
        port.modern("tools/call", {"name": "ask_user", "arguments": arguments})
    frames = [json.loads(ask_user(question, Stamps())) for question in screen.asked]
    assert [frame.get("urgency") for frame in frames] == ["low", None, "high"]
