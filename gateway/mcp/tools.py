"""The product's tools: ask people, collect their answers, tell them something.

One registration; what is declared here is all that callers see of it. The words
are for models: each says what to do next.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, final

import msgspec

from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.mcp.arguments import (
    AskUser,
    AudienceArgument,
    CancelQuestion,
    ChoiceArgument,
    CollectAnswer,
    ListFrontends,
    NotifyUser,
)
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.questions import QuestionWait
from gateway.mcp.registry import Registry
from gateway.mcp.results import QuestionState, ToolResult, text
from gateway.mcp.schemas import schema_of
from gateway.offers import Ask, Notification
from gateway.router import Router
from pool.connection import Callback
from pool.settings import setting
from pool.timers import Timers
from pool.workers import QueueFullError, Workers
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import EVERYONE, Audience, Choice, Delivery, Question

_UNKNOWN: Final = "There is no question {!r} of yours, or its answer is no longer kept."


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Limits of the tools."""

    collect_seconds: float = setting(
        300.0, "The longest that collect_answer waits.", unit="seconds", minimum=0.0
    )


def product_registry(
    settings: Settings,
    *,
    router: Router,
    workers: Workers,
    timers: Timers[Callback],
) -> Registry:
    """Return everything the product offers to callers."""
    registry = Registry()
    register(registry, settings, router=router, workers=workers, timers=timers)
    return registry


def register(
    registry: Registry,
    settings: Settings,
    *,
    router: Router,
    workers: Workers,
    timers: Timers[Callback],
) -> None:
    """Declare the product's tools in a registry."""
    tools = _Tools(settings, router, workers, timers)
    registry.resume = tools.resume
    registry.tool(
        "ask_user",
        tools.ask_user,
        description="Ask a question to the user and receive their response",
        arguments=AskUser,
        input_schema=_ask_schema(router),
        title="Ask a person",
        annotations={"readOnlyHint": True, "openWorldHint": True},
    )
    registry.tool(
        "collect_answer",
        tools.collect_answer,
        description="Get the answer to a question that was asked earlier, by its question_id",
        arguments=CollectAnswer,
        title="Collect an answer",
        annotations={"readOnlyHint": True},
    )
    registry.tool(
        "cancel_question",
        tools.cancel_question,
        description="Take a question back that nobody has answered yet",
        arguments=CancelQuestion,
        title="Cancel a question",
        annotations={"destructiveHint": True, "idempotentHint": True},
    )
    registry.tool(
        "notify_user",
        tools.notify_user,
        description="Tell people something that needs no answer",
        arguments=NotifyUser,
        title="Notify people",
        annotations={"readOnlyHint": False, "destructiveHint": False},
    )
    registry.tool(
        "list_frontends",
        tools.list_frontends,
        description="List who is connected and could answer a question now",
        arguments=ListFrontends,
        title="List frontends",
        annotations={"readOnlyHint": True},
    )


@final
class _Tools:
    """The handlers."""

    def __init__(
        self, settings: Settings, router: Router, workers: Workers, timers: Timers[Callback]
    ) -> None:
        self._settings = settings
        self._router = router
        self._workers = workers
        self._timers = timers

    async def ask_user(self, call: Call, arguments: AskUser) -> ToolResult | Later:
        """Ask people, and wait for the first valid answer."""
        holds = arguments.wait == "hold"
        wait = QuestionWait(call, self._router, self._cancel_unkeyed) if holds else None
        try:
            asked = await self._router.ask(call.principal, _ask(call, arguments), wait)
        except (
            InvalidAskError,
            NobodyConnectedError,
            TooManyPendingError,
            StoreUnavailableError,
        ) as error:
            return text(_sentence(error), is_error=True)
        if asked.outcome is not None:
            return outcome_result(asked.question, asked.outcome, await self._online(asked.question))
        if wait is None:
            return open_result(asked.question, await self._online(asked.question))
        wait.begin(asked.question)
        return LATER

    async def collect_answer(self, call: Call, arguments: CollectAnswer) -> ToolResult | Later:
        """Return the outcome of a question, at once or when it is there."""
        seconds = min(arguments.wait_seconds, self._settings.collect_seconds)
        wait = QuestionWait(call, self._router, None) if seconds else None
        found = await self._router.collect(call.principal, arguments.question_id, wait)
        if found is None:
            return text(_UNKNOWN.format(arguments.question_id), is_error=True)
        if found.outcome is not None:
            return outcome_result(found.question, found.outcome)
        if wait is None:
            return open_result(found.question, await self._online(found.question))
        wait.limit(self._timers, seconds)
        wait.begin(found.question)
        return LATER

    async def resume(self, call: Call, question_id: str) -> ToolResult | Later:
        """Continue a stream that waited for a question."""
        wait = QuestionWait(call, self._router, self._cancel_any)
        found = await self._router.collect(call.principal, question_id, wait)
        if found is None:
            return text(_UNKNOWN.format(question_id), is_error=True)
        if found.outcome is not None:
            return outcome_result(found.question, found.outcome)
        wait.begin(found.question)
        return LATER

    async def cancel_question(self, call: Call, arguments: CancelQuestion) -> ToolResult:
        """Take a question back."""
        by = call.caller_name or call.principal.subject
        settled = await self._router.cancel(
            call.principal, arguments.question_id, arguments.reason, by
        )
        if settled is None:
            return text(_UNKNOWN.format(arguments.question_id), is_error=True)
        state = QuestionState(settled.question.id, settled.outcome.state.value)
        if settled.won:
            return text("The question is cancelled; people no longer see it.", state)
        ended = settled.outcome.state.value.replace("_", " ")
        return text(f"It was too late to cancel: the question is {ended} already.", state)

    async def notify_user(self, call: Call, arguments: NotifyUser) -> ToolResult:
        """Tell people something."""
        told = await self._router.notify(
            call.principal,
            Notification(
                arguments.message,
                title=arguments.title,
                level=arguments.level,
                audience=_audience(arguments.audience),
            ),
        )
        if not told:
            return text("Nobody is connected who could be told (0 frontends online).", {"told": 0})
        return text(f"Told {told} {'frontend' if told == 1 else 'frontends'}.", {"told": told})

    async def list_frontends(self, call: Call, _arguments: ListFrontends) -> ToolResult:
        """List who is connected."""
        present = await self._router.frontends(call.principal)
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
        return await self._router.online(question.tenant, question.audience)

    def _cancel_unkeyed(self, question: Question, call: Call) -> None:
        # Whoever gave a key means to come back: a disconnect is then a pause.
        if not question.idempotency_key or call.session is not None:
            self._cancel_any(question, call)

    def _cancel_any(self, question: Question, call: Call) -> None:
        try:
            self._workers.start(question.tenant, self._cancel(question, call))
        except QueueFullError:
            # It stays open until its deadline; nothing is lost.
            return

    async def _cancel(self, question: Question, call: Call) -> None:
        reason = "the caller no longer waits for it"
        by = call.caller_name or call.principal.subject
        await self._router.cancel(call.principal, question.id, reason, by)


def _ask_schema(router: Router) -> dict[str, Any]:
    """Return the schema of ask_user, with the defaults of this deployment."""
    schema = schema_of(AskUser)
    schema["properties"]["timeout_seconds"]["default"] = router.settings.default_seconds
    return schema


def _ask(call: Call, arguments: AskUser) -> Ask:
    session = call.session
    timeout, delivery, schema = arguments.timeout_seconds, arguments.delivery, arguments.schema
    return Ask(
        arguments.question,
        None if timeout is msgspec.UNSET else timeout,
        _audience(arguments.audience),
        None if delivery is msgspec.UNSET else _DELIVERY[delivery],
        tuple(map(_choice, arguments.choices)) if arguments.choices else (),
        None if schema is msgspec.UNSET else schema,
        arguments.context,
        arguments.idempotency_key,
        "" if session is None else session.id,
        call.caller_name,
        arguments.if_absent,
    )


_DELIVERY: Final = {delivery.value: delivery for delivery in Delivery}


def _audience(argument: AudienceArgument | msgspec.UnsetType) -> Audience:
    if argument is msgspec.UNSET:
        return EVERYONE
    return Audience(argument.kind, argument.name)


def _choice(argument: str | ChoiceArgument) -> Choice:
    if isinstance(argument, str):
        return Choice(argument)
    return Choice(argument.value, argument.label, argument.description)


def _sentence(error: Exception) -> str:
    words = str(error)
    return words if words.endswith((".", "!")) else f"{words}."
