"""How an outcome reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.results import ToolResult
from session.model import (
    NOBODY,
    SCOPES,
    Approval,
    Ballot,
    Choice,
    Noted,
    Outcome,
    Principal,
    Question,
    State,
)

QUESTION = Question("q", "t", "s", "Which?", 100.0, 130.0)


def _shown(result: ToolResult) -> Any:
    return msgspec.json.decode(msgspec.json.encode(result))


@pytest.mark.parametrize(
    ("outcome", "words", "structured", "is_error"),
    [
        (
            Outcome(State.ANSWERED, 1.0, answer="blue", by="web", by_user="ann"),
            "blue",
            {"answer": "blue", "answered_by": {"frontend_id": "web", "user": "ann"}, "online": 3},
            False,
        ),
        (
            Outcome(State.ANSWERED, 1.0, content={"n": 1}, by="web"),
            '{"n":1}',
            {
                "answer": "",
                "content": {"n": 1},
                "answered_by": {"frontend_id": "web"},
                "online": 3,
            },
            False,
        ),
        (
            Outcome(State.ANSWERED, 1.0, answer="as text", content={"n": 1}, by="web"),
            "as text",
            {
                "answer": "as text",
                "content": {"n": 1},
                "answered_by": {"frontend_id": "web"},
                "online": 3,
            },
            False,
        ),
        (
            Outcome(State.TIMED_OUT, 1.0),
            (
                "Nobody answered within 30 seconds. The question is closed; ask again, with a "
                "longer timeout_seconds if people need more time."
            ),
            {"online": 3},
            True,
        ),
        (
            Outcome(State.CANCELLED, 1.0, reason="done"),
            "The question was cancelled: done.",
            {"reason": "done", "online": 3},
            True,
        ),
        (Outcome(State.CANCELLED, 1.0), "The question was cancelled.", {"online": 3}, True),
        (
            Outcome(State.REJECTED, 1.0),
            "The person who was asked declined to answer.",
            {"online": 3},
            True,
        ),
    ],
)
def test_an_answer_is_the_text_and_anything_else_is_an_error(
    outcome: Outcome, words: str, structured: dict[str, Any], is_error: bool
) -> None:
    result = _shown(outcome_result(QUESTION, outcome, 3))
    assert result["content"] == [{"type": "text", "text": words}]
    expected = {"question_id": "q", "state": outcome.state.value, **structured}
    history = result["structuredContent"].pop("history")
    assert result["structuredContent"] == expected
    assert history[0] == {"event": "asked", "at": 100.0, "by": "s"}
    assert (history[-1]["event"], history[-1]["at"]) == (outcome.state.value, outcome.at)
    assert result.get("isError", False) is is_error


def test_an_open_question_says_how_to_go_on() -> None:
    result = _shown(open_result(QUESTION, 1))
    assert result["content"][0]["text"] == (
        'The question is open (1 frontend online). Call collect_answer with question_id "q" '
        "to get the answer."
    )
    assert result["structuredContent"] == {
        "question_id": "q",
        "state": "open",
        "online": 1,
        "history": [{"event": "asked", "at": 100.0, "by": "s"}],
    }


def test_who_was_asked_saw_it_and_answered_is_told_in_its_order() -> None:
    notes = (
        Noted("seen", 103.0, "tab-1", "ann"),
        Noted("offered", 100.5, "tab-1", "ann"),
        Noted("offered", 101.0, "tab-2", ""),
    )
    outcome = Outcome(State.ANSWERED, 104.0, "b", by="tab-1", by_user="ann", history=notes)
    result = _shown(outcome_result(QUESTION, outcome, 3))
    assert result["structuredContent"]["history"] == [
        {"event": "asked", "at": 100.0, "by": "s"},
        {"event": "offered", "at": 100.5, "frontend_id": "tab-1", "user": "ann"},
        {"event": "offered", "at": 101.0, "frontend_id": "tab-2"},
        {"event": "seen", "at": 103.0, "frontend_id": "tab-1", "user": "ann"},
        {"event": "answered", "at": 104.0, "frontend_id": "tab-1", "user": "ann"},
    ]
    cancelled = Outcome(State.CANCELLED, 105.0, by="the agent", history=notes[:1])
    last = _shown(outcome_result(QUESTION, cancelled))["structuredContent"]["history"][-1]
    assert last == {"event": "cancelled", "at": 105.0, "by": "the agent"}


def test_the_answers_of_several_people_are_told_and_counted() -> None:
    asked = replace(QUESTION, quorum=3, choices=(Choice("yes"), Choice("no"), Choice("later")))
    answers = (Ballot(101.0, "tab-1", "ann", "yes"), Ballot(102.0, "tab-2", "", "no"))
    ended = Outcome(State.TIMED_OUT, 130.0, answers=answers)
    result = _shown(outcome_result(asked, ended))
    assert result["content"][0]["text"] == (
        "2 of 3 people answered within 30 seconds:\nyes: 1\nno: 1\nThe question is closed."
    )
    told = result["structuredContent"]
    assert (told["quorum"], told["counts"]) == (3, {"yes": 1, "no": 1, "later": 0})
    assert told["answers"] == [
        {"answer": "yes", "answered_by": {"frontend_id": "tab-1", "user": "ann"}, "at": 101.0},
        {"answer": "no", "answered_by": {"frontend_id": "tab-2"}, "at": 102.0},
    ]
    assert [each["event"] for each in told["history"]] == [
        "asked",
        "answered",
        "answered",
        "timed_out",
    ]
    open_one = _shown(open_result(asked, 1, answers[:1]))["structuredContent"]
    assert (open_one["state"], open_one["counts"]["yes"]) == ("open", 1)


def test_everybody_who_approved_is_named() -> None:
    asked = replace(QUESTION, quorum=2, approval=Approval("db.drop", "{}", "d", 60.0))
    answers = (Ballot(101.0, "tab-1", "ann", "approve"), Ballot(102.0, "tab-2", "", "approve"))
    outcome = Outcome(State.ANSWERED, 102.0, "approve", by="tab-2", receipt="r", answers=answers)
    for reader, tail in (
        (Principal("t", "s"), " Before db.drop runs, call verify_approval "),
        (Principal("t", "boss", scopes=SCOPES), ""),
        (Principal("other", "s"), ""),
        (NOBODY, ""),
    ):
        shown = _shown(outcome_result(asked, outcome, 2, reader))
        words = shown["content"][0]["text"]
        assert words.startswith("Approved by ann and tab-2." + tail)
        assert words.endswith(": r" if tail else "tab-2.")
        assert shown["structuredContent"]["approval"].get("receipt") == ("r" if tail else None)


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_what_has_no_receipt_is_not_approved(answer: str) -> None:
    """An instance of an older version takes such an answer as any other."""
    asked = replace(QUESTION, approval=Approval("db.drop", "{}", "d", 60.0))
    outcome = Outcome(State.ANSWERED, 101.0, answer, by="tab-1", by_user="ann")
    result = _shown(outcome_result(asked, outcome, 1))
    assert result["isError"]
    assert result["structuredContent"]["approval"]["approved"] is False
    assert result["content"][0]["text"].endswith("ask again. Do not run db.drop.")


def test_one_second_is_one() -> None:
    question = Question("q", "t", "s", "Which?", 100.0, 101.0)
    content = _shown(outcome_result(question, Outcome(State.TIMED_OUT, 1.0)))["content"]
    assert content[0]["text"].startswith("Nobody answered within 1 second. ")
