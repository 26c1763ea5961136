"""How an outcome reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.results import ToolResult
from session.model import Outcome, Question, State

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
    assert result["structuredContent"] == expected
    assert result.get("isError", False) is is_error


def test_an_open_question_says_how_to_go_on() -> None:
    result = _shown(open_result(QUESTION, 1))
    assert result["content"][0]["text"] == (
        'The question is open (1 frontend online). Call collect_answer with question_id "q" '
        "to get the answer."
    )
    assert result["structuredContent"] == {"question_id": "q", "state": "open", "online": 1}
