"""What a question, an answer and a session are.

Pure module: values only. Times are seconds since the Unix epoch as floats, so
that two instances mean the same moment; ids have 128 bits from a CSPRNG in hex.
Every value names its tenant: nothing here can be looked up without one.
"""

from __future__ import annotations

import enum
from typing import Any, Final, Literal

import msgspec


class State(enum.Enum):
    """Where a question is in its life; `session.lifecycle` says what may follow."""

    #: The name on every wire. A plain attribute: an enum's own ``value`` is a
    #: descriptor written in Python, and this is read for every question.
    text: str

    def __init__(self, text: str) -> None:
        self.text = text

    OPEN = "open"
    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Delivery(enum.Enum):
    """Who is offered a question: its whole audience, or one frontend after the other."""

    ALL = "all"
    ONE = "one"


class Principal(msgspec.Struct, frozen=True):
    """Who is speaking: a tenant and a subject in it, as the credential says."""

    tenant: str
    subject: str
    groups: tuple[str, ...] = ()


class Audience(msgspec.Struct, frozen=True):
    """Whom a question is for, inside its tenant."""

    kind: Literal["everyone", "group", "user", "frontend"] = "everyone"
    name: str = ""


EVERYONE: Final = Audience()


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the answers a person can pick: ``value`` returns to the caller."""

    value: str
    label: str = ""
    description: str = ""


class Question(msgspec.Struct, frozen=True, gc=False):
    """What an agent asked. Never changes; what became of it is its `Outcome`."""

    id: str
    tenant: str
    asker: str
    text: str
    created_at: float
    deadline: float
    audience: Audience = EVERYONE
    delivery: Delivery = Delivery.ALL
    choices: tuple[Choice, ...] = ()
    schema: dict[str, Any] | None = None
    context: str = ""
    idempotency_key: str = ""
    asker_name: str = ""
    session_id: str = ""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The one terminal state of a question, and who brought it about.

    ``answer`` is the text that returns to the caller, ``content`` the object
    that satisfied the question's schema, ``by`` the frontend or caller that
    settled it, ``reason`` a sentence for people. ``state`` is never `State.OPEN`.
    """

    state: State
    at: float
    answer: str = ""
    content: dict[str, Any] | None = None
    by: str = ""
    by_user: str = ""
    reason: str = ""


class Draft(msgspec.Struct, frozen=True):
    """What a person has typed but not sent."""

    question_id: str
    text: str
    saved_at: float


class McpSession(msgspec.Struct):
    """A caller's handshake-era session (MCP 2025-03-26 to 2025-11-25).

    ``streams`` maps the ids of the event streams a caller may resume to the
    question each waits for and the JSON-RPC id to reply under, oldest first.
    """

    id: str
    tenant: str
    subject: str
    revision: str
    created_at: float
    client_name: str = ""
    capabilities: dict[str, Any] = {}
    log_level: str = ""
    streams: dict[str, tuple[str, str | int]] = {}


class Presence(msgspec.Struct, frozen=True):
    """A frontend that is connected somewhere."""

    frontend_id: str
    connection_id: str
    tenant: str
    user: str
    name: str
    groups: tuple[str, ...]
    connected_at: float
    instance: str
