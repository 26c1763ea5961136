"""The sessions of the handshake revisions: whose they are, and what they keep.

Sessions live in the store, so any instance serves any of them. Possession of an
id proves nothing: a session of somebody else looks exactly like none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from gateway.mcp.jsonrpc import BUSY, INVALID_REQUEST, RpcError
from session.errors import TooManySessionsError
from session.model import McpSession, Principal

if TYPE_CHECKING:
    from gateway.ids import Ids
    from gateway.mcp.jsonrpc import RequestId
    from gateway.mcp.revisions.handshake import Introduction
    from session import Store

_UNKNOWN: Final = "There is no such session, or it has ended: begin a new one with initialize."


@final
class Sessions:
    """Opens, finds and ends sessions, each for its own principal only."""

    __slots__ = ("_clock", "_ids", "_limit", "_store")

    def __init__(
        self, store: Store, ids: Ids, clock: Callable[[], float], resumable_streams: int
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._limit = resumable_streams

    async def open(self, principal: Principal, introduction: Introduction) -> McpSession:
        """Begin a session.

        Raises:
            RpcError: there are as many as there may be.
        """
        session = McpSession(
            self._ids.new(),
            principal.tenant,
            principal.subject,
            introduction.revision.name,
            self._clock(),
            introduction.client_name,
            introduction.capabilities,
        )
        try:
            await self._store.save_session(session)
        except TooManySessionsError as error:
            raise RpcError(BUSY, f"{error}.") from None
        return session

    async def find(self, session_id: str | None, principal: Principal) -> McpSession:
        """Return a session of ``principal``; it is in use again.

        Raises:
            RpcError: it has none of this id.
        """
        if session_id is None:
            raise RpcError(
                INVALID_REQUEST,
                "The header Mcp-Session-Id is missing; it comes with the reply to initialize.",
                status=400,
            )
        session = await self._store.find_session(session_id)
        if (
            session is None
            or session.tenant != principal.tenant
            or session.subject != principal.subject
        ):
            raise RpcError(INVALID_REQUEST, _UNKNOWN, status=404)
        return session

    async def touch(self, session: McpSession) -> None:
        """Note that a session is in use, though nothing is asked in it."""
        await self._store.find_session(session.id)

    async def end(self, session: McpSession) -> None:
        """End a session: its id means nothing from now on."""
        await self._store.end_session(session.id)

    async def remember(
        self, session: McpSession, stream_id: str, question_id: str, request_id: RequestId
    ) -> None:
        """Note what a stream waits for, so that any instance can continue it.

        The oldest streams go first: what they waited for can still be collected.
        """
        streams = session.streams
        streams[stream_id] = (question_id, request_id)
        while len(streams) > self._limit:
            del streams[next(iter(streams))]
        await self._store.save_session(session)
