"""The contract of every store: what must outlive a process.

The store is the truth. Each method is one atomic step, given to
`pool.workers.Workers.start` as part of a job: it returns without waiting, parks the
job until the store has answered, or moves it to a worker. All methods raise
`StoreUnavailableError` when the store cannot be reached; what was asked for may then
have happened all the same, and asking for it again is safe.

A store that is shared tells each instance what the others do to its questions
(`session.bus`), and a question that a method returned as open is one whose end will
be heard of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from session.asides import Tally
from session.model import (
    Audience,
    Ballot,
    Delivery,
    Draft,
    McpSession,
    Noted,
    Outcome,
    Presence,
    Question,
)


class Admission(msgspec.Struct, frozen=True, gc=False):
    """What became of an ask: the question now in the store, and whether this ask made it."""

    question: Question
    fresh: bool
    outcome: Outcome | None


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """What became of an attempt to end a question: ``outcome`` is the winner's."""

    question: Question
    won: bool
    outcome: Outcome


class Found(msgspec.Struct, frozen=True, gc=False):
    """A question with its outcome, or ``None`` while it is open."""

    question: Question
    outcome: Outcome | None
    #: While it is open: what is beside it. Later its outcome has them.
    answers: tuple[Ballot, ...] = ()
    history: tuple[Noted, ...] = ()


class Listening(msgspec.Struct, frozen=True, gc=False):
    """A listener of a session: an instance where it has streams that hear what nobody asked for."""

    #: A name that no other listener has.
    listener: str
    #: Where its newest stream comes among those of all listeners; 0 for one not heard of yet.
    order: int
    #: For how long it counts, unless it is said again.
    seconds: float
    #: For how long its newest stream has been open: where it comes, as long as no order says so.
    age: float = 0.0


class Heard(msgspec.Struct, frozen=True, gc=False):
    """Of which resources a session wants to hear, and whether a listener is to tell it."""

    uris: tuple[str, ...]
    #: Where this listener comes from now on; the latest of all tells, and no other.
    order: int
    tells: bool
    #: Whether there are other listeners, and whether they are to hear of this one.
    is_shared: bool
    is_news: bool


class Listed(Protocol):
    """An open question as far as its audience is concerned."""

    @property
    def id(self) -> str:
        """The question's id."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def audience(self) -> Audience:
        """Whom it is for."""

    @property
    def delivery(self) -> Delivery:
        """Who of them is offered it."""


class Store(Protocol):
    """Questions, sessions, drafts and presence, by tenant."""

    @property
    def shared(self) -> bool:
        """Whether other instances have the same questions, and outlive this one."""

    async def admit(self, question: Question, *, hold: bool = False) -> Admission:
        """Store an open question, or find the one this ask repeats.

        Idempotent by (tenant, asker, idempotency key): a repeat returns the earlier
        question with its outcome and ``fresh=False``. Also by id: one that is there is
        fresh as before, with its outcome, so that who was told that a question is open
        and does not find it before its deadline, as a failover lost it, can put it back.
        With ``hold`` one that was not there is this instance's to show, see `hold`.

        Raises:
            TooManyPendingError: the MCP session, the tenant or the whole store
                has as many open questions as it may.
        """
        ...

    async def settle(self, question: Question, outcome: Outcome) -> Settlement | None:
        """End a question, once: the first outcome wins and later ones learn of it.

        Returns ``None`` when the tenant has no such question: one that nobody asked, a
        foreign one and one that was lost look the same. The outcome stays for the answer
        TTL, and where questions can be lost until the deadline: what ended is not put back.
        """
        ...

    async def find(self, tenant: str, question_id: str) -> Found | None:
        """Return a question with its outcome, open or settled within the TTL."""
        ...

    async def vote(self, question: Question, voter: str, ballot: Ballot) -> Tally | None:
        """Add one person's answer to a question that several answer, once.

        Whoever has the last of them settles it. ``voter`` tells one person from another.
        Returns ``None`` when the tenant has no such question.
        """
        ...

    async def note(self, noted: Sequence[tuple[Question, Sequence[Noted]]]) -> None:
        """Note who was shown open questions; of each so many notes are kept."""
        ...

    async def hold(self, tenant: str, question_id: str) -> Question | None:
        """Become the instance that shows a question of delivery `one`.

        Returns the question if it is open and no other living instance holds it.
        """
        ...

    async def release(self, question: Question) -> None:
        """Hold a question no longer: the other instances are told that it is free."""
        ...

    async def inbox(self, tenant: str) -> Sequence[Listed]:
        """Return the tenant's open questions, oldest first."""
        ...

    async def sweep(self, now: float, limit: int) -> Sequence[Settlement]:
        """Do what is due, and find what was not heard of.

        Returns up to ``limit`` questions whose deadline is not after ``now`` and that
        this call has timed out.
        """
        ...

    async def save_draft(self, tenant: str, owner: str, draft: Draft) -> None:
        """Keep what ``owner`` (a frontend id) has typed, until the question ends."""
        ...

    async def drafts(self, tenant: str, owner: str) -> Sequence[Draft]:
        """Return the owner's drafts for questions that are still open."""
        ...

    async def save_session(self, session: McpSession) -> None:
        """Keep a caller's session; its idle TTL starts anew.

        Raises:
            TooManySessionsError: it is new and there are as many as there may be.
        """
        ...

    async def find_session(self, session_id: str, *, patient: bool = False) -> McpSession | None:
        """Return a session that has not ended; its idle TTL starts anew.

        For what is only beginning a store that is away is soon said to be: it can be
        tried again. ``patient``, for who goes on with something or ends it, waits
        until the store may be back, as all that has no caller to refuse does.
        """
        ...

    async def end_session(self, session_id: str) -> bool:
        """Forget a session. Returns whether there was one."""
        ...

    async def save_stream(
        self, session_id: str, stream_id: str, waits_for: tuple[str, str | int], limit: int
    ) -> None:
        """Note what an event stream of a session waits for, so that it can be resumed.

        ``waits_for`` is a question's id and the JSON-RPC id to reply under. A session
        keeps ``limit`` streams; the oldest go first.
        """
        ...

    async def find_stream(self, session_id: str, stream_id: str) -> tuple[str, str | int] | None:
        """Return what a stream of a session waits for."""
        ...

    async def save_subscription(self, session_id: str, uri: str, limit: int) -> bool:
        """Note that a session wants to hear of changes of a resource.

        Returns whether it could be: a session keeps ``limit``. In one that has ended
        meanwhile nothing is kept, and nothing refused.
        """
        ...

    async def end_subscription(self, session_id: str, uri: str) -> None:
        """Note that a session wants to hear no more of a resource."""
        ...

    async def listen(self, session_id: str, listening: Listening) -> Heard | None:
        """Note who listens for a session; return of which resources it wants to hear.

        Of all that listen at a time one is to tell it what it hears: the latest. One that is
        heard of late comes where its stream opened, and one that opens now after all others.
        ``None``: there is no such session, or it has ended. Asking does not make it younger.
        """
        ...

    async def end_listening(self, session_id: str, listening: Listening) -> None:
        """Note that a listener is gone, unless it has said since that its order is another."""
        ...

    def touch_sessions(self, session_ids: set[str]) -> None:
        """Keep sessions alive whose callers wait for people: that is not idleness."""
        ...

    async def arrive(self, presence: Presence) -> bool:
        """Note that a frontend is connected. Returns whether that was not known."""
        ...

    async def leave(self, presence: Presence) -> None:
        """Note that a frontend has gone; only this very connection is removed."""
        ...

    async def present(self, tenant: str) -> Sequence[Presence]:
        """Return the tenant's connected frontends, at every instance; 10,000 at most."""
        ...

    async def ping(self) -> None:
        """Return when the store answers; health checks fold over it."""
        ...
