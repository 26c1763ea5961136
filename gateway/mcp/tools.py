"""The product's tools: ask people, collect their answers, tell them something.

One registration; what is declared here is all that callers see of it. The words
are for models: each says what to do next.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final, Literal, final

import msgspec
from msgspec import Meta
from pool.workers import QueueFullError, Workers

from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.questions import QuestionState, QuestionWait, open_result, outcome_result
from gateway.mcp.registry import Registry
from gateway.mcp.results import ToolResult, text
from gateway.mcp.schemas import schema_of
from gateway.router import Ask, Notification, Router
from pool.connections import Callback
from pool.settings import setting
from pool.timers import Timers
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import EVERYONE, Audience, Choice, Delivery, Question

_REASON: Final = 1000
_UNKNOWN: Final = "There is no question {!r} of yours, or its answer is no longer kept."


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Limits of the tools."""

    collect_seconds: float = setting(
        300.0, "The longest that collect_answer waits.", unit="seconds", minimum=0.0
    )


class AudienceArgument(msgspec.Struct, forbid_unknown_fields=True):
    """Whom something is for."""

    kind: Literal["everyone", "group", "user", "frontend"] = "everyone"
    name: Annotated[
        str, Meta(max_length=256, description="Which group, user or frontend; empty for everyone.")
    ] = ""


class ChoiceArgument(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to pick."""

    value: Annotated[str, Meta(min_length=1, max_length=1000, description="What is returned.")]
    label: Annotated[str, Meta(max_length=1000, description="What people see instead.")] = ""
    description: Annotated[str, Meta(max_length=4000)] = ""


AudienceField = Annotated[
    AudienceArgument | msgspec.UnsetType, Meta(description="Whom to ask; everybody by default.")
]


class AskUser(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of ask_user."""

    question: Annotated[str, Meta(description="The question to ask the user")]
    timeout_seconds: Annotated[
        float | msgspec.UnsetType,
        Meta(description="Timeout in seconds; when it has passed, you are told."),
    ] = msgspec.UNSET
    audience: AudienceField = msgspec.UNSET
    delivery: Annotated[
        Literal["all", "one"] | msgspec.UnsetType,
        Meta(
            description="all: everybody sees it and the first answer wins. "
            "one: one person after the other is asked."
        ),
    ] = msgspec.UNSET
    choices: Annotated[
        tuple[str | ChoiceArgument, ...],
        Meta(
            max_length=100, description="The answers to pick from; free text when there are none."
        ),
    ] = ()
    schema: Annotated[
        dict[str, Any] | msgspec.UnsetType,
        Meta(description="A JSON Schema of type object: people answer by a form made from it."),
    ] = msgspec.UNSET
    context: Annotated[str, Meta(description="Background that helps people to answer.")] = ""
    idempotency_key: Annotated[
        str,
        Meta(
            max_length=256,
            description="Asking again with the same key joins the earlier question, or returns "
            "its answer, instead of asking people twice.",
        ),
    ] = ""
    if_absent: Annotated[
        Literal["wait", "fail"],
        Meta(description="When nobody is connected: wait until somebody is, or fail at once."),
    ] = "wait"
    wait: Annotated[
        Literal["hold", "return"],
        Meta(
            description="hold: the result is the answer. return: the result is a question_id at "
            "once, and collect_answer gets the answer later."
        ),
    ] = "hold"


class CollectAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of collect_answer."""

    question_id: Annotated[str, Meta(min_length=1, max_length=128)]
    wait_seconds: Annotated[
        float, Meta(ge=0, description="How long to wait for the answer if there is none yet.")
    ] = 0


class CancelQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of cancel_question."""

    question_id: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(max_length=_REASON, description="People are shown this.")] = ""


class NotifyUser(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of notify_user."""

    message: Annotated[str, Meta(min_length=1, max_length=64 * 1024)]
    title: Annotated[str, Meta(max_length=1000)] = ""
    level: Literal["info", "success", "warning", "error"] = "info"
    audience: AudienceField = msgspec.UNSET


class ListFrontends(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of list_frontends: none."""


class Told(msgspec.Struct):
    """The structured content of notify_user."""

    told: int


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
            return outcome_result(asked.question, asked.outcome, asked.online)
        if wait is None:
            return open_result(asked.question, asked.online)
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
            online = await self._router.online(found.question.tenant, found.question.audience)
            return open_result(found.question, online)
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
            return text("Nobody is connected who could be told (0 frontends online).", Told(0))
        return text(f"Told {told} {'frontend' if told == 1 else 'frontends'}.", Told(told))

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
