"""What frontends are told of a request for approval."""

from __future__ import annotations

import importlib.resources
import json

import jsonschema_rs
from msgspec.structs import replace

from gateway.canonical import canonical
from gateway.frontends import messages
from gateway.frontends.messages import Stamps
from session.model import Approval, Choice, Question

CHOICES = (Choice("approve", "Approve"), Choice("reject", "Reject"))


def shown(reason: str = "Because.", name: str = "coder") -> dict[str, object]:
    arguments = canonical({"table": "users\u202edrop", "force": True})
    approval = Approval("db.drop", arguments, "d" * 64, 60.0, reason)
    question = Question(
        "q",
        "acme",
        "agent",
        "May db.drop run?",
        0.0,
        60.0,
        choices=CHOICES,
        asker_name=name,
        approval=approval,
    )
    frame: dict[str, object] = json.loads(messages.ask_user(question, Stamps()))
    return frame


def test_all_that_would_run_is_told_with_nothing_hidden() -> None:
    frame = shown()
    assert frame["heading"] == "May db.drop run?"
    assert frame["approval"] == {
        "tool": "db.drop",
        "arguments": '{\n  "force": true,\n  "table": "users\\u202edrop"\n}',
        "digest": "d" * 64,
        "reason": "Because.",
    }
    assert [each["value"] for each in frame["choices"]] == ["approve", "reject"]  # type: ignore[attr-defined]


def test_a_frontend_that_shows_only_the_question_shows_all_of_it() -> None:
    text = shown(reason="One\ntwo \u2066three", name="co\nder")["question"]
    assert isinstance(text, str)
    assert text == (
        "May db.drop run?\n\nTool: db.drop\nArguments:\n"
        '{\n  "force": true,\n  "table": "users\\u202edrop"\n}\n\n'
        "Reason: One\ntwo \\u2066three\nCaller: agent (co\\nder)\n\nAnswer: approve or reject"
    )


def test_what_is_told_is_as_the_schema_of_the_protocol_says() -> None:
    source = importlib.resources.files("gateway.frontends").joinpath("protocol.schema.json")
    schema = json.loads(source.read_text())
    validator = jsonschema_rs.validator_for({**schema, "anyOf": [{"$ref": "#/$defs/ask_user"}]})
    approval = Approval("db.drop", "{}", "d" * 64, 60.0, "Because.")
    form = {"type": "object", "properties": {"q1": {"type": "string", "title": "One?"}}}
    plain = Question("q", "acme", "agent", "What?", 0.0, 60.0)
    for question in (
        replace(plain, approval=approval, choices=CHOICES),
        replace(plain, schema=form, parts=("q1",)),
        replace(plain, urgency="high"),
        replace(plain, urgency="low", quorum=2),
    ):
        frame = json.loads(messages.ask_user(question, Stamps()))
        validator.validate(frame)
        assert ("heading" in frame) == (question.approval is not None or bool(question.parts))
