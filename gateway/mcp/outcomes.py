"""How what became of a question reads: for models as text, for programs as an object.

Pure module.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from gateway.mcp.results import AnsweredBy, QuestionState, TextContent, ToolResult
from session.model import Outcome, Question, State

_COLLECT: Final = 'Call collect_answer with question_id "{}" to get the answer.'


def outcome_result(
    question: Question, outcome: Outcome, online: int | UnsetType = UNSET
) -> ToolResult:
    """Return how a settled question reads: the answer alone is the text, as callers expect."""
    state = outcome.state
    if state is State.ANSWERED:
        content = outcome.content
        structured = QuestionState(
            question.id,
            "answered",
            outcome.answer,
            UNSET if content is None else content,
            AnsweredBy(outcome.by, outcome.by_user),
            "",
            online,
        )
        words = outcome.answer
        if not words and content is not None:
            words = msgspec.json.encode(content).decode()
        return ToolResult((TextContent(words),), structured)
    structured = QuestionState(question.id, state.value, reason=outcome.reason, online=online)
    return ToolResult((TextContent(_ending(question, outcome)),), structured, is_error=True)


def open_result(question: Question, online: int) -> ToolResult:
    """Return how a question reads that nobody has answered yet."""
    left = f"{online} {'frontend' if online == 1 else 'frontends'} online"
    words = f"The question is open ({left}). {_COLLECT.format(question.id)}"
    return ToolResult((TextContent(words),), QuestionState(question.id, "open", online=online))


def _ending(question: Question, outcome: Outcome) -> str:
    if outcome.state is State.TIMED_OUT:
        seconds = question.deadline - question.created_at
        return (
            f"Nobody answered within {seconds:g} seconds. The question is closed; ask again, "
            "with a longer timeout_seconds if people need more time."
        )
    because = f": {outcome.reason.removesuffix('.')}" if outcome.reason else ""
    if outcome.state is State.CANCELLED:
        return f"The question was cancelled{because}."
    return f"The person who was asked declined to answer{because}."
