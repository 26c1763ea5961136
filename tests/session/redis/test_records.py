"""What is written is read again; what another version wrote is refused, not misread."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.model import (
    Audience,
    Ballot,
    Choice,
    Delivery,
    Draft,
    Listing,
    Noted,
    Outcome,
    Presence,
    Question,
    State,
)
from session.redis import records
from session.steps import PIECE, WHOLE, in_one_go
from tests.portions import in_portions

TOKEN = "a token that nobody guesses"
# Larger than what is done in one go, with what is several bytes, or an escape.
LONG = '\\"\n\u2192\U0001f600x' * 300_000
texts = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.floats(0, 4e9)
audiences = st.builds(Audience, st.sampled_from(("everyone", "group", "user", "frontend")), texts)
objects: Any = st.dictionaries(texts, st.none() | st.booleans() | texts | st.integers(0, 9))
questions = st.builds(
    Question,
    *(texts, texts, texts, texts, times, times, audiences, st.sampled_from(Delivery)),
    choices=st.lists(st.builds(Choice, texts, texts), max_size=2).map(tuple),
    schema=st.none() | objects,
    context=texts,
    idempotency_key=texts,
)
outcomes = st.builds(
    Outcome, st.sampled_from(State), times, texts, st.none() | objects, texts, texts, texts
)


@given(questions)
def test_a_question_is_read_as_it_was(question: Question) -> None:
    assert records.question(records.question_bytes(question)) == question
    found = records.listing(records.listing_bytes(question))
    assert found == Listing(question.id, question.tenant, question.audience, question.delivery)


@given(outcomes)
def test_an_outcome_is_read_as_it_was_and_each_attempt_is_unlike_others(outcome: Outcome) -> None:
    one, other = (records.outcome_bytes(outcome, letter * records.ATTEMPT) for letter in "ab")
    assert one != other
    assert records.outcome(one) == records.outcome(other) == outcome


@given(texts, audiences, texts, st.integers(-(2**53), 2**53) | texts)
def test_the_rest_is_read_as_it_was(
    text: str, audience: Audience, name: str, request_id: str | int
) -> None:
    presence = Presence(name, text, text, name, name, (name, text), 1.5, text)
    assert records.presence(records.presence_bytes(presence)) == presence
    draft = Draft(name, text, 1.25)
    assert records.draft(records.draft_bytes(draft)) == draft
    told = (name, audience, text.encode())
    assert records.notification(records.notification_bytes(*told)) == told
    waits = (name, (text, request_id))
    assert records.stream(records.stream_bytes(*waits)) == waits


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'["0","t","everyone",""]', b'["0","t","everyone","","some"]', b"\xff"],
)
def test_a_listing_of_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        records.listing(data)


def test_a_field_that_a_later_version_adds_is_passed_over() -> None:
    data = records.presence_bytes(Presence("f", "c", "t", "u", "n", (), 1.0, "i"))
    assert records.presence(json.dumps(json.loads(data) | {"new": 1}).encode()).instance == "i"


FORM = {"a": [LONG, {"b": LONG[::-1]}], "n": [1, 1.5, None, True], "short": "x"}
LARGE = (
    Outcome(State.ANSWERED, 1.5, LONG, None, "tab-1"),
    Outcome(State.ANSWERED, 1.5, msgspec.json.encode(FORM).decode(), FORM, "tab-1", "ann"),
    Outcome(State.ANSWERED, 1.5, "short", FORM, history=(Noted("seen", 1.25, "tab-1", "ann"),)),
)


@pytest.mark.parametrize("compress_bytes", [0, 1024])
def test_a_large_question_is_written_and_read_in_steps_as_in_one_go(
    compress_bytes: int,
) -> None:
    choices, schema = (Choice("a", "b"),), {"type": "object"}
    question = Question("q", "t", "s", "Which?", 1, 2.5, choices=choices, schema=schema)
    assert not records.is_large(question)
    question = msgspec.structs.replace(question, context=LONG, text=LONG[:100_000])
    assert records.is_large(question)
    whole = records.question_bytes(question, compress_bytes)
    steps, written = in_portions(records.writing_question(question, compress_bytes, TOKEN))
    assert steps >= len(LONG) // PIECE
    steps, read = in_portions(records.reading_question(written, TOKEN))
    assert read == question
    assert steps >= 2 * (len(LONG) // PIECE)
    assert in_one_go(records.reading_question(whole, TOKEN)) == question
    assert records.question(written) == question
    assert compress_bytes or written == whole


@pytest.mark.parametrize("outcome", LARGE, ids=["text", "form", "form with a text"])
@pytest.mark.parametrize("compress_bytes", [0, 1024])
def test_a_large_outcome_is_written_and_read_in_steps_as_in_one_go(
    compress_bytes: int, outcome: Outcome
) -> None:
    assert records.is_large(outcome)
    attempt = "a" * records.ATTEMPT
    whole = records.outcome_bytes(outcome, attempt, compress_bytes)
    steps, written = in_portions(records.writing_outcome(outcome, attempt, compress_bytes, TOKEN))
    assert steps >= len(LONG) // PIECE
    steps, read = in_portions(records.reading_outcome(written, TOKEN))
    assert read == outcome
    assert steps >= 2 * (len(LONG) // PIECE)
    assert in_one_go(records.reading_outcome(whole, TOKEN)) == outcome
    assert records.outcome(written) == outcome
    assert compress_bytes or written == whole


def test_a_form_with_a_key_as_long_as_a_text_is_read_all_the_same() -> None:
    content = {"k" * 2 * PIECE: "x" * 2 * WHOLE}
    outcome = Outcome(State.ANSWERED, 1.5, "", content)
    written = records.outcome_bytes(outcome, "a" * records.ATTEMPT)
    assert in_one_go(records.reading_outcome(written, TOKEN)) == outcome


@pytest.mark.parametrize("data", [b'{"id":"%b"' % (b"x" * 2 * PIECE), b"[]", b"\x1f\x8b", b"{}"])
def test_what_is_no_record_is_none_in_steps_either(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        in_one_go(records.reading_question(data, TOKEN))


def test_many_answers_are_read_one_after_the_other() -> None:
    ballots = [Ballot(1.5, f"tab-{number}", "", "x" * 1000) for number in range(5)]
    lines = b"\n".join(b"digest " + records.ballot_bytes(each) for each in ballots)
    steps = records.reading_ballots(lines)
    assert sum(1 for _ in steps) == len(ballots)
    assert in_one_go(records.reading_ballots(lines)) == tuple(ballots) == records.ballots(lines)
