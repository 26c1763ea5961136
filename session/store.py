"""The contract of every store: what must outlive a process.

The store is the truth. Each method is one atomic step and either returns
without waiting or first moves to a worker (`pool.workers.to_worker`), so a
caller may run a step on the spot and never stall the task that owns the
sockets. All methods raise `StoreUnavailableError` when the store cannot be
reached, and then nothing was accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from session.model import Draft, McpSession, Outcome, Presence, Question


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


class Store(Protocol):
    """Questions, sessions, drafts and presence, by tenant."""

    async def admit(self, question: Question) -> Admission:
        """Store an open question, or find the one this ask repeats.

        Idempotent by (tenant, asker, idempotency key): a repeat returns the earlier
        question with its outcome and ``fresh=False``.

        Raises:
            TooManyPendingError: the MCP session, the tenant or the whole store
                has as many open questions as it may.
        """
        ...

    async def settle(self, tenant: str, question_id: str, outcome: Outcome) -> Settlement | None:
        """End a question, once: the first outcome wins and later ones learn of it.

        Returns ``None`` when the tenant has no such question (unknown and
        foreign look the same). The outcome stays for the answer TTL.
        """
        ...

    async def find(self, tenant: str, question_id: str) -> Found | None:
        """Return a question with its outcome, open or settled within the TTL."""
        ...

    async def inbox(self, tenant: str) -> Sequence[Question]:
        """Return the tenant's open questions, oldest first."""
        ...

    async def expire_due(self, now: float, limit: int) -> Sequence[Settlement]:
        """Time out up to ``limit`` questions whose deadline is not after ``now``."""
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

    async def find_session(self, session_id: str) -> McpSession | None:
        """Return a session that has not ended; its idle TTL starts anew."""
        ...

    async def end_session(self, session_id: str) -> bool:
        """Forget a session. Returns whether there was one."""
        ...

    async def arrive(self, presence: Presence) -> None:
        """Note that a frontend is connected."""
        ...

    async def leave(self, presence: Presence) -> None:
        """Note that a frontend has gone; only this very connection is removed."""
        ...

    async def present(self, tenant: str) -> Sequence[Presence]:
        """Return the tenant's connected frontends, at every instance."""
        ...

    async def ping(self) -> None:
        """Return when the store answers; health checks fold over it."""
        ...
