"""What is done in a handshake session besides its requests.

Streams by GET, new or continued; notifications and responses; the end by DELETE. Like
`gateway.mcp.endpoint`, which hands this over, it owns no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from gateway.mcp import jsonrpc, quota, sse
from gateway.mcp.exchange import Conduct, Exchange
from gateway.mcp.heads import Era, Facts
from gateway.mcp.jsonrpc import Kind, Message, RpcError
from gateway.mcp.refusals import NOT_RESUMABLE, refuse, unsupported
from gateway.mcp.revisions import handshake
from gateway.mcp.sessions import Sessions, owned

if TYPE_CHECKING:
    from gateway.http.messages import Request, Responder
    from gateway.mcp.cancellations import Cancellations
    from gateway.mcp.dispatcher import Dispatcher
    from gateway.mcp.inquiries import Inquiries
    from gateway.mcp.jsonrpc import RequestId
    from gateway.mcp.listeners import Listeners
    from gateway.mcp.partings import Partings
    from gateway.mcp.session_watches import SessionWatches
    from gateway.quotas.allowances import Allowances
    from pool.portions import Slots
    from session.model import McpSession


@final
class Visits:
    """Serves those who come with a session."""

    def __init__(  # noqa: PLR0913 - made once, by the endpoint
        self,
        *,
        sessions: Sessions,
        cancellations: Cancellations,
        listeners: Listeners,
        watches: SessionWatches,
        inquiries: Inquiries,
        calls: Dispatcher,
        conduct: Conduct,
        partings: Partings,
        quotas: Allowances | None,
    ) -> None:
        self._sessions = sessions
        self._cancellations = cancellations
        self._listeners = listeners
        self._watches = watches
        self._inquiries = inquiries
        self._calls = calls
        self._conduct = conduct
        self._partings = partings
        self._quotas = quotas

    async def session_of(
        self, facts: Facts, request: Request, responder: Responder, *, patient: bool = False
    ) -> McpSession | None:
        """Return the session of a request, or refuse the request.

        ``patient`` is for what is not only beginning: see `session.store.Store.find_session`.
        """
        if facts.era is Era.UNKNOWN and facts.version is not None:
            refuse(responder, unsupported(facts.version))
            return None
        try:
            session = await self._sessions.find(facts.session_id, patient=patient)
            return owned(session, request.principal)
        except RpcError as error:
            refuse(responder, error)
            return None

    async def notified(
        self, facts: Facts, message: Message, request: Request, responder: Responder
    ) -> None:
        """Take what needs no reply: a notification, or the response to what we asked."""
        session = await self.session_of(facts, request, responder, patient=True)
        if session is None:
            return
        try:
            self._take(session, message)
        except RpcError as error:
            refuse(responder, error)
            return
        responder.respond(202)

    def take_all(self, session: McpSession, messages: list[Message]) -> list[bytes]:
        """Act on what a batch only tells; return the replies to what cannot be taken."""
        errors: list[bytes] = []
        for message in messages:
            if message.kind is Kind.REQUEST:
                continue
            try:
                self._take(session, message)
            except RpcError as error:
                errors.append(jsonrpc.error_bytes(None, error.code, error.message, null_id=True))
        return errors

    def _take(self, session: McpSession, message: Message) -> None:
        """Act on what a caller only tells; what means nothing to us is acknowledged."""
        if message.method == "notifications/cancelled":
            self._cancellations.cancel(session, message.params.get("requestId"))
        elif message.kind is Kind.RESPONSE:
            self._inquiries.answer(session, message)

    async def listen(self, facts: Facts, request: Request, responder: Responder) -> None:
        """Open a stream, or go on with one."""
        resumes = bool(facts.last_event_id)
        session = await self.session_of(facts, request, responder, patient=resumes)
        if session is None or not responder.is_open:
            return
        if resumes:
            await self._resume(session, facts, request, responder)
        else:
            await self._begin(session, request, responder)

    async def _begin(self, session: McpSession, request: Request, responder: Responder) -> None:
        """Open a stream of a session."""
        held: tuple[Slots, ...] = ()
        if self._quotas is not None:
            held = await quota.listen(self._quotas, request.principal)
            if not responder.is_open:
                # Nothing may be told to whoever has left meanwhile.
                _give_back(held)
                return
        try:
            self._listeners.listen(session, responder, request.principal, held)
        except RpcError as error:
            _give_back(held)
            refuse(responder, error)
            return
        self._watches.attend(session, request.principal)

    async def _resume(
        self, session: McpSession, facts: Facts, request: Request, responder: Responder
    ) -> None:
        """Continue a stream that broke: what it waited for is its reply."""
        stream_id = sse.stream_of(facts.last_event_id)
        parted = self._partings.call_of(session.id, stream_id)
        if parted is not None:
            try:
                self._calls.check_scope(request.principal, parted.scope)
            except RpcError as error:
                refuse(responder, error, jsonrpc.id_bytes(parted.id))
                return
            self._partings.come_back(session.id, stream_id, responder)
            return
        waited_for = await self._waited_for(session, stream_id, request, responder)
        if waited_for is None or not responder.is_open:
            return
        question_id, request_id = waited_for
        revision = handshake.REVISIONS[session.revision]
        exchange = Exchange(self._conduct, responder, facts, revision)
        message = Message(Kind.REQUEST, request_id, "tools/call", {})
        call = self._calls.begin(exchange, revision, request.principal, message)
        exchange.resume(stream_id)
        await self._calls.resume(call, session, question_id)

    async def _waited_for(
        self, session: McpSession, stream_id: str, request: Request, responder: Responder
    ) -> tuple[str, RequestId] | None:
        """Return the question and the request of a stream, or refuse to go on with it.

        Before it begins: what is refused on it has no status of its own.
        """
        waited_for = await self._sessions.waited_for(session, stream_id)
        if waited_for is None:
            refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, NOT_RESUMABLE))
            return None
        question_id, request_id = waited_for
        try:
            await self._calls.check_resume(request.principal, question_id)
        except RpcError as error:
            refuse(responder, error, jsonrpc.id_bytes(request_id))
            return None
        return waited_for

    async def end(self, facts: Facts, request: Request, responder: Responder) -> None:
        """End a session: its caller gives up what it still waits for."""
        session = await self.session_of(facts, request, responder, patient=True)
        if session is None:
            return
        await self._sessions.end(session)
        self._cancellations.end(session)
        self._watches.ended(session.id)
        responder.respond(204)


def _give_back(held: tuple[Slots, ...]) -> None:
    for slots in held:
        slots.take_back()
