"""`/mcp`: from an HTTP request to a call of a method, in every revision at once.

It admits and routes. What revisions want is in `revisions`, what methods do in
`methods`, how a response leaves in `exchange`. It owns no task: what touches the
store runs through the workers it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from gateway import gojson
from gateway.http.messages import Headers, Request, Responder
from gateway.ids import Ids
from gateway.mcp import jsonrpc, sse
from gateway.mcp.call import Call
from gateway.mcp.dispatcher import Dispatcher
from gateway.mcp.exchange import Beating, Conduct, Exchange
from gateway.mcp.heads import PATH, Action, Era, Facts
from gateway.mcp.jsonrpc import Kind, MalformedError, Message, RpcError
from gateway.mcp.ledger import Ledger
from gateway.mcp.listeners import Listeners
from gateway.mcp.methods import Methods
from gateway.mcp.pacing import Pace
from gateway.mcp.refusals import OVERLOADED, guarded, refuse, unsupported
from gateway.mcp.registry import Registry
from gateway.mcp.results import Implementation
from gateway.mcp.revisions import handshake, modern, versions
from gateway.mcp.revisions.family import Revision
from gateway.mcp.sessions import Sessions
from gateway.mcp.settings import Settings
from pool.connection import Callback
from pool.timers import Timers
from pool.workers import QueueFullError, Workers
from session import Store
from session.model import McpSession, Principal

__all__ = ["McpEndpoint", "McpStatistics", "Settings"]

# What is assumed of a handshake caller until its session is known.
_LATEST: Final = handshake.REVISIONS[versions.LATEST_HANDSHAKE]
# A comment leaves a little before it is due: the wheel's tick and a busy loop
# must not make a gap longer than promised.
_EARLY: Final = 0.9


@dataclasses.dataclass(frozen=True, slots=True)
class McpStatistics:
    """A moment of the endpoint, for metrics and tests."""

    active: int
    sessions: int
    listeners: int
    impatient: int
    beating: int


@final
class McpEndpoint:
    """Serves the callers' port.

    Args:
        identify: says who sent a request.
        health: the response to a path such as ``/health``, if it is one.
        on_call: told of every call's method, tool, outcome and seconds.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands over what the port needs
        self,
        settings: Settings,
        *,
        registry: Registry,
        store: Store,
        workers: Workers,
        timers: Timers[Callback],
        ids: Ids,
        clock: Callable[[], float],
        server: Implementation,
        identify: Callable[[Request], Principal],
        health: Callable[[str, str], tuple[int, bytes, Headers] | None] = lambda _path, _id: None,
        on_call: Callable[[str, str, str, float], None] = lambda *_what: None,
        instructions: str = "",
    ) -> None:
        self.settings = settings
        self._registry = registry
        self._workers = workers
        self._now = timers.now
        self._server = server
        self._instructions = instructions
        self._identify = identify
        self._health = health
        self._on_call = on_call
        self._modern = modern.Modern(server, int(settings.list_cache_seconds * 1000))
        self._patience: Pace[Exchange] = Pace(timers, settings.json_seconds, Exchange.impatient)
        self._keep_alive: Pace[Beating] = Pace(
            timers, settings.keep_alive_seconds * _EARLY, lambda stream: stream.beat()
        )
        self._conduct = Conduct(self._patience, self._keep_alive, ids, settings.retry_milliseconds)
        self._sessions = Sessions(store, ids, clock, settings.resumable_streams)
        self._ledger = Ledger(settings.session_calls, self._call_ended, self._remember)
        self._listeners = Listeners(
            self._conduct,
            session_limit=settings.session_listeners,
            limit=settings.listeners,
            touch=self._touch,
        )
        self._calls = Dispatcher(
            registry=registry,
            methods=Methods(registry, store),
            ledger=self._ledger,
            sessions=self._sessions,
            workers=workers,
            now=timers.now,
            revision=self._modern,
            instructions=instructions,
        )

    # -- from gateway.http

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer one request of this port."""
        head = request.head
        facts = head.memo
        if type(facts) is not Facts:
            if head.path != PATH:
                self._elsewhere(request, responder)
                return
            facts = head.memo = Facts(head)
        refusal = facts.refusal
        if refusal is not None:
            responder.respond(refusal.status, refusal.body, headers=refusal.headers)
        elif facts.action is Action.POST:
            self._post(facts, request, responder)
        elif facts.action is Action.LISTEN:
            self._start(request, responder, self._listen(facts, request, responder))
        else:
            self._start(request, responder, self._end(facts, request, responder))

    def statistics(self) -> McpStatistics:
        """Return a moment of this object as numbers."""
        return McpStatistics(
            active=self._ledger.active,
            sessions=self._ledger.sessions(),
            listeners=self._listeners.open,
            impatient=len(self._patience),
            beating=len(self._keep_alive),
        )

    def stop_listening(self) -> None:
        """End the streams on which nothing is awaited, as the process goes away."""
        self._listeners.end_all()

    def _elsewhere(self, request: Request, responder: Responder) -> None:
        head = request.head
        if head.method in ("GET", "HEAD"):
            request_id = head.headers.get(b"x-request-id", b"").decode("latin-1")
            health = self._health(head.path, request_id)
            if health is not None:
                responder.respond(health[0], health[1], headers=health[2])
                return
        responder.respond(404, gojson.encode({"error": f"MCP is served at {PATH}."}))

    # -- POST

    def _post(self, facts: Facts, request: Request, responder: Responder) -> None:
        try:
            value = jsonrpc.decode(request.body)
            if type(value) is list:
                job = self._take_batch(facts, value, request, responder)
                self._start(request, responder, job)
                return
            message = jsonrpc.check(value)
        except MalformedError as error:
            responder.respond(400, jsonrpc.malformed_bytes(error))
            return
        if message.kind is Kind.REQUEST:
            self._request(facts, message, request, responder)
        elif facts.era is not Era.MODERN:
            self._start(request, responder, self._notified(facts, message, request, responder))
        elif message.kind is Kind.NOTIFICATION:
            # 2026-07-28 defines none over HTTP, but callers in the field send them.
            responder.respond(202)
        else:
            refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, "Nothing was asked."))

    def _request(
        self, facts: Facts, message: Message, request: Request, responder: Responder
    ) -> None:
        revision: Revision = _LATEST
        if facts.era is Era.MODERN:
            revision = self._modern
        elif message.method == "initialize":
            self._start(request, responder, self._initialize(message, request, responder))
            return
        elif not facts.in_session and modern.claims(facts, message.params):
            revision = self._modern
        exchange = Exchange(self._conduct, responder, facts, revision)
        call = self._calls.begin(exchange, revision, self._identify(request), message)
        self._calls.run(call, facts)
        if not exchange.state:
            exchange.hold()

    async def _initialize(self, message: Message, request: Request, responder: Responder) -> None:
        assert message.id is not None
        id_json = jsonrpc.id_bytes(message.id)
        try:
            introduction = handshake.Introduction(message.params)
            session = await self._sessions.open(self._identify(request), introduction)
        except RpcError as error:
            refuse(responder, error, id_json)
            self._on_call("initialize", "", "error", 0.0)
            return
        result = handshake.initialize_result(
            introduction.revision, self._registry, self._server, self._instructions
        )
        responder.respond(
            200,
            introduction.revision.reply(id_json, result),
            headers=((b"Mcp-Session-Id", session.id.encode()),),
        )
        self._on_call("initialize", "", "success", 0.0)

    async def _notified(
        self, facts: Facts, message: Message, request: Request, responder: Responder
    ) -> None:
        session = await self._session_of(facts, request, responder)
        if session is not None:
            self._take_notification(session, message)
            responder.respond(202)

    def _take_notification(self, session: McpSession, message: Message) -> None:
        """Act on what a caller only tells; what means nothing to us is acknowledged."""
        if message.method == "notifications/cancelled":
            call = self._ledger.find(session.id, message.params.get("requestId"))
            if call is not None:
                call.cancel()

    async def _take_batch(
        self, facts: Facts, values: list[object], request: Request, responder: Responder
    ) -> None:
        session = await self._session_of(facts, request, responder)
        if session is None:
            return
        revision = handshake.REVISIONS[session.revision]
        problem = self._batch_problem(revision, values)
        if problem:
            refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, problem))
            return
        messages, errors = jsonrpc.check_batch(values)
        requests = [each for each in messages if each.kind is Kind.REQUEST]
        for message in messages:
            if message.kind is Kind.NOTIFICATION:
                self._take_notification(session, message)
        if not requests and not errors:
            responder.respond(202)
            return
        expected = len(requests) + len(errors)
        exchange = Exchange(self._conduct, responder, facts, revision, expected)
        for error in errors:
            exchange.deliver(error)
        principal = self._identify(request)
        for message in requests:
            self._calls.run(self._calls.begin(exchange, revision, principal, message), facts)
        if not exchange.state:
            exchange.hold()

    def _batch_problem(self, revision: Revision, values: list[object]) -> str:
        if not revision.batches:
            return f"Revision {revision.name} has no batches: send one message in a request."
        if not values:
            return "A batch must not be empty."
        limit = self.settings.batch_messages
        return f"A batch may have {limit} messages." if len(values) > limit else ""

    # -- GET, DELETE

    async def _listen(self, facts: Facts, request: Request, responder: Responder) -> None:
        session = await self._session_of(facts, request, responder)
        if session is None:
            return
        if facts.last_event_id:
            await self._resume(session, facts, request, responder)
            return
        try:
            self._listeners.listen(session, responder)
        except RpcError as error:
            refuse(responder, error)

    async def _resume(
        self, session: McpSession, facts: Facts, request: Request, responder: Responder
    ) -> None:
        """Continue a stream that broke: what it waited for is its reply."""
        stream_id = sse.stream_of(facts.last_event_id)
        waited_for = session.streams.get(stream_id)
        if waited_for is None:
            words = (
                "This stream cannot be resumed any more: use collect_answer, or ask again with "
                "the same idempotency_key."
            )
            refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, words))
            return
        question_id, request_id = waited_for
        revision = handshake.REVISIONS[session.revision]
        exchange = Exchange(self._conduct, responder, facts, revision)
        message = Message(Kind.REQUEST, request_id, "tools/call", {})
        call = self._calls.begin(exchange, revision, self._identify(request), message)
        exchange.resume(stream_id)
        await self._calls.resume(call, session, question_id)

    async def _end(self, facts: Facts, request: Request, responder: Responder) -> None:
        """End a session: its caller gives up what it still waits for."""
        session = await self._session_of(facts, request, responder)
        if session is None:
            return
        await self._sessions.end(session)
        for call in self._ledger.of_session(session.id):
            call.cancel()
        self._listeners.end(session.id)
        responder.respond(204)

    # -- what they share

    async def _session_of(
        self, facts: Facts, request: Request, responder: Responder
    ) -> McpSession | None:
        """Return the session of a request, or refuse the request."""
        if facts.era is Era.UNKNOWN and facts.version is not None:
            refuse(responder, unsupported(facts.version))
            return None
        try:
            return await self._sessions.find(facts.session_id, self._identify(request))
        except RpcError as error:
            refuse(responder, error)
            return None

    def _start(
        self, request: Request, responder: Responder, job: Coroutine[Any, Any, None]
    ) -> None:
        """Run a step that is no call, so that its caller is answered whatever happens."""
        try:
            self._workers.start(self._identify(request).tenant, guarded(job, responder))
        except QueueFullError:
            job.close()
            refuse(responder, RpcError(jsonrpc.BUSY, OVERLOADED))

    def _start_quietly(self, lane: str, job: Coroutine[Any, Any, None]) -> None:
        """Run a step that nobody waits for, and do without it when there is no room."""
        try:
            self._workers.start(lane, job)
        except QueueFullError:
            return

    def _remember(self, call: Call, stream_id: str) -> None:
        session = call.session
        if session is not None:
            job = self._sessions.remember(session, stream_id, call.question_id, call.id)
            self._start_quietly(session.tenant, job)

    def _touch(self, session: McpSession) -> None:
        self._start_quietly(session.tenant, self._sessions.touch(session))

    def _call_ended(self, call: Call, how: str) -> None:
        # A name of the caller's own must not become one of ours.
        method = call.method if self._calls.knows(call.method) else "unknown"
        self._on_call(method, call.label, how, self._now() - call.started)
