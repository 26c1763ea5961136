"""The sessions of the handshake revisions: whose they are, and what they keep.

Sessions live in the store, so any instance serves any of them. Possession of an
id proves nothing: a session of somebody else looks exactly like none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, final

from gateway.mcp.jsonrpc import BUSY, INVALID_REQUEST, RpcError
from pool.promises import Promise
from session.errors import StoreUnavailableError, TooManySessionsError
from session.model import McpSession, Principal

if TYPE_CHECKING:
    from gateway.ids import Ids
    from gateway.mcp.jsonrpc import RequestId
    from gateway.mcp.revisions.handshake import Introduction
    from gateway.quotas.allowances import Allowances
    from pool.connection import Callback
    from pool.timers import Timers
    from session import Store

_UNKNOWN: Final = "There is no such session, or it has ended: begin a new one with initialize."
# A stream's first event leaves before the store knows what the stream waits for: its
# question may not even be admitted. Who resumes elsewhere at once may be the faster one,
# so the store is asked again, for a second in all.
_ASK_AGAIN_SECONDS: Final = (0.05, 0.1, 0.25, 0.6)


@final
class Sessions:
    """Opens, finds and ends sessions, each for its own principal only."""

    __slots__ = ("_clock", "_ids", "_limit", "_quotas", "_store", "_timers")

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the endpoint
        self,
        store: Store,
        ids: Ids,
        clock: Callable[[], float],
        timers: Timers[Callback],
        resumable_streams: int,
        quotas: Allowances | None = None,
    ) -> None:
        self._quotas = quotas
        self._store = store
        self._ids = ids
        self._clock = clock
        self._timers = timers
        self._limit = resumable_streams

    async def open(self, principal: Principal, introduction: Introduction) -> McpSession:
        """Begin a session.

        Raises:
            RpcError: there are as many as there may be.
            OverQuotaError: the principal has as many.
        """
        session = McpSession(
            self._ids.uuid(),
            principal.tenant,
            principal.subject,
            introduction.revision.name,
            self._clock(),
            introduction.client_name,
            introduction.capabilities,
        )
        if self._quotas is not None:
            standing = self._quotas.of(principal)
            if standing is not None and standing.sessions:
                await self._quotas.claim_session(principal, standing, session.id)
        try:
            await self._store.save_session(session)
        except TooManySessionsError as error:
            raise RpcError(BUSY, f"{error}.") from None
        return session

    def find(
        self, session_id: str | None, *, patient: bool = False
    ) -> Awaitable[McpSession | None]:
        """Look a session up, for `owned` to judge; it is in use again.

        ``patient``: what is under way goes on or ends, which is worth waiting for the store.
        This is no coroutine: it would be one more for every question.

        Raises:
            RpcError: there is no id.
        """
        if session_id is None:
            raise RpcError(
                INVALID_REQUEST,
                "The header Mcp-Session-Id is missing; it comes with the reply to initialize.",
                status=400,
            )
        return self._store.find_session(session_id, patient=patient)

    async def touch(self, session: McpSession) -> None:
        """Note that a session is in use, though nothing is asked in it.

        While the store is away it is not: the next time is early enough.
        """
        with suppress(StoreUnavailableError):
            await self._store.find_session(session.id)

    async def end(self, session: McpSession) -> None:
        """End a session: its id means nothing from now on.

        That its quota cannot be told is no harm: at the limit it looks for those that ended.
        """
        await self._store.end_session(session.id)
        if self._quotas is not None:
            standing = self._quotas.of(Principal(session.tenant, session.subject))
            if standing is not None and standing.sessions:
                with suppress(StoreUnavailableError):
                    await self._quotas.end_session(standing, session.id)

    async def remember(
        self, session: McpSession, stream_id: str, question_id: str, request_id: RequestId
    ) -> None:
        """Note what a stream waits for, so that any instance can continue it.

        The oldest streams go first, and while the store is away none is noted: what they
        waited for can still be collected.
        """
        with suppress(StoreUnavailableError):
            await self._store.save_stream(
                session.id, stream_id, (question_id, request_id), self._limit
            )

    async def waited_for(self, session: McpSession, stream_id: str) -> tuple[str, RequestId] | None:
        """Return what a stream of a session waits for: a question, and the id to reply under.

        A stream that is not known is waited for a little; that holds no worker.
        """
        found = await self._store.find_stream(session.id, stream_id)
        for seconds in _ASK_AGAIN_SECONDS:
            if found is not None:
                break
            passed: Promise[None] = Promise()
            self._timers.arm(seconds, partial(passed.set, None))
            await passed
            found = await self._store.find_stream(session.id, stream_id)
        return found


def owned(session: McpSession | None, principal: Principal) -> McpSession:
    """Return a session that was found, if it is ``principal``'s.

    Raises:
        RpcError: it is not, or there is none.
    """
    if (
        session is None
        or session.tenant != principal.tenant
        or session.subject != principal.subject
    ):
        raise RpcError(INVALID_REQUEST, _UNKNOWN, status=404)
    return session
