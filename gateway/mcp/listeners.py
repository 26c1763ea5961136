"""The streams that callers open by GET, bounded per session and in all.

A session may have several, and is told each thing on one of them (MCP 2025-11-25, "Streamable
HTTP", "Multiple Connections"): here on the newest. Where another instance has a newer one it
is told there, and what comes here meanwhile is kept until this instance is to tell it again.
"""

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
        "_untold",
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
        # Of those that are told elsewhere: what they were not told here. Only that lists have
        # changed comes for them, so there are as many of these as there are lists.
        self._untold: dict[str, dict[bytes, None]] = {}
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
        if not streams:
            return
        untold = self._untold.get(session_id)
        if untold is None:
            streams[-1].send(payload)
        else:
            untold[payload] = None

    def tells(self, session_id: str) -> bool:
        """Whether it is this instance that tells a session things, if that listens here."""
        return session_id not in self._untold

    def hush(self, session_id: str) -> None:
        """Tell a session nothing more here: another instance has a newer stream."""
        if session_id in self._by_session:
            self._untold.setdefault(session_id, {})

    def tell(self, session_id: str) -> None:
        """Tell a session things here, first what it was not told.

        Whoever told it meanwhile may have failed to: a stream that is gone may look open.
        """
        for payload in self._untold.pop(session_id, ()):
            self.send(session_id, payload)

    def newest(self, session_id: str) -> Listener:
        """Return the stream on which a session that listens is told things here."""
        return self._by_session[session_id][-1]

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
            self._untold.pop(session_id, None)
            self._deserted(session_id)
