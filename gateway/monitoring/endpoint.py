"""The monitoring port: reports and metrics, as an ASGI app on hypercorn's Trio worker.

Low traffic, so a standard server does. Host and Origin are checked before
anything else, as on the other ports.

It refuses HTTP/2, WebSockets and bodies: nothing here needs them, and each
would be one more thing to bound.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, final

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from gateway.http.access import Allowlist
from gateway.metrics import Metrics
from gateway.monitoring.probes import Probes

_METHODS: Final = ("GET", "HEAD")
_REPORTS: Final = ("/health", "/ready", "/live")
_JSON: Final = b"application/json"
_CLOSE: Final = (b"connection", b"close")
# Whoever breaks a rule of framing or is not meant to be here loses the connection.
_MORE_HEADERS: Final[Mapping[int, Sequence[tuple[bytes, bytes]]]] = {
    400: (_CLOSE,),
    403: (_CLOSE,),
    405: ((b"allow", b"GET, HEAD"),),
    431: (_CLOSE,),
}
_REQUEST_SECONDS: Final = 5
_HEADER_BYTES: Final = 16 * 1024
_HEADER_COUNT: Final = 100
# A scraper that stops reading its response is cut off after this long.
_SEND_SECONDS: Final = 5.0


class _Refusal(NamedTuple):
    status: int
    message: str


@final
class MonitoringApp:
    """Answers ``/health``, ``/ready``, ``/live`` and ``/metrics``, to GET and HEAD."""

    def __init__(self, probes: Probes, metrics: Metrics, allowed: Allowlist) -> None:
        self._probes = probes
        self._metrics = metrics
        self._allowed = allowed

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            await self._serve(scope, send)
        elif scope["type"] == "websocket":
            # Before it is accepted this is a 403.
            await send({"type": "websocket.close", "code": 1000, "reason": None})
        else:
            await _live_on(receive, send)

    async def _serve(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        started = trio.current_time()
        headers = _Fields(scope)
        request_id = self._probes.request_id(headers.first(b"x-request-id"))
        status, body, content_type = self._answer(scope, headers, request_id)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", content_type),
                    (b"content-length", b"%d" % len(body)),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-request-id", request_id.encode("ascii")),
                    *_MORE_HEADERS.get(status, ()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})
        seconds = trio.current_time() - started
        self._metrics.request_done(scope["method"], scope["path"], status, seconds, len(body))

    def _answer(
        self, scope: HTTPScope, headers: _Fields, request_id: str
    ) -> tuple[int, bytes, bytes]:
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            problem = {"error": refusal.message, "status": refusal.status, "request_id": request_id}
            return refusal.status, msgspec.json.encode(problem), _JSON
        if scope["path"] == "/metrics":
            text, content_type = self._metrics.render(headers.first(b"accept"))
            return 200, text, content_type.encode("ascii")
        report = self._probes.response(scope["path"], request_id)
        assert report is not None, "refused above"
        status, body, _ = report
        return status, body, _JSON

    def _refusal(self, scope: HTTPScope, headers: _Fields) -> _Refusal | None:
        if scope["http_version"] not in ("1.0", "1.1"):
            return _Refusal(505, "This port speaks HTTP/1.1.")
        refusal = self._stranger(scope["http_version"], headers) or headers.refusal()
        if refusal is not None:
            return refusal
        if scope["path"] not in (*_REPORTS, "/metrics"):
            return _Refusal(404, "There are /health, /ready, /live and /metrics.")
        if scope["method"] not in _METHODS:
            return _Refusal(405, "Only GET and HEAD.")
        return None

    def _stranger(self, version: str, headers: _Fields) -> _Refusal | None:
        """Judge Host and Origin, as `gateway.http.head` does on the other ports."""
        hosts, origins = headers.all(b"host"), headers.all(b"origin")
        if len(hosts) > 1 or len(origins) > 1:
            return _Refusal(400, "The headers Host and Origin come once.")
        if not hosts and not (version == "1.0" and not origins):
            return _Refusal(400, "A request must have one Host header (RFC 9112 section 3.2).")
        if hosts and not self._allowed.allows_host(hosts[0]):
            return _Refusal(403, "This Host is not served here.")
        if origins and not self._allowed.allows_origin(origins[0]):
            return _Refusal(403, "Pages of this Origin may not connect.")
        return None


@final
class _Fields:
    """The headers of a request, by lower-case name."""

    __slots__ = ("_fields",)

    def __init__(self, scope: HTTPScope) -> None:
        self._fields = [(bytes(name), bytes(value).strip()) for name, value in scope["headers"]]

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for field, value in self._fields if field == name]

    def refusal(self) -> _Refusal | None:
        """Judge what h11 lets pass and our other ports do not."""
        if len(self._fields) > _HEADER_COUNT:
            return _Refusal(431, f"There are more than {_HEADER_COUNT} header fields.")
        if sum(len(name) + len(value) for name, value in self._fields) > _HEADER_BYTES:
            # h11 bounds only what it could not parse yet.
            return _Refusal(431, f"The headers are longer than {_HEADER_BYTES} bytes.")
        if self.all(b"transfer-encoding"):
            # h11 lets it win over Content-Length; a proxy may think otherwise.
            return _Refusal(400, "Requests have no chunked body here.")
        return None

    def first(self, name: bytes) -> str:
        return next(iter(self.all(name)), "")


async def _live_on(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Take part in the lifespan protocol: there is nothing to start or to stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def serve_monitoring(
    app: MonitoringApp,
    sock: socket.socket,
    *,
    send_seconds: float = _SEND_SECONDS,
    shutdown_trigger: Callable[[], Awaitable[None]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` on a bound socket, which stays the caller's, until cancelled or triggered.

    Started once the port listens. A peer that takes nothing of its response for
    ``send_seconds`` is cut off (on Linux). When ``shutdown_trigger`` returns, nobody new
    is accepted and responses under way get a second to leave.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # pragma: no branch - Linux has it
        # hypercorn sends without a deadline and shields it from cancellation:
        # the kernel, which hands the option on to accepted sockets, keeps a
        # peer that does not read from holding up the end of the process.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(send_seconds * 1000))
    await serve(
        app,
        _config(sock),
        shutdown_trigger=shutdown_trigger,
        task_status=task_status,
        mode="asgi",
    )


def _config(sock: socket.socket) -> Config:
    config = Config()
    # hypercorn closes the descriptor it is given: a copy, so that the socket is
    # closed by one owner.
    config.bind = [f"fd://{sock.dup().detach()}"]
    config.accesslog = None
    config.errorlog = logging.getLogger("gateway.monitoring.server")
    config.errorlog.setLevel(logging.WARNING)
    config.include_server_header = False
    config.keep_alive_timeout = _REQUEST_SECONDS
    config.graceful_timeout = 1
    config.h11_max_incomplete_size = _HEADER_BYTES
    config.h2_max_concurrent_streams = 1
    config.h2_max_header_list_size = _HEADER_BYTES
    return config
