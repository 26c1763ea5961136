"""Questions as tasks: a person's answer that is fetched later, from any instance.

The question is in the store before its task is told of, and is all that there is of it:
the task's id is the question's, and the store says whose it is. A task of ours never
waits for its caller's input: who answers is not the caller's user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp import tasks
from gateway.mcp.outcomes import outcome_result
from gateway.mcp.tasks import Task
from gateway.mcp.watching import Watching
from gateway.ownership import Rule, is_own
from session.model import Outcome, Principal, Question, State

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.router import Router

_PREFIX: Final = "question-"
# People take their time; who asks so often learns of an answer soon enough.
_POLL_SECONDS: Final = 2.0


@final
class QuestionWatch:
    """Somebody who wants to hear of a question's end: a `gateway.waiters.Waiter`."""

    __slots__ = ("_principal", "_told")

    def __init__(self, principal: Principal, told: Callable[[Question, Outcome], None]) -> None:
        self._principal = principal
        self._told = told

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome."""
        self._told(question, outcome)

    def put_off(self) -> None:
        """This process goes away, and so does the stream on which it would be told."""

    @property
    def waits(self) -> bool:
        """Never: the stream on which it would be told is kept, and looked at, by itself."""
        return False

    @property
    def session_id(self) -> str:
        """None: its stream keeps its session alive."""
        return ""

    @property
    def principal(self) -> Principal:
        """Who watches."""
        return self._principal

    def cut_off(self) -> None:
        """The credential has ended: the stream is ended for that, by whoever holds it."""


async def watch_question(
    router: Router,
    principal: Principal,
    question_id: str,
    told: Callable[[Question, Outcome], None],
    rule: Rule = is_own,
) -> Watching | None:
    """Have the end of a question told.

    ``None``: the principal has no such question, by ``rule``. One that has ended is never told of.
    """
    watch = QuestionWatch(principal, told)
    found = await router.collect(principal, question_id, watch, rule)
    if found is None:
        return None
    has_ended = found.outcome is not None
    return Watching(lambda: router.forget(question_id, watch), has_ended, has_ended)


@final
class QuestionTasks:
    """The questions of this deployment: a `gateway.mcp.tasks.Keeper`.

    Args:
        kept_seconds: how long an answer is kept.
    """

    __slots__ = ("_kept_seconds", "_router")

    def __init__(self, router: Router, kept_seconds: float) -> None:
        self._router = router
        self._kept_seconds = kept_seconds

    async def find(self, call: Call, task_id: str) -> Task | None:
        """Return a question as a task."""
        question_id = _question_of(task_id)
        found = question_id and await self._router.collect(call.principal, question_id, None)
        return self.task_of(found.question, found.outcome, call.principal) if found else None

    async def update(
        self, call: Call, task_id: str, _responses: Mapping[str, dict[str, Any]]
    ) -> bool:
        """Take nothing: a question waits for no input of its caller's."""
        return await self.find(call, task_id) is not None

    async def cancel(self, call: Call, task_id: str) -> bool:
        """Take a question back."""
        question_id = _question_of(task_id)
        by = call.caller_name or call.principal.subject
        return bool(question_id) and (
            await self._router.cancel(call.principal, question_id, "", by) is not None
        )

    async def watch(
        self, call: Call, task_id: str, changed: Callable[[Task], None]
    ) -> Callable[[], None] | None:
        """Have the end of a question told."""
        question_id = _question_of(task_id)
        if not question_id:
            return None

        def told(question: Question, outcome: Outcome) -> None:
            changed(self.task_of(question, outcome, call.principal))

        watching = await watch_question(self._router, call.principal, question_id, told)
        return None if watching is None else watching.stop

    def task_of(self, question: Question, outcome: Outcome | None, principal: Principal) -> Task:
        """Return a question as a task of whoever asked it."""
        if outcome is None:
            now = self._router.clock()
            online = len(self._router.hub.matching(question.tenant, question.audience))
            return Task(
                _PREFIX + question.id,
                tasks.WORKING,
                question.created_at,
                question.created_at,
                # It may be answered in this moment, and is kept from then on.
                now - question.created_at + self._kept_seconds,
                _POLL_SECONDS,
                f"waiting for a person, {online} {'frontend' if online == 1 else 'frontends'} "
                "online",
            )
        status, result = tasks.COMPLETED, outcome_result(question, outcome, reader=principal)
        return Task(
            _PREFIX + question.id,
            tasks.CANCELLED if outcome.state is State.CANCELLED else status,
            question.created_at,
            outcome.at,
            outcome.at - question.created_at + self._kept_seconds,
            _POLL_SECONDS,
            outcome.reason,
            result=result,
        )


def _question_of(task_id: str) -> str:
    """Return the question that a task is of; empty for a task of somebody else's."""
    return task_id.removeprefix(_PREFIX) if task_id.startswith(_PREFIX) else ""
