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

    #: A session, an id in it, and the call itself where the id is used twice.
    Key = tuple[str, RequestId] | tuple[str, RequestId, Call]


@final
class Ledger:
    """Every call from its start to its reply.

    Args:
        limit: how many calls one session may have under way.
        ended: told of every call that is over, and how it ended.
        remember: told when the stream of a call can be resumed, by the stream's id.
    """

    __slots__ = ("_calls", "_counts", "_ended", "active", "limit", "remember")

    def __init__(
        self,
        limit: int,
        ended: Callable[[Call, str], None],
        remember: Callable[[Call, str], None],
    ) -> None:
        self.limit = limit
        self._ended = ended
        self.remember = remember
        self._calls: dict[Key, Call] = {}
        self._counts: dict[str, int] = {}
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
        session_id = session.id
        count = self._counts.get(session_id, 0)
        if count >= self.limit:
            return False
        self._counts[session_id] = count + 1
        key: Key = (session_id, call.id)
        if key in self._calls:
            # The caller uses an id twice: it can cancel the earlier call only.
            key = (session_id, call.id, call)
        self._calls[key] = call
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
        key = call.key
        if key is not None:
            del self._calls[key]
            count = self._counts[key[0]] - 1
            if count:
                self._counts[key[0]] = count
            else:
                del self._counts[key[0]]
        self._ended(call, how)

    def find(self, session_id: str, request_id: object) -> Call | None:
        """Return the call that a session means by an id."""
        if type(request_id) is str or type(request_id) is int:
            return self._calls.get((session_id, request_id))
        return None

    def of_session(self, session_id: str) -> list[Call]:
        """Return the calls of a session; this looks at all there are."""
        if session_id not in self._counts:
            return []
        return [call for key, call in self._calls.items() if key[0] == session_id]

    def sessions(self) -> int:
        """Return how many sessions have a call under way."""
        return len(self._counts)
