"""What a call that waits for a person holds on to, and how an outcome reads.

The question lives in the store and outlives this wait: a caller that loses its
connection finds it again. It refuses to decide who is asked; the router does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
from msgspec import UNSET, UnsetType

from gateway.mcp.call import Call, Departure, Progress
from gateway.mcp.results import TextContent, ToolResult
from pool.timers import Timer, Timers
from session.model import Outcome, Question, State

if TYPE_CHECKING:
    from gateway.router import Router

_COLLECT: Final = 'Call collect_answer with question_id "{}" to get the answer.'


class AnsweredBy(msgspec.Struct, omit_defaults=True, gc=False):
    """Who answered."""

    frontend_id: str
    user: str = ""


class QuestionState(msgspec.Struct, omit_defaults=True, gc=False):
    """The structured content of every result about a question."""

    question_id: str
    state: str
    answer: str | UnsetType = UNSET
    content: dict[str, Any] | UnsetType = UNSET
    answered_by: AnsweredBy | UnsetType = UNSET
    reason: str = ""
    online: int | UnsetType = UNSET


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


@final
class QuestionWait(msgspec.Struct, eq=False):
    """A call that waits for the outcome of one question."""

    call: Call
    router: Router
    on_cancelled: Callable[[Question, Call], None] | None
    question: Question | None = None
    timer: Timer[Callable[[], None]] | None = None

    def begin(self, question: Question) -> None:
        """The question is open: wait for it."""
        self.question = question
        self.call.wait_for(self, question.id)

    def limit(self, timers: Timers[Callable[[], None]], seconds: float) -> None:
        """Wait no longer than this, and then say that it is still open."""
        self.timer = timers.arm(seconds, self._enough)

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome; see `gateway.router.Waiter`."""
        self._disarm()
        call = self.call
        if not call.done:
            call.finish(outcome_result(question, outcome, self._online(question)))

    def departed(self, departure: Departure) -> None:
        """Nobody waits any more; see `gateway.mcp.call.Waiting`."""
        self._disarm()
        question = self.question
        assert question is not None
        self.router.forget(question.id, self)
        if departure is Departure.CANCELLED and self.on_cancelled is not None:
            self.on_cancelled(question, self.call)

    def progress(self) -> Progress | None:
        """Return how long this has waited, of how long at most."""
        question = self.question
        assert question is not None
        online = self._online(question)
        return Progress(
            round(max(0.0, self.router.clock() - question.created_at), 3),
            round(question.deadline - question.created_at, 3),
            f"waiting for a person, {online} {'frontend' if online == 1 else 'frontends'} online",
        )

    def _online(self, question: Question) -> int:
        return len(self.router.hub.matching(question.tenant, question.audience))

    def _enough(self) -> None:
        question = self.question
        if question is not None and not self.call.done:
            self.router.forget(question.id, self)
            self.call.finish(open_result(question, self._online(question)))

    def _disarm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
