"""The frontends' port: `/ws`, the inbox page, and health.

It turns an upgrade into a `FrontendSocket`, and keeps what all of them share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, final

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.http11 import Request as WebSocketRequest
from websockets.server import ServerProtocol

from gateway.errors import OverQuotaError
from gateway.frontends import messages, quota
from gateway.frontends.coding import (
    ZSTD_DICTIONARY,
    Coding,
    Deflate,
    Tally,
    Zstd,
    deflate_extension,
)
from gateway.frontends.doorman import Doorman
from gateway.frontends.frames import encode_text
from gateway.frontends.messages import Stamps
from gateway.frontends.socket import FrontendSocket
from gateway.frontends.static import StaticFiles
from gateway.frontends.strange import Agreed
from gateway.frontends.subprotocols import (
    SUBPROTOCOL,
    ZSTD_SUBPROTOCOL,
    with_zstd,
    without_zstd,
)
from gateway.http.messages import Headers, Request, Responder
from gateway.ids import Ids
from gateway.large import Large
from gateway.metrics import Metrics
from gateway.offers import Offer
from gateway.quotas.allowances import Allowances
from gateway.router import Router
from gateway.tool_calls import ToolCalls
from gateway.tool_offers import ToolOffers
from pool.connection import Callback, Connection
from pool.portions import Slots
from pool.settings import setting
from pool.timers import Timers
from pool.workers import QueueFullError, Workers
from session import dictionary, gojson
from session.model import NOBODY, Outcome, Principal

# What has such a name never changes: RFC 8246.
_DICTIONARY: Final = "dictionaries/"
_FOR_EVER: Final = (
    (b"Cache-Control", b"public, max-age=31536000, immutable"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Cross-Origin-Resource-Policy", b"cross-origin"),
    (b"X-Content-Type-Options", b"nosniff"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a frontend may do, and how it is watched."""

    message_bytes: int = setting(
        1024 * 1024,
        "The longest WebSocket message, 32 MiB at most; longer closes with 1009.",
        unit="bytes",
        minimum=1024,
        # As long as one step may take to copy it.
        maximum=32 * 1024 * 1024,
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
    compress_bytes: int = setting(
        512,
        "From which size a message is compressed for frontends that agreed to it; 0 is never.",
        unit="bytes",
        minimum=0,
    )
    dictionary_bytes: int = setting(
        128,
        "The same for frontends that have our zstd dictionary; 0 is never with it.",
        unit="bytes",
        minimum=0,
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
        doorman: Doorman | None = None,
        instance: str,
        version: str,
        metrics: Metrics,
        large: Large,
        quotas: Allowances | None = None,
        tools: ToolOffers | None = None,
        calls: ToolCalls | None = None,
    ) -> None:
        self.settings = settings
        #: The tools of its frontends, and the calls of them; `None` where none are taken.
        self.tools = tools
        self.calls = calls
        self.router = router
        self.workers = workers
        self.timers = timers
        self.ids = ids
        self.stamps = Stamps()
        self.instance = instance
        self.metrics = metrics
        self.large = large
        self._static = static
        self._health = health
        self._about = config
        self.admit_embedders(())
        #: Says who frontends are; `None` where there are no credentials.
        self.doorman = doorman
        self.quotas = quotas
        self._version = version
        self._sockets: dict[FrontendSocket, None] = {}
        self._closing: tuple[str, bytes] = ("", b"")
        self._codings = settings.compress_bytes > 0
        self.tally = Tally(metrics)
        self._deflate = Deflate(settings.compress_bytes, self.tally.sent)
        self._zstd = Zstd(settings.compress_bytes, self.tally.sent)
        self._has_dictionary = self._codings and settings.dictionary_bytes > 0
        self._zstd_dictionary = Zstd(
            settings.dictionary_bytes, self.tally.sent, dictionary.packed, ZSTD_DICTIONARY
        )
        self._dictionaries = {
            f"/{_DICTIONARY}{number}": data for number, data in dictionary.KNOWN.items()
        }

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
        known = self._dictionaries.get(head.path)
        if known is not None:
            responder.respond(200, known, b"application/octet-stream", _FOR_EVER)
            return
        request_id = head.headers.get(b"x-request-id", b"").decode("latin-1")
        health = self._health(head.path, request_id)
        if health is not None:
            responder.respond(health[0], health[1], headers=health[2])
            return
        responder.respond(404, _problem("There is the inbox at / and the WebSocket at /ws."))

    def welcome(
        self, socket: FrontendSocket, dictionaries: Sequence[int] = (), *, resumed: bool
    ) -> bytes:
        """Return the reply to a frontend that said who it is."""
        settings = self.router.settings
        # What somebody only says of themselves is no news to them.
        more: dict[str, object] = {}
        if self.doorman is not None:
            more = {"user": socket.user, "groups": socket.groups}
        if self._has_dictionary and socket.compression == ["zstd"]:
            more["dictionary"] = {
                "id": dictionary.CURRENT,
                "url": f"{_DICTIONARY}{dictionary.CURRENT}",
                "used": dictionary.CURRENT in dictionaries,
            }
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
            compression=socket.compression,
            server={"name": "frontend-router", "version": self._version},
            **more,
        )

    def admit_embedders(self, origins: Sequence[str]) -> None:
        """Let pages of these origins frame the inbox and sign people in there, and no others."""
        self._static.become(origins)
        self._config = gojson.encode({**self._about, "origins": origins})

    def coding_of(self, agreed: Agreed, dictionaries: Sequence[int] = ()) -> Coding | None:
        """Return how messages leave to a frontend with these; `None` for as they are."""
        if agreed.zstd:
            knows_ours = self._has_dictionary and dictionary.CURRENT in dictionaries
            return self._zstd_dictionary if knows_ours else self._zstd
        return self._deflate if agreed.deflate else None

    def closing_frame(self, offer: Offer, reason: str, outcome: Outcome | None) -> bytes:
        """Return the frame that takes a question back: the same for all who had it."""
        question_id = offer.question.id
        key = question_id + reason
        if self._closing[0] != key:
            write = messages.tool_cancel if offer.question.tool else messages.question_closed
            self._closing = (key, encode_text(write(question_id, reason, outcome)))
        return self._closing[1]

    def gone(self, socket: FrontendSocket) -> None:
        """A socket's connection is lost."""
        self._sockets.pop(socket, None)
        if self.doorman is not None:
            self.doorman.gone(socket)
        self.metrics.websocket_connections.labels("disconnected").inc()

    def connected(self) -> int:
        """Return how many WebSockets are open."""
        return len(self._sockets)

    def sockets(self) -> Sequence[FrontendSocket]:
        """Return the open WebSockets, oldest first, as they are now."""
        return list(self._sockets)

    def _upgrade(self, request: Request, responder: Responder) -> None:
        head = request.head
        if self.router.draining:
            responder.respond(
                503, _problem("This gateway is shutting down."), headers=((b"Retry-After", b"1"),)
            )
            return
        if self.doorman is not None and not self.doorman.admits(request, responder):
            return
        offered = head.headers.get(b"sec-websocket-extensions", b"").decode("latin-1")
        protocol = ServerProtocol(
            extensions=deflate_extension(offered) if self._codings else None,
            subprotocols=[ZSTD_SUBPROTOCOL, SUBPROTOCOL],
            select_subprotocol=with_zstd if self._codings else without_zstd,
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
        agreed = Agreed(
            tuple(
                bits
                for deflate in protocol.extensions
                if isinstance(deflate, PerMessageDeflate)
                for bits in (deflate.remote_max_window_bits, deflate.local_max_window_bits)
            ),
            zstd=protocol.subprotocol == ZSTD_SUBPROTOCOL,
        )
        # It refers to itself, by its parser and by the bound choice of a subprotocol:
        # cycles, which would be left to the collector.
        vars(protocol).clear()
        make = partial(self.open, request.principal, agreed)
        self._welcome(request, responder, response.serialize(), make)

    def _welcome(
        self,
        request: Request,
        responder: Responder,
        response: bytes,
        make: Callable[..., FrontendSocket],
    ) -> None:
        """Complete a handshake, if its principal may have one more frontend."""
        quotas, principal = self.quotas, request.principal
        standing = None if quotas is None or principal is NOBODY else quotas.of(principal)
        if quotas is None or standing is None:
            responder.upgrade(response, make)
            return
        make = partial(make, held=standing.frontends)
        if quotas.tries((), 0, standing.frontends):
            responder.upgrade(response, make)
            return
        upgrade = partial(responder.upgrade, response, make)
        step = _welcome_later(responder, upgrade, quotas, principal, standing.frontends)
        try:
            self.workers.start(principal.tenant, step)
        except QueueFullError:
            headers = ((b"Retry-After", b"1"),)
            responder.respond(503, _problem("This gateway is busy."), headers=headers)

    def open(
        self,
        principal: Principal,
        agreed: Agreed,
        connection: Connection,
        held: tuple[Slots, ...] = (),
    ) -> FrontendSocket:
        """Return the protocol of a connection that was upgraded."""
        socket = FrontendSocket(self, connection, principal, agreed, held)
        self._sockets[socket] = None
        self.metrics.websocket_connections.labels("connected").inc()
        return socket


async def _welcome_later(
    responder: Responder,
    upgrade: Callable[[], None],
    quotas: Allowances,
    principal: Principal,
    frontends: tuple[Slots, ...],
) -> None:
    try:
        await quotas.claim(principal, (), 0, frontends, lenient=True)
    except OverQuotaError as error:
        quota.refuse(responder, error)
        return
    if responder.is_open:
        upgrade()
    else:
        for slots in frontends:
            slots.take_back()


def _problem(message: str) -> bytes:
    return gojson.encode({"error": message})
