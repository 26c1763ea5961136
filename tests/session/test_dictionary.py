"""What comes with this version, and how much of a message it leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from session import codec, dictionary

QUESTION = "9f86d081884c7d659a2feaa0c55ad015"
FRONTEND = "0b5f7d8c2a6e4f31b0c9d8e7f6a51234"
LIMIT = 1 << 20


def question(text: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "ask_user",
        "request_id": QUESTION,
        "question": text,
        "from": {"subject": "travel-agent", "name": "Trip planner"},
        "created_at": "2027-03-02T03:04:05.678Z",
        "deadline": "2027-03-02T03:09:05.678Z",
        "delivery": "all",
        **more,
    }


#: None of them, and hardly a sentence of them, is in the corpus.
QUESTIONS = {
    "a short one": question("Which of these three hotels in Lisbon do you prefer?"),
    "a very short one": question("Blue or green?"),
    "one with choices": question(
        "I found two invoices with the same number. Pay both?",
        choices=[
            {"value": "both", "label": "Pay both"},
            {"value": "first", "label": "Only the first"},
            {"value": "none", "label": "Neither"},
        ],
    ),
    "one with a form": question(
        "How loud may the alarm be at night?",
        schema={
            "type": "object",
            "properties": {
                "volume": {"type": "integer", "minimum": 0, "maximum": 10},
                "rooms": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["volume"],
        },
    ),
}
REPLIES: dict[str, dict[str, Any]] = {
    "an answer": {
        "type": "user_response",
        "request_id": QUESTION,
        "answer": "The one near the river, if breakfast is included.",
    },
    "an acknowledgement": {
        "type": "response_ack",
        "request_id": QUESTION,
        "status": "accepted",
        "state": "answered",
    },
    "a withdrawal": {
        "type": "question_closed",
        "request_id": QUESTION,
        "reason": "answered",
        "by": {"frontend_id": FRONTEND, "user": "grace"},
    },
    "a notice": {
        "type": "notify_user",
        "notification_id": QUESTION,
        "message": "Your table for four is booked.",
        "level": "success",
        "from": {"subject": "travel-agent"},
        "created_at": "2027-03-02T03:04:05.678Z",
    },
    "a welcome": {
        "type": "connect_ack",
        "status": "connected",
        "frontend_id": FRONTEND,
        "session_id": QUESTION,
        "resumed": False,
        "server_time": "2027-03-02T03:04:05.678Z",
        "heartbeat_seconds": 30.0,
        "limits": {"message_bytes": 1048576, "answer_bytes": 65536, "draft_bytes": 65536},
        "compression": ["zstd"],
        "server": {"name": "frontend-router", "version": "1.2.3"},
    },
}


def written(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", QUESTIONS)
def test_of_a_short_question_at_most_two_fifths_are_left(name: str) -> None:
    plain = written(QUESTIONS[name])
    packed = dictionary.packed(plain)
    assert len(packed) <= 0.4 * len(plain)
    # Without the dictionary, it is no better than most of it.
    assert len(packed) < 0.6 * len(codec.zstandardized(plain))
    assert dictionary.unpacked(packed, LIMIT) == plain


def test_of_all_that_is_said_about_questions_at_most_two_fifths_are_left() -> None:
    said = [written(message) for message in (*QUESTIONS.values(), *REPLIES.values())]
    packed = [dictionary.packed(plain) for plain in said]
    assert sum(map(len, packed)) <= 0.4 * sum(map(len, said))


@given(st.binary(max_size=8192))
def test_what_goes_in_comes_out(data: bytes) -> None:
    packed = dictionary.packed(data)
    assert codec.names_dictionary(packed)
    assert dictionary.unpacked(packed, len(data)) == data
    # Who compresses without it is understood as well.
    assert dictionary.unpacked(codec.zstandardized(data), len(data)) == data


def test_a_dictionary_is_called_by_the_id_in_its_header() -> None:
    assert dictionary.CURRENT in dictionary.KNOWN
    for number, data in dictionary.KNOWN.items():
        assert zstandard.ZstdCompressionDict(data).dict_id() == number
        # RFC 8878 section 5: what is below belongs to dictionaries for everybody.
        assert 32_768 <= number < 2**31


def test_a_frame_with_another_dictionary_is_refused_by_its_id() -> None:
    packed = dictionary.packed(b"{}" * 40)
    foreign = packed.replace(dictionary.CURRENT.to_bytes(2, "little"), b"\x07\x90", 1)
    with pytest.raises(codec.UnknownDictionaryError, match="36871") as refused:
        dictionary.unpacked(foreign, LIMIT)
    assert refused.value.number == 36871


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_limit_is_exact_with_a_dictionary_too(size: int) -> None:
    packed = dictionary.packed(b"a" * size)
    if size <= LIMIT:
        assert len(dictionary.unpacked(packed, LIMIT)) == size
    else:
        with pytest.raises(codec.TooLongError):
            dictionary.unpacked(packed, LIMIT)
