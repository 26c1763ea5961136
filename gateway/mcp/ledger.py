"""The calls under way: how many there are, and which one a caller means by its id.

Pure module. Ids that callers choose are looked up within their own session only,
and never tell one call from another here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, final

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.jsonrpc import RequestId
    from session.model import McpSession

    #: An id in a session, or the call itself where the id is used twice.
    Key: TypeAlias = RequestId | Call


@final
class Ledger:
    """Every call from its start to its reply.

    Args:
        limit: how many calls one session may have under way.
        ended: told of every call that is over, and how it ended.
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
        #: By the session's id; of sessions that have any.
        self._sessions: dict[str, dict[Key, Call]] = {}
        #: Calls without a reply so far, in all eras.
        self.active = 0

    def enter(self, call: Call, session: McpSession) -> bool:
        """Make a call one of a session's. Returns ``False`` when that has too many.

        One whose caller left while the session was looked up has gone already: it knows its
        session, and is not counted.
        """
        if call.done:
            call.session = session
            return True
        calls = self._sessions.get(session.id)
        key: Key = call.id
        if calls is None:
            self._sessions[session.id] = {key: call}
        else:
            if len(calls) >= self.limit:
                return False
            if key in calls:
                # The caller uses an id twice: it can cancel the earlier call only.
                key = call
            calls[key] = call
        call.session = session
        call.key = key
        return True

    def leave(self, call: Call, how: str) -> None:
        """A call is over."""
        self.active -= 1
        if call.held:
            for slots in call.held:
                # As `Slots.take_back`, without a call.
                slots.used -= 1
                if slots.used <= slots.floor:
                    slots.report()
            call.held = ()
        session, key = call.session, call.key
        if session is not None and key is not None:
            calls = self._sessions[session.id]
            if len(calls) > 1:
                del calls[key]
            else:
                del self._sessions[session.id]
        self._ended(call, how)

    def find(self, session_id: str, request_id: object) -> Call | None:
        """Return the call that a session means by an id."""
        if type(request_id) is str or type(request_id) is int:
            calls = self._sessions.get(session_id)
            return None if calls is None else calls.get(request_id)
        return None

    def of_session(self, session_id: str) -> list[Call]:
        """Return the calls of a session."""
        calls = self._sessions.get(session_id)
        return [] if calls is None else list(calls.values())

    def sessions(self) -> int:
        """Return how many sessions have a call under way."""
        return len(self._sessions)
