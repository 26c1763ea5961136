"""What the router and its two sides say to each other.

An ask, the offer that comes of it, the acknowledgement of an
answer, and what is refused of each. What happens to them is the router's.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, NamedTuple, Protocol, final

from gateway.answers import InvalidSchemaError, check_schema
from gateway.errors import InvalidAskError
from gateway.hub import Frontend
from pool.settings import setting
from session import Settlement
from session.model import EVERYONE, Audience, Choice, Delivery, Outcome, Presence, Question, State

_CHOICES: Final = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How questions are asked and offered."""

    default_seconds: float = setting(
        300.0, "How long a question waits when its caller does not say.", unit="seconds", minimum=1
    )
    maximum_seconds: float = setting(
        86_400.0,
        "The longest a question may wait; longer is shortened to it.",
        unit="seconds",
        minimum=1,
        maximum=30 * 86_400,
    )
    unseen_seconds: float = setting(
        30.0,
        "With delivery one: how long a question may stay unseen before the next frontend gets it.",
        unit="seconds",
        minimum=0.25,
    )
    question_bytes: int = setting(
        256 * 1024, "The longest question or context.", unit="bytes", minimum=256
    )
    answer_bytes: int = setting(256 * 1024, "The longest answer.", unit="bytes", minimum=256)
    draft_bytes: int = setting(16 * 1024, "The longest draft.", unit="bytes", minimum=256)


@final
class Ask:
    """What a caller wants to know. ``timeout`` is in seconds; ``None`` is the default."""

    __slots__ = (
        "asker_name",
        "audience",
        "choices",
        "context",
        "delivery",
        "idempotency_key",
        "if_absent",
        "schema",
        "session_id",
        "text",
        "timeout",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - all that a question may have
        self,
        text: str,
        timeout: float | None = None,
        audience: Audience = EVERYONE,
        delivery: Delivery | None = None,
        choices: tuple[Choice, ...] = (),
        schema: dict[str, Any] | None = None,
        context: str = "",
        idempotency_key: str = "",
        session_id: str = "",
        asker_name: str = "",
        if_absent: Literal["wait", "fail"] = "wait",
    ) -> None:
        self.text = text
        self.timeout = timeout
        self.audience = audience
        self.delivery = delivery
        self.choices = choices
        self.schema = schema
        self.context = context
        self.idempotency_key = idempotency_key
        self.session_id = session_id
        self.asker_name = asker_name
        self.if_absent = if_absent


class Waiter(Protocol):
    """Somebody who wants to know how a question ends."""

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome: once, later, and never from inside the call that asked."""


@final
class Asked:
    """What became of an ask: its question, and how that ended if it did so before."""

    __slots__ = ("outcome", "question")

    def __init__(self, question: Question, outcome: Outcome | None) -> None:
        self.question = question
        self.outcome = outcome


class Ack(NamedTuple):
    """What became of somebody's answer."""

    status: Literal["accepted", "duplicate", "too_late", "invalid", "unknown"]
    message: str = ""
    state: State | None = None
    #: Who settled the question, when a frontend did: whoever sends an answer
    #: again, because its acknowledgement was lost, finds itself.
    by: str = ""
    by_user: str = ""


ACCEPTED: Final = Ack("accepted", state=State.ANSWERED)


@final
class Notification:
    """Something people are told, and are not asked to answer."""

    __slots__ = ("audience", "created_at", "encoded", "id", "level", "message", "sender", "title")

    def __init__(
        self, message: str, *, title: str = "", level: str = "info", audience: Audience = EVERYONE
    ) -> None:
        self.message = message
        self.title = title
        self.level = level
        self.audience = audience
        self.id = ""
        self.sender = ""
        self.created_at = 0.0
        #: What the frontends' port made of it, once for all of them.
        self.encoded = b""


class Recipient(Frontend, Protocol):
    """A frontend as the router uses it. Every method returns at once."""

    #: The offers it has, by question id; the router keeps it.
    offers: dict[str, Offer]
    #: Whether the hub has it; the router keeps it.
    attached: bool
    presence: Presence

    def offer(self, offer: Offer) -> None:
        """Show a question, now or as soon as the socket takes it."""

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        """Take a question back: it is settled, or somebody else is asked."""

    def notify(self, notification: Notification) -> None:
        """Show a notification."""


@final
class Offer:
    """A question as this process knows it: who is shown it, who waits for it."""

    __slots__ = ("encoded", "holders", "offered_at", "passed_over", "question", "waiters")

    def __init__(self, question: Question) -> None:
        self.question = question
        #: What the frontends' port made of it, once for all of them.
        self.encoded = b""
        self.waiters: list[Waiter] = []
        self.holders: dict[Recipient, None] = {}
        # With delivery one: since when somebody has it, and who had it before.
        self.offered_at = 0.0
        self.passed_over: set[Recipient] | None = None


def check_ask(ask: Ask, settings: Settings) -> None:
    """Refuse an ask that breaks a limit or contradicts itself.

    Raises:
        InvalidAskError: the message says what to change.
    """
    limit = settings.question_bytes
    if not ask.text or ask.text.isspace():
        raise InvalidAskError("The question is empty; say what you want to know.")
    if len(ask.text) > limit or len(ask.context) > limit:
        raise InvalidAskError(f"A question and its context may have {limit} characters each.")
    if ask.choices:
        if len(ask.choices) > _CHOICES:
            raise InvalidAskError(f"A question may have at most {_CHOICES} choices.")
        if len({choice.value for choice in ask.choices}) < len(ask.choices):
            raise InvalidAskError("Two choices have the same value.")
    if ask.schema is not None:
        if ask.choices:
            raise InvalidAskError("Give either choices or a schema, not both.")
        try:
            check_schema(ask.schema)
        except InvalidSchemaError as error:
            raise InvalidAskError(f"The question cannot be asked: {error}.") from None


def refused(settled: Settlement | None) -> Ack:
    """Tell somebody whose answer did not settle the question why."""
    if settled is None:
        return Ack("unknown", "There is no such question any more.")
    return lost_to(settled.outcome)


def lost_to(outcome: Outcome) -> Ack:
    """Tell somebody whose answer came second what was first."""
    if outcome.state is State.ANSWERED:
        who = outcome.by_user or outcome.by
        message = f"This was already answered by {who}."
        return Ack("duplicate", message, outcome.state, outcome.by, outcome.by_user)
    ended = outcome.state.text.replace("_", " ")
    message = f"This question has ended: {ended}."
    if outcome.state is State.REJECTED:
        return Ack("too_late", message, outcome.state, outcome.by, outcome.by_user)
    return Ack("too_late", message, outcome.state)
