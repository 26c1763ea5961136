"""What the router and its two sides say to each other.

An ask, the offer that comes of it, the acknowledgement of an
answer, and what is refused of each. What happens to them is the router's.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, NamedTuple, Protocol, final

import msgspec

from gateway.answers import InvalidSchemaError, check_schema
from gateway.errors import InvalidAskError
from gateway.hub import Frontend
from gateway.waiters import Waiter
from pool.settings import setting
from session import Settlement
from session.model import (
    EVERYONE,
    Approval,
    Audience,
    Choice,
    Delivery,
    Outcome,
    Presence,
    Principal,
    Question,
    State,
)

# Tests hold what is done with so much to steps that nobody notices; the whole of a text is
# copied in one go all the same.
_LONGEST: Final = 16 * 1024 * 1024
_CHOICES: Final = 100
_CHOICE: Final = 4_000
_decode_notification: Final = msgspec.json.Decoder(tuple[str, str, float, str, str, str]).decode


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
    # These are called after bytes, and count characters: each has one to six bytes in JSON.
    question_bytes: int = setting(
        1024 * 1024,
        "The longest question or context, 16 Mi at most; --http-body-bytes is for both together. "
        "Arguments for a tool of a page have 1 Mi characters at most.",
        unit="characters",
        minimum=256,
        maximum=_LONGEST,
    )
    answer_bytes: int = setting(
        256 * 1024,
        "The longest answer, 16 Mi at most; what a tool of a page returns has 1 MiB at most.",
        unit="characters",
        minimum=256,
        maximum=_LONGEST,
    )
    draft_bytes: int = setting(
        16 * 1024,
        "The longest draft; a longer reason to reject is cut.",
        unit="characters",
        minimum=256,
    )


@final
class Ask:
    """What a caller wants to know. ``timeout`` is in seconds; ``None`` is the default."""

    __slots__ = (
        "approval",
        "asker_name",
        "audience",
        "choices",
        "context",
        "delivery",
        "idempotency_key",
        "if_absent",
        "parts",
        "quorum",
        "schema",
        "session_id",
        "text",
        "timeout",
        "tool",
        "urgency",
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
        approval: Approval | None = None,
        urgency: Literal["", "low", "high"] = "",
        parts: tuple[str, ...] = (),
        quorum: int = 0,
        tool: str = "",
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
        self.approval = approval
        self.urgency = urgency
        self.parts = parts
        self.quorum = quorum
        #: The frontend's tool that is called, if this is a call; see `Question`.
        self.tool = tool


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

    def stored(self) -> bytes:
        """Return it for other instances, `of` reads it."""
        return msgspec.json.encode(
            (self.id, self.sender, self.created_at, self.message, self.title, self.level)
        )

    @classmethod
    def of(cls, audience: Audience, stored: bytes) -> Notification:
        """Return what `stored` wrote at another instance.

        Raises:
            msgspec.DecodeError: it did not.
        """
        notification_id, sender, created_at, message, title, level = _decode_notification(stored)
        notification = cls(message, title=title, level=level, audience=audience)
        notification.id = notification_id
        notification.sender = sender
        notification.created_at = created_at
        return notification


@dataclasses.dataclass(frozen=True, slots=True)
class RouterStatistics:
    """What the router holds, and what became of questions so far."""

    offers: int
    waiters: int
    unseen: int
    outcomes: dict[str, int]


class Recipient(Frontend, Protocol):
    """A frontend as the router uses it. Every method returns at once."""

    #: The offers it has, by question id; the router keeps it.
    offers: dict[str, Offer]
    #: Whether the hub has it; the router keeps it.
    attached: bool
    presence: Presence
    principal: Principal

    def offer(self, offer: Offer) -> None:
        """Show a question, now or as soon as the socket takes it."""

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        """Take a question back: it is settled, or somebody else is asked."""

    def notify(self, notification: Notification) -> None:
        """Show a notification."""


@final
class Offer:
    """A question as this process knows it: who is shown it, who waits for it."""

    __slots__ = (
        "encoded",
        "held",
        "holders",
        "noted_at",
        "offered_at",
        "passed_over",
        "question",
        "seen",
        "waiters",
        "written",
    )

    def __init__(self, question: Question) -> None:
        self.question = question
        #: What the frontends' port made of it, once for all of them.
        self.encoded = b""
        #: And what it made of a large one.
        self.written: object = None
        self.waiters: list[Waiter] = []
        #: Who is shown it, and since when.
        self.holders: dict[Recipient, float] = {}
        #: Who looked at it first, and when, of those who did here.
        self.seen: dict[Recipient, float] | None = None
        #: Up to when the store has been told of both; see `gateway.chronicle`.
        self.noted_at = 0.0
        # With delivery one: whether this is the instance that shows it.
        self.held = False
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
    if ask.quorum:
        _check_quorum(ask)
    if ask.choices:
        _check_choices(ask.choices)
    if ask.schema is not None:
        if ask.choices:
            raise InvalidAskError("Give either choices or a schema, not both.")
        try:
            check_schema(ask.schema)
        except InvalidSchemaError as error:
            raise InvalidAskError(f"The question cannot be asked: {error}.") from None


def _check_choices(choices: tuple[Choice, ...]) -> None:
    if len(choices) > _CHOICES:
        raise InvalidAskError(f"A question may have at most {_CHOICES} choices.")
    if any(len(choice.value) > _CHOICE for choice in choices):
        raise InvalidAskError(f"A choice may have at most {_CHOICE} characters.")
    if len({choice.value for choice in choices}) < len(choices):
        raise InvalidAskError("Two choices have the same value.")


def _check_quorum(ask: Ask) -> None:
    if ask.audience.kind in ("user", "frontend"):
        raise InvalidAskError(
            "A quorum is of several people: ask everyone or a group, or leave quorum out."
        )
    if ask.delivery is Delivery.ONE:
        raise InvalidAskError('A quorum needs delivery "all": several people are asked.')


def question_of(  # noqa: PLR0913, PLR0917 - all that a question comes from
    ask: Ask,
    principal: Principal,
    settings: Settings,
    question_id: str,
    now: float,
    delivery: Delivery,
) -> Question:
    """Return the question that an ask becomes; ``delivery`` is for one that does not say."""
    timeout = settings.default_seconds if ask.timeout is None else ask.timeout
    return Question(
        question_id,
        principal.tenant,
        principal.subject,
        ask.text,
        now,
        now + min(max(timeout, 0.0), settings.maximum_seconds),
        ask.audience,
        # Who waits for several people asks all of them at once.
        Delivery.ALL if ask.quorum else ask.delivery or delivery,
        ask.choices,
        ask.schema,
        ask.context,
        ask.idempotency_key,
        ask.asker_name,
        ask.session_id,
        ask.approval,
        ask.urgency,
        ask.parts,
        ask.quorum,
        ask.tool,
    )


def ack_of(settled: Settlement | None, state: State) -> Ack:
    """Tell somebody what became of what they said: it ended the question so, or came second."""
    if settled is not None and settled.won:
        return Ack("accepted", state=state)
    return refused(settled)


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
