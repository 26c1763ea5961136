"""The calls under way: how many there are, and which one a caller means by its id.

Pure module. Ids that callers choose are looked up within their own session only,
and never tell one call from another here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.jsonrpc import RequestId
    from session.model import McpSession


@final
class _SessionCalls:
    """The calls of one session, and the latest one under each id."""

    __slots__ = ("by_id", "calls")

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self.by_id: dict[RequestId, Call] = {}


@final
class Ledger:
    """Every call from its start to its reply.

    Args:
        limit: how many calls one session may have under way.
        ended: told of every call that is over: how it ended, and when it began.
        remember: told when the stream of a call can be resumed, by the stream's id.
    """

    __slots__ = ("_ended", "_sessions", "active", "limit", "remember")

    def __init__(
        self,
        limit: int,
        ended: Callable[[Call, str], None],
        remember: Callable[[Call, str], None],
    ) -> None:
        self.limit = limit
        self._ended = ended
        self.remember = remember
        self._sessions: dict[str, _SessionCalls] = {}
        #: Calls without a reply so far, in all eras.
        self.active = 0

    def enter(self, call: Call, session: McpSession) -> bool:
        """Make a call one of a session's. Returns ``False`` when that has too many."""
        calls = self._sessions.get(session.id)
        if calls is None:
            calls = self._sessions[session.id] = _SessionCalls()
        elif len(calls.calls) >= self.limit:
            return False
        call.session = session
        calls.calls.add(call)
        # A caller that uses an id twice can cancel the later call only.
        calls.by_id[call.id] = call
        return True

    def leave(self, call: Call, how: str) -> None:
        """A call is over."""
        self.active -= 1
        session = call.session
        if session is not None:
            calls = self._sessions[session.id]
            calls.calls.discard(call)
            if calls.by_id.get(call.id) is call:
                del calls.by_id[call.id]
            if not calls.calls:
                del self._sessions[session.id]
        self._ended(call, how)

    def find(self, session_id: str, request_id: object) -> Call | None:
        """Return the call that a session means by an id."""
        calls = self._sessions.get(session_id)
        if calls is None or type(request_id) not in (str, int):
            return None
        return calls.by_id.get(request_id)  # type: ignore[call-overload,no-any-return]

    def of_session(self, session_id: str) -> list[Call]:
        """Return the calls of a session."""
        calls = self._sessions.get(session_id)
        return [] if calls is None else list(calls.calls)

    def sessions(self) -> int:
        """Return how many sessions have a call under way."""
        return len(self._sessions)
