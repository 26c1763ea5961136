"""The frontends' port: `/ws`, the inbox page, and health.

It turns an upgrade into a `FrontendSocket`, and keeps what all of them share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, final

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.http11 import Request as WebSocketRequest
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway import gojson
from gateway.frontends import messages
from gateway.frontends.frames import encode_text
from gateway.frontends.messages import Stamps
from gateway.frontends.socket import FrontendSocket
from gateway.frontends.static import StaticFiles
from gateway.http.messages import Headers, Request, Responder
from gateway.ids import Ids
from gateway.metrics import Metrics
from gateway.router import Router
from pool.connection import Callback, Connection
from pool.settings import setting
from pool.timers import Timers
from pool.workers import Workers
from session.model import Outcome

SUBPROTOCOL: Final = Subprotocol("frontend-router.v1")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a frontend may do, and how it is watched."""

    message_bytes: int = setting(
        1024 * 1024,
        "The longest WebSocket message; longer closes with 1009.",
        unit="bytes",
        minimum=1024,
    )
    heartbeat_seconds: float = setting(
        30.0, "Between pings; a peer silent for two of them is gone.", unit="seconds", minimum=0.1
    )
    connect_seconds: float = setting(
        0.25,
        "How long a frontend may take to say `connect` before it is offered questions.",
        unit="seconds",
        minimum=0.0,
    )
    message_seconds: float = setting(
        30.0,
        "From a message's first byte to its last, seen at each heartbeat; longer closes with 1008.",
        unit="seconds",
        minimum=0.1,
    )
    close_seconds: float = setting(
        5.0, "How long a peer may take to answer a close.", unit="seconds", minimum=0.1
    )
    control_frames: int = setting(
        200, "Pings and pongs a peer may send between two heartbeats.", unit="frames", minimum=2
    )
    unusable_messages: int = setting(
        100,
        "Messages that cannot be used, between two heartbeats, before a close with 1008.",
        unit="messages",
        minimum=1,
    )


@final
class FrontendsEndpoint:
    """Serves the frontends' port; owns what its sockets share, and no task."""

    def __init__(  # noqa: PLR0913 - the composition root hands over what the port needs
        self,
        settings: Settings,
        *,
        router: Router,
        workers: Workers,
        timers: Timers[Callback],
        ids: Ids,
        static: StaticFiles,
        health: Callable[[str, str], tuple[int, bytes, Headers] | None],
        config: Mapping[str, object],
        tenant: str,
        instance: str,
        version: str,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.router = router
        self.workers = workers
        self.timers = timers
        self.ids = ids
        self.stamps = Stamps()
        self.instance = instance
        self.metrics = metrics
        self._static = static
        self._health = health
        self._config = gojson.encode(config)
        self._tenant = tenant
        self._version = version
        self._sockets: dict[FrontendSocket, None] = {}
        self._closing: tuple[str, bytes] = ("", b"")

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer one request of this port."""
        head = request.head
        if head.path == "/ws":
            self._upgrade(request, responder)
            return
        if head.method not in ("GET", "HEAD"):
            responder.respond(
                405, _problem("Only GET and HEAD."), headers=((b"Allow", b"GET, HEAD"),)
            )
            return
        static = self._static.find(head.path, head.headers)
        if static is not None:
            responder.respond(static.status, static.body, static.content_type, static.headers)
            return
        if head.path == "/config.json":
            responder.respond(200, self._config, headers=((b"Cache-Control", b"no-cache"),))
            return
        request_id = head.headers.get(b"x-request-id", b"").decode("latin-1")
        health = self._health(head.path, request_id)
        if health is not None:
            responder.respond(health[0], health[1], headers=health[2])
            return
        responder.respond(404, _problem("There is the inbox at / and the WebSocket at /ws."))

    def welcome(self, socket: FrontendSocket, *, resumed: bool) -> bytes:
        """Return the reply to a frontend that said who it is."""
        settings = self.router.settings
        return messages.connect_ack(
            frontend_id=socket.frontend_id,
            session_id=socket.connection_id,
            resumed=resumed,
            server_time=self.stamps.format(self.router.clock()),
            heartbeat_seconds=self.settings.heartbeat_seconds,
            limits={
                "message_bytes": self.settings.message_bytes,
                "answer_bytes": settings.answer_bytes,
                "draft_bytes": settings.draft_bytes,
            },
            compression=[],
            server={"name": "frontend-router", "version": self._version},
        )

    def closing_frame(self, question_id: str, reason: str, outcome: Outcome | None) -> bytes:
        """Return the frame that takes a question back: the same for all who had it."""
        key = question_id + reason
        if self._closing[0] != key:
            frame = encode_text(messages.question_closed(question_id, reason, outcome))
            self._closing = (key, frame)
        return self._closing[1]

    def gone(self, socket: FrontendSocket) -> None:
        """A socket's connection is lost."""
        self._sockets.pop(socket, None)
        self.metrics.websocket_connections.labels("disconnected").inc()

    def connected(self) -> int:
        """Return how many WebSockets are open."""
        return len(self._sockets)

    def sockets(self) -> Iterable[FrontendSocket]:
        """Return the open WebSockets, oldest first, as they are now."""
        return list(self._sockets)

    def _upgrade(self, request: Request, responder: Responder) -> None:
        head = request.head
        if self.router.draining:
            responder.respond(
                503, _problem("This gateway is shutting down."), headers=((b"Retry-After", b"1"),)
            )
            return
        protocol = ServerProtocol(
            subprotocols=[SUBPROTOCOL], select_subprotocol=_select_subprotocol
        )
        headers = WebSocketHeaders(
            [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in head.headers.items()
            ]
        )
        response = protocol.accept(WebSocketRequest(head.path, headers))
        # HTTP/1.0 knows no upgrade, and is never kept alive here.
        if head.method != "GET" or not head.keep_alive or response.status_code != 101:  # noqa: PLR2004 - HTTP
            version = head.headers.get(b"sec-websocket-version", b"13")
            responder.respond(
                426 if response.status_code == 426 or version != b"13" else 400,  # noqa: PLR2004 - HTTP
                _problem("This is a WebSocket, version 13: open it with ws:// from a frontend."),
                headers=((b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13")),
            )
            return
        # It refers to itself, by its parser and by the bound choice of a subprotocol:
        # cycles, which would be left to the collector.
        vars(protocol).clear()
        responder.upgrade(response.serialize(), self.open)

    def open(self, connection: Connection) -> FrontendSocket:
        """Return the protocol of a connection that was upgraded."""
        socket = FrontendSocket(self, connection, self._tenant)
        self._sockets[socket] = None
        self.metrics.websocket_connections.labels("connected").inc()
        return socket


def _select_subprotocol(
    _protocol: ServerProtocol, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Take ours when it is offered; whoever offers others is served without one."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _problem(message: str) -> bytes:
    return gojson.encode({"error": message})
