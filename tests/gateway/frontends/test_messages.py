"""Messages of the frontend protocol: what is understood, and how ours look."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends import messages, wire
from gateway.offers import ACCEPTED, Ack, Notification
from session.model import Choice, Delivery, Outcome, Question, State


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"connect"}', wire.Connect()),
        (
            '{"type":"connect","frontend_id":"f","user":"u","name":"n","groups":["g"],"more":1}',
            wire.Connect("f", "u", "n", ("g",)),
        ),
        (
            '{"type":"user_response","request_id":"q","answer":"blue"}',
            wire.UserResponse("q", "blue"),
        ),
        (
            '{"type":"user_response","request_id":"q","content":{"a":[1]}}',
            wire.UserResponse("q", content={"a": [1]}),
        ),
        (
            '{"type":"user_response","request_id":"q","rejected":true,"reason":"no"}',
            wire.UserResponse("q", rejected=True, reason="no"),
        ),
        ('{"type":"draft","request_id":"q","text":"b"}', wire.DraftMessage("q", "b")),
        ('{"type":"seen","request_id":"q"}', wire.Seen("q")),
        ('{"type":"disconnect"}', wire.Disconnect()),
    ],
)
def test_each_message_is_understood(text: str, expected: wire.Message) -> None:
    assert messages.decode(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_message"),
        ("nonsense", "invalid_message"),
        ("[]", "invalid_message"),
        ("null", "invalid_message"),
        ("{}", "unknown_type"),
        ('{"type":1}', "unknown_type"),
        ('{"type":"ask_user"}', "unknown_type"),
        ('{"type":"seen"}', "invalid_message"),
        ('{"type":"seen","request_id":7}', "invalid_message"),
        ('{"type":"user_response","request_id":"q","answer":7}', "invalid_message"),
        ('{"type":"connect","groups":"g"}', "invalid_message"),
        ('{"type":"connect","user":"' + "u" * 200 + '"}', "invalid_message"),
        ('{"type":"connect","groups":' + json.dumps(["g"] * 65) + "}", "invalid_message"),
        ('{"type":"seen","request_id":"a","request_id":"b"}', "invalid_message"),
        ('{"type":"seen","request_id":"a","Request_ID":"b"}', "invalid_message"),
        (
            '{"type":"seen","request_id":"a","re\\u017fponse":1,"an\\u017fwer":"b"}',
            "invalid_message",
        ),
        ('{"type":"seen","request_id":"\\ud800"}', "invalid_message"),
        ('{"type":"seen","request_id":"a","n":NaN}', "invalid_message"),
        ("[" * 100_000, "invalid_message"),
    ],
)
def test_what_cannot_be_used_has_a_code_and_a_reason(text: str, code: str) -> None:
    with pytest.raises(messages.MessageError) as refused:
        messages.decode(text.encode())
    assert refused.value.code == code
    assert str(refused.value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["request_id", "answer", "reason", "type", "Answer", "x"]),
            st.one_of(st.just("user_response"), st.text('aé\\"', max_size=3)),
        ),
        max_size=4,
    ),
    st.integers(0, 4),
)
def test_an_answer_is_taken_as_it_was_sent_or_not_at_all(
    members: list[tuple[str, str]], at: int
) -> None:
    members.insert(at, ("type", "user_response"))
    text = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members)
    sent = dict(members)
    try:
        message = messages.decode(f"{{{text}}}".encode())
    except messages.MessageError:
        assert len(sent) < len(members) or "request_id" not in sent or "Answer" in sent
    else:
        assert len(sent) == len(members)
        assert "Answer" not in sent
        assert message == wire.UserResponse(
            sent["request_id"], sent.get("answer"), reason=sent.get("reason", "")
        )


def test_text_that_is_not_utf_8_is_another_matter() -> None:
    with pytest.raises(UnicodeDecodeError):
        messages.decode(b'{"type":"seen","request_id":"\xff"}')


def test_an_error_names_the_question_if_it_can() -> None:
    with pytest.raises(messages.MessageError) as refused:
        messages.decode(b'{"type":"user_response","request_id":"q","answer":7}')
    assert refused.value.request_id == "q"


QUESTION = Question("q", "acme", "agent", "Which?", 1_700_000_000.25, 1_700_000_300.25)


def shown(question: Question, **more: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(messages.ask_user(question, messages.Stamps(), **more))
    return value


def test_a_plain_question_has_gos_fields_and_no_empty_ones() -> None:
    assert shown(QUESTION) == {
        "type": "ask_user",
        "request_id": "q",
        "question": "Which?",
        "from": {"subject": "agent"},
        "created_at": "2023-11-14T22:13:20.250Z",
        "deadline": "2023-11-14T22:18:20.250Z",
        "delivery": "all",
    }


def test_a_full_question_shows_everything() -> None:
    full = Question(
        "q", "acme", "agent", "Which?", 0.0, 1.0, delivery=Delivery.ONE,
        choices=(Choice("b", "Blue"), Choice("r")), schema={"type": "object"}, context="why",
        asker_name="Claude",
    )  # fmt: skip
    value = shown(full, draft="bl")
    assert value["choices"] == [{"value": "b", "label": "Blue"}, {"value": "r"}]
    assert value["from"] == {"subject": "agent", "name": "Claude"}
    assert (value["schema"], value["context"], value["draft"]) == ({"type": "object"}, "why", "bl")
    assert value["delivery"] == "one"


def test_replies_look_as_the_protocol_says() -> None:
    closed = messages.question_closed(
        "q", "answered", Outcome(State.ANSWERED, 0.0, by="tab", by_user="ann")
    )
    assert json.loads(closed)["by"] == {"frontend_id": "tab", "user": "ann"}
    assert "by" not in json.loads(messages.question_closed("q", "timed_out", None))
    ack = json.loads(messages.response_ack("q", Ack("duplicate", "late", State.ANSWERED)))
    assert (ack["status"], ack["state"], ack["message"]) == ("duplicate", "answered", "late")
    for question_id in ("q", "?", 'a "quoted" é', ""):
        accepted = json.loads(messages.response_ack(question_id, ACCEPTED))
        assert accepted == json.loads(messages.response_ack(question_id, Ack(*ACCEPTED)))
        assert accepted["request_id"] == question_id
    note = Notification("hello", title="T")
    assert json.loads(messages.notify_user(note, messages.Stamps()))["title"] == "T"
    error = json.loads(messages.error("busy", "later", retryable=True, request_id="q"))
    assert (error["retryable"], error["request_id"]) == (True, "q")
    assert json.loads(messages.connect_ack(resumed=True))["status"] == "connected"


@given(st.floats(0, 4e9))
def test_times_are_rfc_3339_to_the_millisecond(at: float) -> None:

    text = messages.Stamps().format(at)
    read = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(read.timestamp() - at) < 0.0011


def test_the_seconds_kept_are_bounded() -> None:
    stamps = messages.Stamps()
    for second in range(1000):
        stamps.format(second)
    assert len(stamps._seconds) <= 64


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        messages.decode(data)
    except (messages.MessageError, UnicodeDecodeError):
        pass


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["request_id", "answer", "content", "rejected", "text", "user", "groups", "frontend_id"]
)


@given(
    st.sampled_from(["connect", "user_response", "draft", "seen", "disconnect"]),
    st.dictionaries(FIELDS, VALUES),
)
def test_any_fields_are_understood_or_refused(kind: str, fields: dict[str, Any]) -> None:
    try:
        messages.decode(json.dumps({**fields, "type": kind}).encode())
    except messages.MessageError as refused:
        assert str(refused)
