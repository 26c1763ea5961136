"""What a question, an answer and a session are.

Pure module: values only. Times are seconds since the Unix epoch as floats, so
that two instances mean the same moment; ids have 128 bits from a CSPRNG in hex.
Every value names its tenant: nothing here can be looked up without one.
"""

from __future__ import annotations

import enum
import math
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


#: What a credential may allow: to ask people, to answer (and be a frontend), to tell people
#: something, to see who is connected, to offer tools and call those of frontends, and to
#: look after the questions of a whole tenant (`gateway.ownership`).
SCOPES: Final = frozenset(("ask", "answer", "notify", "list", "tools", "admin"))


class Principal(msgspec.Struct, frozen=True):
    """Who is speaking, as the credential says: a subject of a tenant, and what it may do.

    ``credential`` names the credential without being of use to anybody who has it, and
    ``expires_at`` is when it ends. Nothing is allowed that ``scopes`` does not have.
    """

    tenant: str
    subject: str
    groups: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    credential: str = ""
    expires_at: float = math.inf


#: Whoever has not said who they are: nothing is theirs, and they may do nothing.
NOBODY: Final = Principal("", "")


class Audience(msgspec.Struct, frozen=True):
    """Whom a question is for, inside its tenant.

    A call of a tool is for the connections of one frontend that offer it: the name is the
    tool's, a blank, and the frontend's id.
    """

    kind: Literal["everyone", "group", "user", "frontend", "tool"] = "everyone"
    name: str = ""


EVERYONE: Final = Audience()


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the answers a person can pick: ``value`` returns to the caller."""

    value: str
    label: str = ""
    description: str = ""


class Approval(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a caller wants to run, once a person has seen it.

    ``arguments`` is canonical JSON (`gateway.canonical`), ``digest`` a SHA-256 over the tool
    and them, ``seconds`` how long the receipt of an approval is good.
    """

    tool: str
    arguments: str
    digest: str
    seconds: float
    reason: str = ""


class Question(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an agent asked. Never changes; what became of it is its `Outcome`.

    What instances of other versions do not know of it, they pass over: fields are only
    ever added, at the end.
    """

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
    #: What people are asked to let run: then ``choices`` are to approve and to reject.
    approval: Approval | None = None
    #: How much it matters beside others: empty is as usual.
    urgency: Literal["", "low", "high"] = ""
    #: With several questions in one: their ids, which are properties of ``schema``.
    parts: tuple[str, ...] = ()
    #: How many people must answer, each once; 0 is that the first answer settles it.
    quorum: int = 0
    #: The tool of a frontend that is called, if this is a call and nothing for a person:
    #: ``context`` is its arguments as JSON, ``schema`` what its result has to satisfy.
    tool: str = ""


class Listing(msgspec.Struct, frozen=True, gc=False):
    """An open question as its tenant's inbox has it; a `session.store.Listed`."""

    id: str
    tenant: str
    audience: Audience
    delivery: Delivery


class Ballot(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One of the answers to a question that several people answer."""

    at: float
    by: str
    by_user: str = ""
    answer: str = ""
    content: dict[str, Any] | None = None


class Noted(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """That a question was offered to a frontend, or seen by the person at it."""

    kind: Literal["offered", "seen"]
    at: float
    frontend_id: str
    user: str


class Outcome(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The one terminal state of a question, and who brought it about.

    ``answer`` is the text that returns to the caller, ``content`` the object
    that satisfied the question's schema, ``by`` the frontend or caller that
    settled it, ``reason`` a sentence for people. ``state`` is never `State.OPEN`.
    ``receipt`` is the proof of an approval, ``answers`` are those of a quorum, and ``history``
    who was shown the question, as far as that was noted.
    """

    state: State
    at: float
    answer: str = ""
    content: dict[str, Any] | None = None
    by: str = ""
    by_user: str = ""
    reason: str = ""
    receipt: str = ""
    answers: tuple[Ballot, ...] = ()
    history: tuple[Noted, ...] = ()


class Draft(msgspec.Struct, frozen=True):
    """What a person has typed but not sent."""

    question_id: str
    text: str
    saved_at: float


class McpSession(msgspec.Struct):
    """A caller's handshake-era session (MCP 2025-03-26 to 2025-11-25)."""

    id: str
    tenant: str
    subject: str
    revision: str
    created_at: float
    client_name: str = ""
    capabilities: dict[str, Any] = {}
    log_level: str = ""
    #: What others wrote into the session, kept as it is.
    others: dict[str, Any] = {}


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


class ToolOffer(msgspec.Struct, frozen=True):
    """The tools that one connection of a frontend offers, as long as it is there.

    ``tools`` are their names, each with the digest of its definition.
    """

    connection_id: str
    frontend_id: str
    tenant: str
    user: str
    instance: str
    offered_at: float
    tools: dict[str, str]
