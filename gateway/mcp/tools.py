"""The product's tools: ask people, collect their answers, tell them something.

One registration; what is declared here is all that callers see of it. The words
are for models: each says what to do next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any, Final, final

from msgspec import UNSET

from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.mcp import approving, quota, reading, several, tasks
from gateway.mcp.arguments import (
    AskUser,
    CancelQuestion,
    CollectAnswer,
    ListFrontends,
    NotifyUser,
    audience_of,
    choice_of,
    quorum_of,
)
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.capabilities import has_tasks
from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.question_tasks import QuestionTasks
from gateway.mcp.questions import QuestionWait
from gateway.mcp.registry import Registry
from gateway.mcp.results import Encoded, QuestionState, ToolResult, sentence, text
from gateway.mcp.schemas import schema_of
from gateway.offers import Ask, Notification
from gateway.ownership import may_act_on
from gateway.quotas.allowances import Allowances
from gateway.router import Router
from gateway.withdrawals import Withdrawal
from pool.connection import Callback
from pool.portions import Slots
from pool.settings import setting
from pool.timers import Timers
from pool.workers import Workers
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import EVERYONE, Choice, Delivery, Principal, Question

#: What becomes of an ask.
Putting = Coroutine[Any, Any, ToolResult | Encoded | Later]

_UNKNOWN: Final = "There is no question {!r} of yours, or its answer is no longer kept."
_ASK: Final = "ask"
_LEFT: Final = "the caller no longer waits for it"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Limits of the tools."""

    collect_seconds: float = setting(
        300.0, "The longest that collect_answer waits.", unit="seconds", minimum=0.0
    )


def product_registry(  # noqa: PLR0913 - what the product works with
    settings: Settings,
    *,
    router: Router,
    workers: Workers,
    timers: Timers[Callback],
    quotas: Allowances | None = None,
    kept_seconds: float = 300.0,
) -> Registry:
    """Return everything the product offers to callers."""
    registry = Registry()
    register(
        registry,
        settings,
        router=router,
        workers=workers,
        timers=timers,
        quotas=quotas,
        kept_seconds=kept_seconds,
    )
    reading.register(registry, router)
    return registry


def register(  # noqa: PLR0913 - what tools work with
    registry: Registry,
    settings: Settings,
    *,
    router: Router,
    workers: Workers,
    timers: Timers[Callback],
    quotas: Allowances | None = None,
    kept_seconds: float = 300.0,
) -> None:
    """Declare the product's tools in a registry."""
    question_tasks = QuestionTasks(router, kept_seconds)
    registry.tasks.append(question_tasks)
    tools = _Tools(settings, router, workers, timers, quotas, question_tasks)
    registry.resume = tools.resume
    registry.resume_scope = tools.resume_scope
    registry.tool(
        "ask_user",
        tools.ask_user,
        description="Ask a question to the user and receive their response",
        arguments=AskUser,
        scope=_ASK,
        input_schema=_ask_schema(router),
        title="Ask a person",
        annotations={"readOnlyHint": True, "openWorldHint": True},
    )
    if router.approvals is not None:
        approving.register(registry, router.approvals, tools.put)
    registry.tool(
        "collect_answer",
        tools.collect_answer,
        description="Get the answer to a question that was asked earlier, by its question_id",
        arguments=CollectAnswer,
        scope=_ASK,
        title="Collect an answer",
        annotations={"readOnlyHint": True},
    )
    registry.tool(
        "cancel_question",
        tools.cancel_question,
        description="Take a question back that nobody has answered yet",
        arguments=CancelQuestion,
        scope=_ASK,
        title="Cancel a question",
        annotations={"destructiveHint": True, "idempotentHint": True},
    )
    registry.tool(
        "notify_user",
        tools.notify_user,
        description="Tell people something that needs no answer",
        arguments=NotifyUser,
        scope="notify",
        title="Notify people",
        annotations={"readOnlyHint": False, "destructiveHint": False},
    )
    registry.tool(
        "list_frontends",
        tools.list_frontends,
        description="List who is connected and could answer a question now",
        arguments=ListFrontends,
        scope="list",
        title="List frontends",
        annotations={"readOnlyHint": True},
    )


@final
class _Tools:
    """The handlers."""

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by `register`
        self,
        settings: Settings,
        router: Router,
        workers: Workers,
        timers: Timers[Callback],
        quotas: Allowances | None,
        question_tasks: QuestionTasks,
    ) -> None:
        self._quotas = quotas
        self._tasks = question_tasks
        self._settings = settings
        self._router = router
        self._workers = workers
        self._timers = timers
        # Bound once, not for each question.
        self._on_cancelled = self._cancel_unkeyed

    def ask_user(self, call: Call, arguments: AskUser) -> Putting:
        """Ask people, and wait for the first valid answer."""
        # Not awaited here: that would be one coroutine more for every question.
        return self.put(call, arguments, arguments.wait)

    async def put(
        self, call: Call, wanted: Ask | AskUser, how: str
    ) -> ToolResult | Encoded | Later:
        """Put a question; ``how`` its answer is waited for is ask_user's ``wait``."""
        holds = how == "hold"
        pending: tuple[Slots, ...] = ()
        if self._quotas is not None:
            used = quota.tries(self._quotas, call, holds=holds)
            if used is None:
                used = await quota.ask(self._quotas, call, holds=holds)
            pending = used
        wait = QuestionWait(call, self._router, self._on_cancelled) if holds else None
        try:
            ask = _ask(call, wanted) if isinstance(wanted, AskUser) else wanted
            asked = await self._router.ask(call.principal, ask, wait)
            if pending and asked.fresh and self._quotas is not None:
                self._quotas.asked(asked.question, pending)
                pending = ()
        except (InvalidAskError, NobodyConnectedError, TooManyPendingError) as error:
            return text(sentence(error), is_error=True)
        finally:
            # No question came of it, or not a new one.
            for slots in pending:
                slots.take_back()
        if asked.outcome is not None:
            online = await self._online(asked.question)
            return outcome_result(asked.question, asked.outcome, online, call.principal)
        if wait is None:
            if how == "task" and call.session is None and has_tasks(call):
                return tasks.created(self._tasks.task_of(asked.question, None, call.principal))
            return open_result(asked.question, await self._online(asked.question))
        wait.begin(asked.question)
        return LATER

    async def collect_answer(self, call: Call, arguments: CollectAnswer) -> ToolResult | Later:
        """Return the outcome of a question, at once or when it is there."""
        seconds = min(arguments.wait_seconds, self._settings.collect_seconds)
        if seconds and self._quotas is not None:
            await quota.stream(self._quotas, call)
        wait = QuestionWait(call, self._router, None) if seconds else None
        found = await self._router.collect(call.principal, arguments.question_id, wait, may_act_on)
        if found is None:
            return text(_UNKNOWN.format(arguments.question_id), is_error=True)
        if found.outcome is not None:
            return outcome_result(found.question, found.outcome, reader=call.principal)
        if wait is None:
            online = await self._online(found.question)
            return open_result(found.question, online, found.answers, found.history)
        wait.limit(self._timers, seconds)
        wait.begin(found.question)
        return LATER

    async def resume_scope(self, _principal: Principal, _question_id: str) -> str:
        """Return what it takes to go on waiting for a question."""
        return _ASK

    async def resume(self, call: Call, question_id: str) -> ToolResult | Later:
        """Continue a stream that waited for a question."""
        if self._quotas is not None:
            await quota.stream(self._quotas, call)
        wait = QuestionWait(call, self._router, self._cancel_any)
        found = await self._router.collect(call.principal, question_id, wait, may_act_on)
        if found is None:
            return text(_UNKNOWN.format(question_id), is_error=True)
        if found.outcome is not None:
            return outcome_result(found.question, found.outcome, reader=call.principal)
        wait.begin(found.question)
        return LATER

    async def cancel_question(self, call: Call, arguments: CancelQuestion) -> ToolResult:
        """Take a question back."""
        by = call.caller_name or call.principal.subject
        settled = await self._router.cancel(
            call.principal, arguments.question_id, arguments.reason, by, may_act_on
        )
        if settled is None:
            return text(_UNKNOWN.format(arguments.question_id), is_error=True)
        state = QuestionState(settled.question.id, settled.outcome.state.text)
        if settled.won:
            return text("The question is cancelled; people no longer see it.", state)
        ended = settled.outcome.state.text.replace("_", " ")
        return text(f"It was too late to cancel: the question is {ended} already.", state)

    async def notify_user(self, call: Call, arguments: NotifyUser) -> ToolResult:
        """Tell people something."""
        if self._quotas is not None:
            await quota.notice(self._quotas, call)
        told = await self._router.people.notify(
            call.principal,
            Notification(
                arguments.message,
                title=arguments.title,
                level=arguments.level,
                audience=audience_of(arguments.audience),
            ),
        )
        if not told:
            return text("Nobody is connected who could be told (0 frontends online).", {"told": 0})
        return text(f"Told {told} {'frontend' if told == 1 else 'frontends'}.", {"told": told})

    async def list_frontends(self, call: Call, _arguments: ListFrontends) -> ToolResult:
        """List who is connected."""
        present = await self._router.people.frontends(call.principal)
        shown = [
            {
                "frontend_id": each.frontend_id,
                "user": each.user,
                "name": each.name,
                "groups": list(each.groups),
            }
            for each in present
        ]
        lines = [
            f"{len(shown)} {'frontend' if len(shown) == 1 else 'frontends'} online",
            *(f"- {each['name'] or each['user'] or each['frontend_id']}" for each in shown),
        ]
        return text("\n".join(lines), {"frontends": shown})

    async def _online(self, question: Question) -> int:
        """Count who could answer; while the store is away, those here."""
        people = self._router.people
        try:
            return await people.online(question.tenant, question.audience)
        except StoreUnavailableError:
            # The question is asked: its caller must not take it for refused.
            return people.here(question.tenant, question.audience)

    def _cancel_unkeyed(self, question: Question, call: Call) -> None:
        # Whoever gave a key means to come back: a disconnect is then a pause.
        if not question.idempotency_key or call.session is not None:
            self._cancel_any(question, call)

    def _cancel_any(self, question: Question, call: Call) -> None:
        router, principal = self._router, call.principal
        by = call.caller_name or principal.subject
        withdrawal = Withdrawal(router.cancel, principal, question.id, _LEFT, by)
        router.withdrawals.start(self._workers, withdrawal)


def _ask_schema(router: Router) -> dict[str, Any]:
    """Return the schema of ask_user, with the defaults of this deployment."""
    schema = schema_of(AskUser)
    schema["properties"]["timeout_seconds"]["default"] = router.settings.default_seconds
    return schema


def _ask(call: Call, arguments: AskUser) -> Ask:
    session = call.session
    timeout, delivery, schema = arguments.timeout_seconds, arguments.delivery, arguments.schema
    audience = arguments.audience
    choices: tuple[Choice, ...] = ()
    parts: tuple[str, ...] = ()
    if arguments.choices:
        choices = tuple(map(choice_of, arguments.choices))
    if arguments.questions:
        parts, schema = several.form_of(arguments)
    return Ask(
        arguments.question,
        None if timeout is UNSET else timeout,
        EVERYONE if audience is UNSET else audience_of(audience),
        None if delivery is UNSET else _DELIVERY[delivery],
        choices,
        None if schema is UNSET else schema,
        arguments.context,
        arguments.idempotency_key,
        "" if session is None else session.id,
        call.caller_name,
        arguments.if_absent,
        None,
        "" if arguments.urgency == "normal" else arguments.urgency,
        parts,
        0 if audience is UNSET else quorum_of(audience),
    )


_DELIVERY: Final = {delivery.value: delivery for delivery in Delivery}
