"""The messages that a dictionary is trained on: ours, with what agents ask people.

Made by the gateway's own encoders from phrases below and chance with a seed, so that the
same corpus comes out everywhere. Nothing in it was ever said by anybody.
"""

from __future__ import annotations

import random  # noqa: TID251 - chance with a seed
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from gateway.frontends import messages
from gateway.frontends.messages import Stamps
from gateway.frontends.wire import Connect, DraftMessage, Seen, UserResponse
from gateway.offers import Ack, Notification
from session.model import Audience, Choice, Delivery, Outcome, Question, State
from session.redis import records

#: How many questions there are in it, each with what follows from it.
QUESTIONS: Final = 1_500
_SEED: Final = 20_260_101
_ATTEMPT: Final = 16
# What is stored is longer, and less of it has to be known in advance.
_STORED: Final = 0.1
_encode: Final = msgspec.json.Encoder().encode

Chance: TypeAlias = random.Random

_ASKS: Final = (
    "Shall I {do} {what}?",
    "Should I {do} {what} now, or wait until {when}?",
    "Do you want me to {do} {what}?",
    "May I {do} {what}? This cannot be undone.",
    "Which {thing} should I use for {what}?",
    "What is the {thing} of {what}?",
    "I found {number} {things} in {what}. How should I proceed?",
    "Please confirm that I can {do} {what}.",
    "Please review {what} before I {do} it.",
    "Can you provide the {thing} for {what}?",
    "The {thing} for {what} is missing. What should I do?",
    "Are you sure that you want to {do} {what}?",
    "Is it okay to {do} {what} {when}?",
    "How many {things} should {what} have?",
    "Who should be told when {what} is ready?",
    "Could you tell me more about {what}?",
    "Approve the request to {do} {what}?",
    "Where should I save {what}?",
    "When would you like me to {do} {what}?",
    "Why did {what} change {when}?",
)
_DO: Final = (
    *("deploy", "delete", "merge", "restart", "send", "publish", "update", "install", "create"),
    *("remove", "rename", "approve", "cancel", "continue with", "roll back", "migrate", "book"),
    *("run", "commit", "overwrite", "archive", "refund", "schedule", "share", "upgrade", "stop"),
)
_WHAT: Final = (
    *("the pull request", "the production database", "the new release", "this file", "the branch"),
    *("the meeting with the customer", "the order", "the invoice", "the test suite", "the server"),
    *("the account of the user", "the email to the team", "the deployment", "these changes"),
    *("the configuration", "the project", "the report", "the table of orders", "the API key"),
    *("the staging environment", "the payment service", "the backup", "the document", "the job"),
)
_THINGS: Final = (
    *("version", "name", "password", "address", "option", "error", "date", "region", "budget"),
    *("language", "priority", "format", "file", "directory", "change", "deadline", "value", "step"),
)
_WHEN: Final = (
    *("today", "tomorrow", "after the release", "this week", "in the morning", "since yesterday"),
    *("before the meeting", "at the end of the month", "as soon as possible", "on Monday"),
)
_SENTENCES: Final = (
    "All tests pass except for {number} that also fail on the main branch. ",
    "The change touches {number} files, and {what} is one of them. ",
    "It would take about {number} minutes, and nobody could use {what} meanwhile. ",
    "The customer wrote that {what} does not work {when} and asks for help. ",
    "The error is: connection refused while connecting to {what} (timeout after {number} s). ",
    "According to the documentation the {thing} is required for {what}. ",
    "I have already tried to {do} {what}, but the {thing} was not found. ",
    "If you do not answer, I will not {do} {what}. ",
    "There are {number} more {things} that need a decision from you. ",
    "The following options are available, with the recommended one first. ",
    "Traceback (most recent call last):\n  File 'main.py', line {number}, in <module>\n",
    "- {what}: {number} {things}\n- status: pending\n",
)
_CHOICES: Final = (
    (("yes", "Yes"), ("no", "No")),
    (("yes", "Yes, go ahead"), ("no", "No, do not"), ("later", "Ask me again later")),
    (("approve", "Approve"), ("reject", "Reject")),
    (("continue", "Continue"), ("retry", "Try again"), ("cancel", "Cancel"), ("skip", "Skip")),
    (("staging", "Staging"), ("production", "Production"), ("development", "Development")),
    (("low", "Low"), ("medium", "Medium"), ("high", "High"), ("critical", "Critical")),
    (("keep", "Keep it"), ("delete", "Delete it"), ("other", "Something else")),
)
_ANSWERS: Final = (
    *("Yes", "No", "Yes, go ahead.", "No, please wait.", "Not now.", "Use the default.", "Okay"),
    *("I do not know, please ask somebody else.", "The first option", "Both", "Blue", "42"),
    *("Looks good to me, thank you.", "Please {do} {what} first.", "Wait until {when}."),
)
_PEOPLE: Final = ("ann", "bob", "alice", "carol", "dave", "eve", "maria", "john", "wei", "amira")
_AGENTS: Final = (
    *("claude", "release-bot", "assistant", "coding-agent", "support-agent", "ci", "planner"),
    *("anonymous", "researcher", "review-bot"),
)
_GROUPS: Final = ("support", "developers", "admins", "sales", "on-call", "reviewers")
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "approved": {"type": "boolean", "title": "Approved"},
    "comment": {"type": "string", "title": "Comment", "maxLength": 500},
    "email": {"type": "string", "title": "Email", "format": "email"},
    "amount": {"type": "number", "title": "Amount", "minimum": 0},
    "count": {"type": "integer", "title": "Count", "minimum": 1, "maximum": 100},
    "date": {"type": "string", "title": "Date", "format": "date"},
    "environment": {"type": "string", "enum": ["staging", "production"], "default": "staging"},
    "name": {"type": "string", "title": "Name", "minLength": 1, "description": "The full name"},
}
_STATES: Final = (State.ANSWERED, State.ANSWERED, State.REJECTED, State.TIMED_OUT, State.CANCELLED)
_ENDINGS: Final = ("answered", "answered", "timed_out", "cancelled", "rejected", "reassigned")
_ERRORS: Final = (
    ("busy", "The gateway is busy; send this again."),
    ("invalid_message", "A message is one JSON object."),
    ("too_large", "A draft has at most 65536 characters."),
    ("unavailable", "The answer is not stored yet; send it again."),
    ("unauthenticated", "Say who you are first: connect with a token."),
)


def corpus() -> list[bytes]:
    """Return the messages, the same ones each time."""
    chance = random.Random(_SEED)
    return [message for _ in range(QUESTIONS) for message in _around(chance, _question(chance))]


def _around(chance: Chance, question: Question) -> Iterator[bytes]:
    """Yield a question as it is shown, and some of what follows from it."""
    stamps = Stamps()
    yield messages.ask_user(question, stamps)
    outcome = _outcome(chance, question)
    if chance.random() < _STORED:
        yield records.question_bytes(question)
        yield records.outcome_bytes(outcome, _id(chance)[:_ATTEMPT])
    kind = chance.randrange(6)
    if kind == 0:
        yield _welcome(chance, stamps.format(question.created_at))
        yield _encode(_connect(chance))
    elif kind == 1:
        yield messages.question_closed(question.id, chance.choice(_ENDINGS), outcome)
        yield messages.response_ack(question.id, _ack(chance, outcome))
    elif kind == 2:  # noqa: PLR2004 - one of six
        yield _encode(_response(question, outcome))
        yield messages.response_ack(question.id, Ack("accepted", state=outcome.state))
    elif kind == 3:  # noqa: PLR2004 - one of six
        yield _encode(DraftMessage(question.id, outcome.answer or "Let me see"))
        yield _encode(Seen(question.id))
    elif kind == 4:  # noqa: PLR2004 - one of six
        yield messages.notify_user(_notification(chance, question), stamps)
        yield messages.question_closed(question.id, "timed_out", None)
    else:
        code, text = chance.choice(_ERRORS)
        yield messages.error(code, text, retryable=code == "busy", request_id=question.id)


def _question(chance: Chance) -> Question:
    created = 1_767_225_600 + chance.random() * 31_536_000
    wants = chance.randrange(8)
    audience = chance.choice(
        [Audience()] * 6
        + [Audience("user", chance.choice(_PEOPLE)), Audience("group", chance.choice(_GROUPS))]
    )
    agent = chance.choice(_AGENTS)
    return Question(
        chance.choice("0123456789abcdef") * (chance.random() < 0.2) + _id(chance),  # noqa: PLR2004 - a fifth under a key
        "default",
        agent,
        _text(chance, chance.choice(_ASKS)),
        created,
        created + chance.choice((60, 300, 300, 600, 3_600)),
        audience,
        Delivery.ONE if chance.random() < 0.1 else Delivery.ALL,  # noqa: PLR2004 - few
        _choices(chance) if wants in (0, 1, 2) else (),
        _schema(chance) if wants == 3 else None,  # noqa: PLR2004 - one of eight
        _context(chance) if wants in (2, 4) else "",
        f"{agent}-{chance.randrange(1_000)}" if chance.random() < 0.2 else "",  # noqa: PLR2004 - few
        chance.choice(("", "", "Claude", "Release bot")),
        _uuid(chance) if chance.random() < 0.5 else "",  # noqa: PLR2004 - half of them
    )


def _outcome(chance: Chance, question: Question) -> Outcome:
    state = chance.choice(_STATES)
    at = question.created_at + chance.random() * 60
    if state in (State.TIMED_OUT, State.CANCELLED):
        return Outcome(state, at, reason="" if state is State.CANCELLED else "nobody answered")
    by, user = _id(chance), chance.choice(("", *_PEOPLE))
    if state is State.REJECTED:
        return Outcome(state, at, by=by, by_user=user, reason=_text(chance, chance.choice(_ASKS)))
    if question.choices:
        answer = chance.choice(question.choices).value
        return Outcome(state, at, answer, by=by, by_user=user)
    if question.schema is not None:
        content = {name: chance.choice(_PEOPLE) for name in question.schema["properties"]}
        return Outcome(state, at, messages.as_text(content), content, by, user)
    return Outcome(state, at, _text(chance, chance.choice(_ANSWERS)), by=by, by_user=user)


def _response(question: Question, outcome: Outcome) -> UserResponse:
    if outcome.state is State.REJECTED:
        return UserResponse(question.id, rejected=True, reason=outcome.reason)
    if outcome.content is not None:
        return UserResponse(question.id, content=outcome.content)
    return UserResponse(question.id, outcome.answer)


def _ack(chance: Chance, outcome: Outcome) -> Ack:
    return Ack(
        chance.choice(("duplicate", "too_late")),
        "Somebody else has answered.",
        state=outcome.state,
        by=outcome.by,
        by_user=outcome.by_user,
    )


def _notification(chance: Chance, question: Question) -> Notification:
    told = Notification(
        _text(chance, chance.choice(_SENTENCES)),
        title=chance.choice(("", "Done", "Deployment", "Build failed")),
        level=chance.choice(("info", "success", "warning", "error")),
    )
    told.id = _id(chance)
    told.sender = question.asker
    told.created_at = question.created_at
    return told


def _welcome(chance: Chance, now: str) -> bytes:
    named = {"user": chance.choice(_PEOPLE), "groups": [chance.choice(_GROUPS)]}
    return messages.connect_ack(
        frontend_id=_id(chance),
        session_id=_id(chance),
        resumed=chance.random() < 0.2,  # noqa: PLR2004 - few
        server_time=now,
        heartbeat_seconds=30.0,
        limits={"message_bytes": 1048576, "answer_bytes": 65536, "draft_bytes": 65536},
        compression=["zstd"],
        server={"name": "frontend-router", "version": "0.1.0"},
        **named if chance.random() < 0.5 else {},  # noqa: PLR2004 - half of them
    )


def _connect(chance: Chance) -> Connect:
    return Connect(_id(chance), chance.choice(_PEOPLE), "inbox", (chance.choice(_GROUPS),))


def _choices(chance: Chance) -> tuple[Choice, ...]:
    described = chance.random() < 0.3  # noqa: PLR2004 - some
    return tuple(
        Choice(value, label, _text(chance, "{do} {what} {when}") if described else "")
        for value, label in chance.choice(_CHOICES)
    )


def _schema(chance: Chance) -> dict[str, Any]:
    names = chance.sample(sorted(_FIELDS), chance.randrange(1, 5))
    return {
        "type": "object",
        "properties": {name: _FIELDS[name] for name in names},
        "required": names[:1],
        "additionalProperties": False,
    }


def _context(chance: Chance) -> str:
    lines = (chance.choice(_SENTENCES) for _ in range(chance.randrange(1, 8)))
    return "".join(_text(chance, line) for line in lines)


def _text(chance: Chance, pattern: str) -> str:
    thing = chance.choice(_THINGS)
    return pattern.format(
        do=chance.choice(_DO),
        what=chance.choice(_WHAT),
        thing=thing,
        things=f"{thing}s",
        when=chance.choice(_WHEN),
        number=chance.randrange(2, 500),
    )


def _id(chance: Chance) -> str:
    return f"{chance.getrandbits(128):032x}"


def _uuid(chance: Chance) -> str:
    digits: Sequence[str] = _id(chance)
    cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return "-".join("".join(digits[begin:end]) for begin, end in cuts)
