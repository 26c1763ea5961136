"""How what became of a question reads: for models as text, for programs as an object.

Pure module.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from gateway.mcp.results import (
    LARGE,
    AnsweredBy,
    AnswerGiven,
    HistoryEvent,
    LargeAnswer,
    QuestionState,
    TextContent,
    ToolResult,
    text,
)
from gateway.ownership import is_own
from session import longtexts
from session.asides import summary
from session.model import NOBODY, Approval, Ballot, Noted, Outcome, Principal, Question, State

_COLLECT: Final = 'Call collect_answer with question_id "{}" to get the answer.'


def outcome_result(
    question: Question,
    outcome: Outcome,
    online: int | UnsetType = UNSET,
    reader: Principal = NOBODY,
) -> ToolResult:
    """Return how a settled question reads: the answer alone is the text, as callers expect.

    ``reader`` is who is told; the receipt of an approval nobody is but whoever asked for it.
    """
    state = outcome.state
    if question.approval is not None:
        return _approval_result(question, question.approval, outcome, online, reader)
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
            UNSET,
            history_of(question, outcome),
        )
        if question.quorum:
            _add_answers(structured, question, outcome.answers)
        words = outcome.answer
        if not words and content is not None:
            words = msgspec.json.encode(content).decode()
        if (
            len(words) > LARGE
            or (content is not None and longtexts.is_long(content))
            or (question.quorum and _are_long(outcome.answers))
        ):
            return LargeAnswer((TextContent(words),), structured)
        return ToolResult((TextContent(words),), structured)
    structured = QuestionState(question.id, state.text, reason=outcome.reason, online=online)
    structured.history = history_of(question, outcome)
    kind = ToolResult
    if question.quorum:
        _add_answers(structured, question, outcome.answers)
        kind = LargeAnswer if _are_long(outcome.answers) else ToolResult
    return kind((TextContent(_ending(question, outcome)),), structured, is_error=True)


def _approval_result(
    question: Question,
    approval: Approval,
    outcome: Outcome,
    online: int | UnsetType,
    reader: Principal,
) -> ToolResult:
    """Return whether a tool may run; only that it may is no error."""
    state = outcome.state
    tool, by = approval.tool, outcome.by_user or outcome.by
    # Without a receipt nothing was approved, whatever somebody answered.
    is_approved = state is State.ANSWERED and bool(outcome.receipt)
    about: dict[str, Any] = {
        "approved": is_approved,
        "tool": tool,
        "arguments_sha256": approval.digest,
    }
    structured = QuestionState(
        question.id, state.text, reason=outcome.reason, online=online, approval=about
    )
    structured.history = history_of(question, outcome)
    if question.quorum:
        _add_answers(structured, question, outcome.answers)
    if is_approved:
        about["expires_at"] = outcome.at + approval.seconds
        structured.answered_by = AnsweredBy(outcome.by, outcome.by_user)
        people = " and ".join(each.by_user or each.by for each in outcome.answers) or by
        words = f"Approved by {people}."
        if is_own(reader, question):
            about["receipt"] = outcome.receipt
            words += (
                f" Before {tool} runs, call verify_approval with the same tool and arguments and "
                f"this receipt; it is good once, for {approval.seconds:g} seconds: "
                f"{outcome.receipt}"
            )
        return ToolResult((TextContent(words),), structured)
    words = _ending(question, outcome)
    if state is State.ANSWERED:
        words = f"{by} answered where approvals are not known: ask again."
    elif state is State.REJECTED:
        because = f": {outcome.reason.removesuffix('.')}" if outcome.reason else ""
        words = f"Rejected by {by}{because}."
    return ToolResult((TextContent(f"{words} Do not run {tool}."),), structured, is_error=True)


def history_of(
    question: Question,
    outcome: Outcome | None,
    answers: tuple[Ballot, ...] = (),
    notes: tuple[Noted, ...] = (),
) -> tuple[HistoryEvent, ...]:
    """Return what happened to a question, in its order; of an open one with what is noted."""
    asked = HistoryEvent("asked", question.created_at, question.asker)
    if outcome is None:
        return (asked, *_between(answers, notes))
    if outcome.state is State.ANSWERED or outcome.state is State.REJECTED:
        last = HistoryEvent(outcome.state.text, outcome.at, "", outcome.by, outcome.by_user)
    else:
        last = HistoryEvent(outcome.state.text, outcome.at, outcome.by)
    if not outcome.history and not outcome.answers:
        return (asked, last)
    between = _between(outcome.answers, outcome.history)
    # The last of several answers is the one that settled it.
    return (asked, *(each for each in between if each != last), last)


def _between(answers: tuple[Ballot, ...], notes: tuple[Noted, ...]) -> list[HistoryEvent]:
    events = [HistoryEvent(each.kind, each.at, "", each.frontend_id, each.user) for each in notes]
    events += [HistoryEvent("answered", each.at, "", each.by, each.by_user) for each in answers]
    events.sort(key=_when)
    return events


def _are_long(answers: tuple[Ballot, ...]) -> bool:
    """Whether several answers are together too long to be written in one go."""
    return longtexts.is_long([[each.answer, each.content] for each in answers])


def _when(event: HistoryEvent) -> float:
    return event.at


def _add_answers(
    structured: QuestionState, question: Question, answers: tuple[Ballot, ...]
) -> None:
    """Say what several people answered, as far as they did."""
    structured.quorum = question.quorum
    structured.answers = answers_of(answers)
    if question.choices:
        structured.counts = counts_of(question, answers)


def answers_of(answers: tuple[Ballot, ...]) -> tuple[AnswerGiven, ...]:
    """Return what several people answered."""
    return tuple(
        AnswerGiven(
            each.answer,
            AnsweredBy(each.by, each.by_user),
            each.at,
            UNSET if each.content is None else each.content,
        )
        for each in answers
    )


def counts_of(question: Question, answers: tuple[Ballot, ...]) -> dict[str, int]:
    """Return how many picked each of the choices."""
    counts = {choice.value: 0 for choice in question.choices}
    for each in answers:
        counts[each.answer] = counts.get(each.answer, 0) + 1
    return counts


def open_result(
    question: Question,
    online: int,
    answers: tuple[Ballot, ...] = (),
    notes: tuple[Noted, ...] = (),
) -> ToolResult:
    """Return how a question reads that nobody has answered yet, or not enough people."""
    left = f"{online} {'frontend' if online == 1 else 'frontends'} online"
    words = f"The question is open ({left}). {_COLLECT.format(question.id)}"
    structured = QuestionState(question.id, "open", online=online)
    structured.history = history_of(question, None, answers, notes)
    kind = ToolResult
    if question.quorum:
        _add_answers(structured, question, answers)
        kind = LargeAnswer if _are_long(answers) else ToolResult
    return kind((TextContent(words),), structured)


def busy_result(state: QuestionState) -> ToolResult:
    """Return how a large answer reads that there is no room to write now."""
    there = "The answer is there" if state.state == "answered" else "There is much to tell"
    words = f"{there}, but this gateway is busy. {_COLLECT.format(state.question_id)}"
    return text(words, QuestionState(state.question_id, state.state), is_error=True)


def _ending(question: Question, outcome: Outcome) -> str:
    if outcome.state is State.TIMED_OUT:
        seconds = question.deadline - question.created_at
        unit = "second" if f"{seconds:g}" == "1" else "seconds"
        if outcome.answers:
            return (
                f"{len(outcome.answers)} of {question.quorum} people answered within "
                f"{seconds:g} {unit}:\n{summary(question, outcome.answers)}\n"
                "The question is closed."
            )
        return (
            f"Nobody answered within {seconds:g} {unit}. The question is closed; ask again, "
            "with a longer timeout_seconds if people need more time."
        )
    because = f": {outcome.reason.removesuffix('.')}" if outcome.reason else ""
    if outcome.state is State.CANCELLED:
        return f"The question was cancelled{because}."
    return f"The person who was asked declined to answer{because}."
