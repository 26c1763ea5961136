"""The streams that callers open by GET, bounded per session and in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from gateway.mcp.exchange import Conduct, Listener
from gateway.mcp.jsonrpc import BUSY, RpcError

if TYPE_CHECKING:
    from gateway.http.messages import Responder
    from session.model import McpSession


@final
class Listeners:
    """Who listens, by session."""

    __slots__ = ("_by_session", "_conduct", "_limit", "_session_limit", "_touch", "open")

    def __init__(
        self,
        conduct: Conduct,
        *,
        session_limit: int,
        limit: int,
        touch: Callable[[McpSession], None],
    ) -> None:
        self._conduct = conduct
        self._session_limit = session_limit
        self._limit = limit
        self._touch = touch
        self._by_session: dict[str, list[Listener]] = {}
        #: How many streams there are.
        self.open = 0

    def listen(self, session: McpSession, responder: Responder) -> Listener:
        """Open a stream for a session.

        Raises:
            RpcError: it has, or all have, as many as they may.
        """
        session_id = session.id
        streams = self._by_session.get(session_id, [])
        if len(streams) >= self._session_limit:
            raise RpcError(
                BUSY, f"This session has {self._session_limit} open streams.", status=429
            )
        if self.open >= self._limit:
            raise RpcError(BUSY, f"{self._limit} streams are open here; come back later.")
        listener = Listener(
            self._conduct,
            responder,
            on_touch=lambda: self._touch(session),
            on_end=lambda ended: self._ended(session_id, ended),
        )
        self._by_session.setdefault(session_id, []).append(listener)
        self.open += 1
        listener.start()
        return listener

    def end(self, session_id: str) -> None:
        """End the streams of a session."""
        for listener in list(self._by_session.get(session_id, ())):
            listener.close()

    def end_all(self) -> None:
        """End every stream."""
        for session_id in list(self._by_session):
            self.end(session_id)

    def _ended(self, session_id: str, listener: Listener) -> None:
        streams = self._by_session[session_id]
        streams.remove(listener)
        self.open -= 1
        if not streams:
            del self._by_session[session_id]
