"""A caller's end of one response, and a whole MCP port without sockets.

`Recorder` stands where the HTTP connection's responder does and keeps what it is
told; `Port` puts the real endpoint, router and memory store together, moves their
clock by hand and speaks JSON-RPC to them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, cast

import trio

from gateway.approvals import Approvals
from gateway.codings import Codings
from gateway.http.messages import Head, Headers, Request
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.large import Large
from gateway.large import Settings as LargeSettings
from gateway.mcp import tools
from gateway.mcp.endpoint import McpEndpoint, Settings
from gateway.mcp.inquiries import Inquiries
from gateway.mcp.registry import Registry
from gateway.mcp.results import Implementation
from gateway.metrics import Metrics
from gateway.offers import Settings as RouterSettings
from gateway.quotas.allowances import Allowances
from gateway.quotas.roster import Roster
from gateway.quotas.settings import Quota
from gateway.router import Router
from gateway.signing import SigningKeys
from pool.promises import Promise
from pool.timers import Timers
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session import MemoryBus, MemoryQuotas, MemoryReceipts, MemorySettings, MemoryStore
from session.model import SCOPES, Presence, Principal, Question
from tests.gateway.routing import Shared

ANN: Final = Principal("acme", "ann", scopes=SCOPES)
KEPT_SECONDS: Final = 3600.0
BOTH: Final = "application/json, text/event-stream"
MODERN: Final = "2026-07-28"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
}


class Recorder:
    """What one response was told, in order."""

    def __init__(self) -> None:
        self.on_disconnect: Callable[[], None] | None = None
        self.leaves_at_end = False
        #: Whether the peer sends no more.
        self.at_end = False
        self.status = 0
        self.content_type = b""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.streaming = False
        self.complete = False
        self.lost = False

    @property
    def is_open(self) -> bool:
        return not (self.complete or self.lost)

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        if self.is_open and not self.streaming:
            self._head(status, content_type, headers)
            self.body = body
            self.complete = True

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        if self.is_open and not self.streaming:
            self._head(status, content_type, headers)
            self.streaming = True

    def send_piece(self, data: bytes) -> None:
        if self.is_open and self.streaming:
            self.body += data

    def end_stream(self) -> None:
        if self.streaming:
            self.complete = True

    def upgrade(self, response: bytes, make: Callable[..., Any]) -> None:
        raise NotImplementedError

    def disconnect(self) -> None:
        """The peer goes away, as the HTTP connection reports it."""
        self.lost = True
        if self.on_disconnect is not None and not self.complete:
            self.on_disconnect()

    def notice_leaving(self) -> None:
        if self.lost or (self.at_end and self.leaves_at_end):
            self.disconnect()

    @property
    def json(self) -> Any:
        """The body of a plain response."""
        assert not self.streaming, self.body
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, str]]:
        """The fields of each event of a stream; a comment is the field ''."""
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == ""
        return [
            {name: value.removeprefix(" ") for name, _, value in map(_split, block.split("\n"))}
            for block in blocks
        ]

    @property
    def messages(self) -> list[Any]:
        """The JSON-RPC messages of a stream."""
        return [json.loads(event["data"]) for event in self.events if event.get("data")]

    @property
    def reply(self) -> Any:
        """The reply, however it came."""
        return self.messages[-1] if self.streaming else self.json

    def _head(self, status: int, content_type: bytes, headers: Headers) -> None:
        self.status = status
        self.content_type = content_type
        self.headers = {name.decode().lower(): value.decode() for name, value in headers}


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


class Remote:
    """A store that every step has to wait for, as one across a network is."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @property
    def shared(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def step(*arguments: Any, **named: Any) -> Any:
            await to_worker()
            await trio.lowlevel.checkpoint()
            return await method(*arguments, **named)

        return step


class Held:
    """A method of somebody's that waits until the test lets it go on."""

    def __init__(self, owner: Any, name: str) -> None:
        self._waiting: list[Promise[None]] = []
        self._waits = True
        method = getattr(owner, name)

        async def held(*arguments: Any, **named: Any) -> Any:
            if self._waits:
                told: Promise[None] = Promise()
                self._waiting.append(told)
                await told
            return await method(*arguments, **named)

        setattr(owner, name, held)

    def go_on(self) -> None:
        """Let the one that waits go on, and wait no more."""
        self._waits = False
        (told,) = self._waiting
        told.set(None)


class Screen:
    """A frontend with nothing behind it but the questions it is shown."""

    def __init__(self, frontend_id: str = "web-1", user: str = "ann") -> None:
        self.tenant = ANN.tenant
        self.frontend_id = frontend_id
        self.user = user
        self.groups: tuple[str, ...] = ()
        self.offers: dict[str, Any] = {}
        self.tools: Mapping[str, str] = {}
        self.attached = False
        self.principal = ANN
        self.presence = Presence(
            frontend_id, f"socket-{frontend_id}", ANN.tenant, user, "", (), 0.0, "here"
        )
        self.asked: list[Question] = []
        self.withdrawn: list[tuple[str, str]] = []
        self.told: list[Any] = []

    def offer(self, offer: Any) -> None:
        self.asked.append(offer.question)

    def withdraw(self, offer: Any, reason: str, _outcome: object) -> None:
        self.withdrawn.append((offer.question.id, reason))

    def notify(self, notification: Any) -> None:
        self.told.append(notification)


class Port:
    """The callers' port of a process that is alone, and its clock.

    ``beside``: it has the store of another one. What either announces is passed on by hand.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        memory: MemorySettings | None = None,
        declare: Callable[[Registry], None] = lambda _registry: None,
        instructions: str = "",
        workers: WorkerSettings | None = None,
        remote: bool = False,
        shared: bool = False,
        quotas: Quota | None = None,
        bare: bool = False,
        beside: Port | None = None,
    ) -> None:
        self.now = 1_800_000_000.0
        self.timers: Timers[Callable[[], None]] = Timers(self.now)
        self.failures: list[Exception] = []
        self.workers = Workers(
            workers or WorkerSettings(), on_failure=lambda _lane, error: self.failures.append(error)
        )
        self.store = MemoryStore(memory or MemorySettings(), self._clock)
        if beside is not None:
            self.store = beside.store
        #: The store as other instances have it, too, where that is asked for.
        self.shared: Any = Shared(self.store) if shared else None
        served: Any = self.shared or (Remote(self.store) if remote else self.store)
        self.hub = Hub()
        receipts = MemoryReceipts(self._clock)
        self.router = Router(
            RouterSettings(),
            store=served,
            bus=MemoryBus(),
            hub=self.hub,
            ids=Ids(),
            clock=self._clock,
            instance="here",
            approvals=Approvals(SigningKeys("", receipts), receipts, clock=self._clock, ids=Ids()),
        )
        #: What callers may use, if that is limited.
        self.quotas: Allowances | None = None
        self.refused: list[str] = []
        if quotas is not None:
            self.quotas = Allowances(
                MemoryQuotas(self._clock, self.store.has_session),
                workers=self.workers,
                now=self._clock,
                refused=lambda quota, _principal: self.refused.append(quota),
                roster=Roster(shared=False),
            )
            self.quotas.roster.follow(quotas, {})
            self.router.on_ended = self.quotas.ended
        self.large = Large(LargeSettings(), lambda _lane, error: self.failures.append(error))
        self.registry = Registry()
        if not bare:
            self.registry = tools.product_registry(
                tools.Settings(),
                router=self.router,
                workers=self.workers,
                timers=self.timers,
                quotas=self.quotas,
                kept_seconds=KEPT_SECONDS,
            )
        declare(self.registry)
        self.principal = ANN
        self.calls: list[tuple[str, str, str]] = []
        settings = settings or Settings()
        #: The sessions of which other instances are told.
        self.announced: list[str] = []
        #: What they are told that sessions give up.
        self.given_up: list[tuple[str, bytes]] = []
        #: What other instances are told of callers' responses, and whether they can be.
        self.passed_on: list[tuple[str, bytes]] = []
        self.can_pass_on = True
        self.inquiries = Inquiries(
            self.timers,
            Ids(),
            seconds=settings.inquiry_seconds,
            limit=settings.inquiries,
            pass_on=self._pass_on if shared else None,
        )
        self.endpoint = McpEndpoint(
            settings,
            registry=self.registry,
            store=served,
            workers=self.workers,
            timers=self.timers,
            ids=Ids(),
            inquiries=self.inquiries,
            clock=self._clock,
            server=Implementation("frontend-router", "1.2.3"),
            codings=Codings(4096, Metrics()),
            large=self.large,
            instructions=instructions,
            health=lambda path, _id: (200, b"{}", ()) if path == "/health" else None,
            on_call=lambda method, tool, how, _seconds: self.calls.append((method, tool, how)),
            quotas=self.quotas,
            announce=self.announced.append,
            tell=(lambda *told: self.given_up.append(told)) if shared else None,
        )

    def _pass_on(self, inquiry_id: str, response: bytes) -> bool:
        if self.can_pass_on:
            self.passed_on.append((inquiry_id, response))
        return self.can_pass_on

    def _clock(self) -> float:
        return self.now

    # -- requests

    def send(
        self, body: bytes, method: str = "POST", path: str = "/mcp", **headers: str
    ) -> Recorder:
        """Send any bytes. A header that is "" is left out; ``_`` stands for ``-``."""
        fields = {"content-type": "application/json", "accept": BOTH}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        encoded = {name.encode(): value.encode() for name, value in fields.items() if value}
        head = Head(method, path, "", encoded, keep_alive=True, body_length=len(body))
        recorder = Recorder()
        self.endpoint.handle(Request(head, body, "127.0.0.1", self.principal), recorder)
        return recorder

    def post(self, message: object, **headers: str) -> Recorder:
        """Send a value as JSON."""
        return self.send(json.dumps(message).encode(), **headers)

    def initialize(self, revision: str = "2025-11-25", **more: Any) -> str:
        """Open a session and return its id."""
        params = {
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "tester", "version": "1"},
            **more,
        }
        return self.post(request("initialize", params)).headers["mcp-session-id"]

    def in_session(self, session: str, method: str, params: Any = None, **more: Any) -> Recorder:
        """Send a request of a handshake revision."""
        request_id = more.pop("request_id", 1)
        message = request(method, params, request_id)
        return self.post(message, mcp_session_id=session, **more)

    def modern(self, method: str, params: Any = None, **more: Any) -> Recorder:
        """Send a request of the modern revision, with the headers it needs."""
        request_id = more.pop("request_id", 1)
        params = {"_meta": META, **(params or {})}
        headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
        name = params.get("name", params.get("uri"))
        if isinstance(name, str):
            headers["mcp_name"] = name
        return self.post(request(method, params, request_id), **(headers | more))

    def listen(self, session: str, **headers: str) -> Recorder:
        """Open the stream of a session."""
        return self.send(b"", "GET", mcp_session_id=session, **headers)

    # -- people and time

    def attach(self, screen: Screen) -> Screen:
        """Connect a frontend."""
        _now(self.router.attach(cast("Any", screen)))
        return screen

    def detach(self, screen: Screen) -> None:
        """Let a frontend go."""
        _now(self.router.detach(cast("Any", screen)))

    def answer(
        self, screen: Screen, answer: str, at: int = -1, content: dict[str, Any] | None = None
    ) -> str:
        """Answer one of the questions that a frontend was shown."""
        question_id = screen.asked[at].id
        ack = _now(
            self.router.answer(cast("Any", screen), question_id, answer=answer, content=content)
        )
        return cast("str", ack.status)

    def reject(self, screen: Screen, reason: str) -> None:
        """Refuse to answer the latest question that a frontend was shown."""
        _now(self.router.reject(cast("Any", screen), screen.asked[-1].id, reason))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the steps of the process: timers, then the router's sweep."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 0.05, until)
            for callback in self.timers.due(self.now):
                callback()
            for settlement in _now(self.store.sweep(self.now, 100)):
                self.router.conclude(settlement.question, settlement.outcome, None)
            for tell in self.router.people.news.due(self.now):
                tell()

    def is_idle(self) -> bool:
        """Whether nothing of any call is left."""
        statistics = self.endpoint.statistics()
        waiters = self.router.statistics().waiters
        return not (
            statistics.active
            or statistics.sessions
            or statistics.impatient
            or statistics.beating
            or waiters
        )


def request(method: str, params: Any = None, request_id: object = 1) -> dict[str, Any]:
    """Return a request."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
    if params is not None:
        message["params"] = params
    return message


def ask(**arguments: Any) -> dict[str, Any]:
    """Return the parameters of a call of ask_user."""
    return {"name": "ask_user", "arguments": {"question": "Which colour?", **arguments}}


def _now(step: Coroutine[Any, Any, Any]) -> Any:
    """Run a step that does not wait."""
    try:
        step.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the memory store never waits")
