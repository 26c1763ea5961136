"""`/mcp`: from an HTTP request to a call of a method, in every revision at once.

It admits and routes. What revisions want is in `revisions`, what methods do in
`methods`, how a response leaves in `exchange`. It owns no task: what touches the
store runs through the workers it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, final

from gateway.codings import Codings
from gateway.errors import OverQuotaError
from gateway.http.messages import Headers, Request, Responder
from gateway.ids import Ids
from gateway.large import Large, in_steps
from gateway.mcp import jsonrpc
from gateway.mcp.call import Call
from gateway.mcp.cancellations import Cancellations
from gateway.mcp.dispatcher import Dispatcher
from gateway.mcp.exchange import Beating, Conduct, Exchange, Listener
from gateway.mcp.heads import PATH, Action, Era, Facts
from gateway.mcp.inquiries import Inquiries
from gateway.mcp.jsonrpc import Kind, MalformedError, Message, RpcError
from gateway.mcp.ledger import Ledger
from gateway.mcp.methods import Methods
from gateway.mcp.pacing import Pace
from gateway.mcp.partings import Partings
from gateway.mcp.refusals import OVERLOADED, guarded, over_quota, refuse, unreadable
from gateway.mcp.registry import Registry
from gateway.mcp.results import Implementation
from gateway.mcp.revisions import handshake, modern, versions
from gateway.mcp.revisions.family import Revision
from gateway.mcp.session_watches import SessionWatches
from gateway.mcp.sessions import Sessions
from gateway.mcp.settings import Settings
from gateway.mcp.statistics import McpStatistics
from gateway.mcp.subscriptions import Subscription, Subscriptions
from gateway.mcp.tool_news import ToolNews
from gateway.mcp.visits import Visits
from gateway.mcp.writing import Writing
from gateway.quotas.allowances import Allowances
from gateway.quotas.standing import Standing
from gateway.tool_catalogs import Catalogs
from pool.connection import Callback
from pool.timers import Timers
from pool.workers import QueueFullError, Workers, to_worker
from session import Store, gojson
from session.codec import CodingError
from session.errors import StoreUnavailableError
from session.steps import WHOLE

__all__ = ["McpEndpoint", "McpStatistics", "Settings"]

# What is assumed of a handshake caller until its session is known.
_LATEST: Final = handshake.REVISIONS[versions.LATEST_HANDSHAKE]
# A comment leaves a little before it is due: the wheel's tick and a busy loop
# must not make a gap longer than promised.
_EARLY: Final = 0.9


@final
class McpEndpoint:
    """Serves the callers' port.

    Args:
        health: the response to a path such as ``/health``, if it is one.
        codings: inflates bodies.
        large: reads what is large.
        resource: the public URL of this port, if it is known.
        on_call: told of every call's method, tool, outcome and seconds.
        announce: has all other instances hear of a session; see `SessionWatches`.
        tell: has them hear what a session gives up; see `Cancellations`.
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
        inquiries: Inquiries,
        clock: Callable[[], float],
        server: Implementation,
        health: Callable[[str, str], tuple[int, bytes, Headers] | None] = lambda _path, _id: None,
        codings: Codings,
        large: Large,
        resource: str = "",
        on_call: Callable[[str, str, str, float], None] = lambda *_what: None,
        instructions: str = "",
        quotas: Allowances | None = None,
        announce: Callable[[str], None] = lambda _session_id: None,
        tell: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.settings = settings
        self._quotas = quotas
        self._registry = registry
        self._workers = workers
        self._timers = timers
        self._now = timers.now
        self._server = server
        self._instructions = instructions
        self._health = health
        self._codings = codings
        self._large = large
        self._ids = ids
        self._on_call = on_call
        self._modern = modern.Modern(server, int(settings.list_cache_seconds * 1000))
        self._patience: Pace[Exchange] = Pace(timers, settings.json_seconds, Exchange.impatient)
        self._keep_alive: Pace[Beating] = Pace(
            timers, settings.keep_alive_seconds * _EARLY, lambda stream: stream.beat()
        )
        partings = Partings(timers)
        self._conduct = Conduct(
            self._patience,
            self._keep_alive,
            ids,
            settings.retry_milliseconds,
            inquiries,
            partings,
            Writing(large.writing, ids),
        )
        self._sessions = Sessions(store, ids, clock, timers, settings.resumable_streams, quotas)
        self._ledger = Ledger(settings.session_calls, self._call_ended, self._remember)
        #: What sessions give up; it is to be told what other instances hear of that.
        self.cancellations = Cancellations(self._ledger, tell)
        #: What sessions watch here; it is to be told what other instances say of them.
        self.watches = SessionWatches(
            registry,
            settings,
            store=store,
            sessions=self._sessions,
            workers=workers,
            timers=timers,
            conduct=self._conduct,
            announce=announce,
        )
        self._listeners = self.watches.listeners
        self._subscriptions = Subscriptions(registry, self.watches, timers, quotas)
        self._calls = Dispatcher(
            registry=registry,
            methods=Methods(registry, store, resource, self._subscriptions, self.watches),
            ledger=self._ledger,
            sessions=self._sessions,
            workers=workers,
            now=timers.now,
            revision=self._modern,
            instructions=instructions,
        )
        self._visits = Visits(
            sessions=self._sessions,
            cancellations=self.cancellations,
            listeners=self._listeners,
            watches=self.watches,
            inquiries=inquiries,
            calls=self._calls,
            conduct=self._conduct,
            partings=partings,
            quotas=quotas,
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
        if (refusal := facts.refusal) is not None:
            responder.respond(refusal.status, refusal.body, headers=refusal.headers)
        elif facts.action is Action.POST:
            self._post(facts, request, responder)
        elif facts.action is Action.LISTEN:
            self._start(request, responder, self._visits.listen(facts, request, responder))
        else:
            self._start(request, responder, self._visits.end(facts, request, responder))

    def statistics(self) -> McpStatistics:
        """Return a moment of this object as numbers."""
        return McpStatistics(
            active=self._ledger.active,
            sessions=self._ledger.sessions(),
            listeners=self._listeners.open + len(self._subscriptions),
            watched=len(self.watches),
            impatient=len(self._patience),
            beating=len(self._keep_alive),
        )

    def listeners(self) -> list[Listener | Subscription]:
        """Return the streams on which nothing is awaited, as they are now."""
        return [*self._listeners.all(), *self._subscriptions.all()]

    def page_tools_changed(self, catalogs: Catalogs) -> Callable[[str], None]:
        """Return what is to be told of each tenant whose pages' tools may be others."""
        news = ToolNews(catalogs, self._subscriptions, self._listeners, self._workers, self._timers)
        return news.changed

    def stop_listening(self) -> None:
        """End the streams on which nothing is awaited, as the process goes away."""
        self._listeners.end_all()
        self._subscriptions.end_all()

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
        quotas = self._quotas
        if quotas is not None and (standing := quotas.of(request.principal)) is not None:
            used = standing.bytes
            if used and not quotas.tries(used, len(request.body)):
                job = self._post_later(standing, facts, request, responder)
                self._start(request, responder, job)
                return
        self._take_post(facts, request, responder)

    async def _post_later(
        self, standing: Standing, facts: Facts, request: Request, responder: Responder
    ) -> None:
        """Take a request for whose bytes others have to be asked."""
        assert self._quotas is not None
        # While the store is away the call itself says so, in its own words.
        with suppress(StoreUnavailableError):
            await self._quotas.claim(request.principal, standing.bytes, len(request.body))
        self._take_post(facts, request, responder)

    def _take_post(self, facts: Facts, request: Request, responder: Responder) -> None:
        try:
            body: bytes | None = request.body
            if facts.coding:
                body = self._codings.inflated(request.body, facts.coding)
            if body is None or len(body) > WHOLE:
                job = self._take_large(body, facts, request, responder)
                self._start(request, responder, job, workers=self._large.reading)
                return
            value = jsonrpc.decode(body)
            if type(value) is list:
                job = self._take_batch(facts, value, request, responder)
                self._start(request, responder, job)
                return
            message = jsonrpc.check(value)
        except (MalformedError, CodingError) as error:
            unreadable(responder, error)
            return
        self._take_message(facts, message, request, responder)

    async def _take_large(
        self, body: bytes | None, facts: Facts, request: Request, responder: Responder
    ) -> None:
        """Take a request that is read in steps; without ``body`` it is to be inflated first."""
        await to_worker()
        try:
            if body is None:
                body = await in_steps(self._codings.inflating(request.body, facts.coding))
            value = await in_steps(jsonrpc.decoding(body, self._ids.new()))
            message = None if type(value) is list else jsonrpc.check(value)
        except (MalformedError, CodingError) as error:
            unreadable(responder, error)
            return
        if not responder.is_open:
            # Whoever sent it has left before anything was done.
            return
        if message is None:
            assert type(value) is list
            await self._take_batch(facts, value, request, responder)
        else:
            self._take_message(facts, message, request, responder)

    def _take_message(
        self, facts: Facts, message: Message, request: Request, responder: Responder
    ) -> None:
        if message.kind is Kind.REQUEST:
            self._request(facts, message, request, responder)
        elif facts.era is not Era.MODERN:
            job = self._visits.notified(facts, message, request, responder)
            self._start(request, responder, job)
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
            assert message.id is not None
            job = self._initialize(message, request, responder)
            self._start(request, responder, job, id_json=jsonrpc.id_bytes(message.id))
            return
        elif not facts.in_session and modern.claims(facts, message.params):
            revision = self._modern
        exchange = Exchange(self._conduct, responder, facts, revision)
        call = self._calls.begin(exchange, revision, request.principal, message)
        self._calls.run(call, facts)
        if not exchange.state:
            exchange.hold()

    async def _initialize(self, message: Message, request: Request, responder: Responder) -> None:
        assert message.id is not None
        id_json = jsonrpc.id_bytes(message.id)
        try:
            introduction = handshake.Introduction(message.params)
            session = await self._sessions.open(request.principal, introduction)
        except (RpcError, OverQuotaError) as error:
            refusal = over_quota(error) if isinstance(error, OverQuotaError) else error
            refuse(responder, refusal, id_json)
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

    async def _take_batch(
        self, facts: Facts, values: list[object], request: Request, responder: Responder
    ) -> None:
        session = await self._visits.session_of(facts, request, responder)
        if session is None:
            return
        revision = handshake.REVISIONS[session.revision]
        problem = revision.batch_problem(values, self.settings.batch_messages)
        if problem:
            refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, problem))
            return
        messages, errors = jsonrpc.check_batch(values)
        requests = [each for each in messages if each.kind is Kind.REQUEST]
        errors += self._visits.take_all(session, messages)
        if not requests and not errors:
            responder.respond(202)
            return
        expected = len(requests) + len(errors)
        exchange = Exchange(self._conduct, responder, facts, revision, expected)
        for error in errors:
            exchange.deliver(error)
        principal = request.principal
        for message in requests:
            self._calls.run(self._calls.begin(exchange, revision, principal, message), facts)
        if not exchange.state:
            exchange.hold()

    # -- what they share

    def _start(
        self,
        request: Request,
        responder: Responder,
        job: Coroutine[Any, Any, None],
        *,
        workers: Workers | None = None,
        id_json: bytes | None = None,
    ) -> None:
        """Run a step that is no call, so that its caller is answered whatever happens."""
        try:
            tenant, step = request.principal.tenant, guarded(job, responder, id_json)
            (workers or self._workers).start(tenant, step)
        except QueueFullError:
            job.close()
            refuse(responder, RpcError(jsonrpc.BUSY, OVERLOADED), id_json)

    def _remember(self, call: Call, stream_id: str) -> None:
        if (session := call.session) is not None:
            job = self._sessions.remember(session, stream_id, call.question_id, call.id)
            # Nobody waits for it: it is done without when there is no room.
            with suppress(QueueFullError):
                self._workers.start(session.tenant, job)

    def _call_ended(self, call: Call, how: str) -> None:
        # A name of the caller's own must not become one of ours.
        method = call.method if self._calls.knows(call.method) else "unknown"
        self._on_call(method, call.label, how, self._now() - call.started)
