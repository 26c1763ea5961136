"""Calls that their caller gives up, at whichever instance they are (handshake revisions).

A cancellation is a POST of its own, and the end of a session a DELETE: either may come to
another instance than the call did. What nobody here is called is told to all other instances,
and so is the end of a session. Whoever has such a call looks whose it is, and cancels it as
if it had been told itself.

It is said once, and kept nowhere. An instance that misses it goes on with the call: a
question stays open until it is answered or its deadline comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

import msgspec

from gateway.mcp import jsonrpc

if TYPE_CHECKING:
    from gateway.mcp.ledger import Ledger
    from session.model import McpSession

_encode: Final = msgspec.json.Encoder().encode
#: A tenant and a subject, and the id of a request; ``None`` for all of the session.
_decode: Final = msgspec.json.Decoder(tuple[str, str, str | int | None]).decode


@final
class Cancellations:
    """Gives up calls, here and elsewhere.

    Args:
        ledger: knows the calls that are here.
        tell: has all other instances hear what a session gives up; ``None`` where there are
            none.
    """

    def __init__(self, ledger: Ledger, tell: Callable[[str, bytes], None] | None) -> None:
        self._ledger = ledger
        self._tell = tell

    def cancel(self, session: McpSession, request_id: object) -> None:
        """Give up the call that a session means by an id; if there is none, nothing."""
        call = self._ledger.find(session.id, request_id)
        if call is not None:
            call.cancel()
        elif self._tell is not None and jsonrpc.is_id(request_id):
            # What no request can be called is told to nobody: that bounds what is sent.
            self._tell(session.id, _encode((session.tenant, session.subject, request_id)))

    def end(self, session: McpSession) -> None:
        """Give up all calls of a session that has ended."""
        for call in self._ledger.of_session(session.id):
            call.cancel()
        if self._tell is not None:
            self._tell(session.id, _encode((session.tenant, session.subject, None)))

    def heard(self, session_id: str, said: bytes) -> None:
        """Give up what is given up at another instance, if it is here and of the same caller."""
        try:
            tenant, subject, request_id = _decode(said)
        except msgspec.DecodeError:
            # An instance of another version.
            return
        if request_id is None:
            calls = self._ledger.of_session(session_id)
        else:
            call = self._ledger.find(session_id, request_id)
            calls = [] if call is None else [call]
        for call in calls:
            session = call.session
            if session is not None and (session.tenant, session.subject) == (tenant, subject):
                call.cancel()
