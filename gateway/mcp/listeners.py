"""The streams that callers open by GET, bounded per session and in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from gateway.mcp.exchange import Conduct, Listener
from gateway.mcp.jsonrpc import BUSY, RpcError

if TYPE_CHECKING:
    from gateway.http.messages import Responder
    from pool.portions import Slots
    from session.model import McpSession, Principal


@final
class Listeners:
    """Who listens, by session.

    Args:
        touch: told of each session whose stream was kept alive.
        deserted: told of each session whose last stream has ended.
        heard_by: told of each that has lost another one, and who opened the one that is
            told things now.
    """

    __slots__ = (
        "_by_session",
        "_conduct",
        "_deserted",
        "_heard_by",
        "_session_limit",
        "_touch",
        "limit",
        "open",
    )

    def __init__(  # noqa: PLR0913 - made once, by `SessionWatches`
        self,
        conduct: Conduct,
        *,
        session_limit: int,
        limit: int,
        touch: Callable[[McpSession], None],
        deserted: Callable[[str], None],
        heard_by: Callable[[str, Principal], None],
    ) -> None:
        self._conduct = conduct
        self._session_limit = session_limit
        #: How many streams there may be.
        self.limit = limit
        self._touch = touch
        self._deserted = deserted
        self._heard_by = heard_by
        self._by_session: dict[str, list[Listener]] = {}
        #: How many streams there are.
        self.open = 0

    def listen(
        self,
        session: McpSession,
        responder: Responder,
        principal: Principal,
        held: tuple[Slots, ...] = (),
    ) -> Listener:
        """Open a stream for a session; it uses ``held`` of quotas until it ends.

        Raises:
            RpcError: it has, or all have, as many as they may.
        """
        session_id = session.id
        streams = self._by_session.get(session_id, [])
        if len(streams) >= self._session_limit:
            raise RpcError(
                BUSY, f"This session has {self._session_limit} open streams.", status=429
            )
        if self.open >= self.limit:
            raise RpcError(BUSY, f"{self.limit} streams are open here; come back later.")
        listener = Listener(
            self._conduct,
            responder,
            principal,
            on_touch=lambda: self._touch(session),
            on_end=lambda ended: self._ended(session_id, ended),
            held=held,
        )
        self._by_session.setdefault(session_id, []).append(listener)
        self.open += 1
        listener.start()
        return listener

    def end(self, session_id: str) -> None:
        """End the streams of a session."""
        for listener in list(self._by_session.get(session_id, ())):
            listener.close()

    def send(self, session_id: str, payload: bytes) -> None:
        """Tell a session something, on one of its streams: never on two."""
        streams = self._by_session.get(session_id)
        if streams:
            streams[-1].send(payload)

    def has(self, session_id: str) -> bool:
        """Whether a session listens."""
        return session_id in self._by_session

    def sessions(self) -> list[str]:
        """Return the sessions that listen, as they are now."""
        return list(self._by_session)

    def sessions_of(self, tenant: str) -> list[str]:
        """Return the sessions that listen for callers of a tenant, as they are now."""
        return [
            session_id
            for session_id, streams in self._by_session.items()
            if streams[-1].principal.tenant == tenant and "tools" in streams[-1].principal.scopes
        ]

    def all(self) -> list[Listener]:
        """Return every stream, as they are now."""
        return [listener for streams in self._by_session.values() for listener in streams]

    def end_all(self) -> None:
        """End every stream."""
        for session_id in list(self._by_session):
            self.end(session_id)

    def _ended(self, session_id: str, listener: Listener) -> None:
        streams = self._by_session[session_id]
        streams.remove(listener)
        self.open -= 1
        if streams:
            self._heard_by(session_id, streams[-1].principal)
        else:
            del self._by_session[session_id]
            self._deserted(session_id)
