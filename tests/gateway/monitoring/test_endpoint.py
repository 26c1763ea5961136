"""The monitoring port on a real hypercorn, asked over real sockets."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import msgspec
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from gateway.http.access import Allowlist, Settings
from gateway.metrics import Metrics
from gateway.monitoring.endpoint import MonitoringApp, serve_monitoring
from gateway.monitoring.probes import Check, Probes, Status


class Port:
    """A monitoring port that is being served."""

    def __init__(self, sock: socket.socket) -> None:
        self.number: int = sock.getsockname()[1]
        self.metrics = Metrics()
        self.store = Status.HEALTHY
        self.ready = True
        self.app = MonitoringApp(
            Probes(
                components={"store": lambda: Check(self.store)},
                is_ready=lambda: self.ready,
                clock=trio.current_time,
                lag=lambda: 0.0,
                new_id=lambda: "fresh",
                version="1",
            ),
            self.metrics,
            Allowlist(Settings(), [self.number]),
        )

    @property
    def host(self) -> bytes:
        return b"Host: 127.0.0.1:%d\r\n" % self.number

    async def exchange(self, request: bytes) -> bytes:
        """Send bytes and return all that comes until the port closes."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.number)
        async with stream:
            await stream.send_all(request)
            received = b""
            while data := await stream.receive_some():
                received += data
            return received

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.number}") as http:
            return await http.get(path, headers=headers)


@asynccontextmanager
async def served() -> AsyncIterator[Port]:
    with socket.socket() as sock, trio.fail_after(60):
        sock.bind(("127.0.0.1", 0))
        port = Port(sock)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_monitoring, port.app, sock))
            yield port
            nursery.cancel_scope.cancel()


async def test_reports_are_served_with_their_status() -> None:
    async with served() as port:
        for path, word in (("/health", "healthy"), ("/ready", "ready"), ("/live", "alive")):
            answer = await port.get(path)
            assert (answer.status_code, answer.json()["status"]) == (200, word)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers
        port.ready = False
        port.store = Status.UNHEALTHY
        assert (await port.get("/ready")).status_code == 503
        assert (await port.get("/health")).status_code == 503


async def test_a_request_id_comes_back_in_header_and_body() -> None:
    async with served() as port:
        answer = await port.get("/health", **{"X-Request-ID": "abc-1"})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1"
        answer = await port.get("/nothing", **{"X-Request-ID": "two words"})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "fresh"


async def test_metrics_are_scraped_and_count_the_scrapes() -> None:
    async with served() as port:
        await port.get("/live?verbose=1")
        answer = await port.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {f.name: f for f in text_string_to_metric_families(answer.text)}
        assert [sample.labels for sample in families["http_requests"].samples] == [
            {"method": "GET", "endpoint": "/live", "status_code": "200"}
        ]


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with served() as port:
        answer = await port.exchange(
            b"HEAD /ready HTTP/1.1\r\n" + port.host + b"Connection: close\r\n\r\n"
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-length: " in head
        assert body == b""


async def test_a_chain_of_requests_shares_one_connection() -> None:
    async with served() as port:
        one = b"GET /live HTTP/1.1\r\n" + port.host
        answer = await port.exchange((one + b"\r\n") * 5 + one + b"Connection: close\r\n\r\n")
        assert answer.count(b'"alive"') == 6


async def test_what_peers_invent_does_not_become_a_label() -> None:
    async with served() as port:
        for request in (b"GET /%s", b"BREW /live?%s", b"BREW /%s"):
            await port.exchange(
                request.replace(b"%s", b"canary")
                + b" HTTP/1.1\r\n" + port.host + b"Connection: close\r\n\r\n"
            )  # fmt: skip
        text = (await port.get("/metrics")).text
        assert "canary" not in text
        assert "BREW" not in text
        assert 'method="other",status_code="404"' in text


UPGRADE = (
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: upgrade\r\n"
)
REFUSED = {
    "unknown path": (b"GET /nothing HTTP/1.1\r\n{host}", 404),
    "the inbox is elsewhere": (b"GET / HTTP/1.1\r\n{host}", 404),
    "a path that decodes to ours": (b"GET /%2568ealth HTTP/1.1\r\n{host}", 404),
    "absolute target": (b"GET http://evil.example/health HTTP/1.1\r\n{host}", 404),
    "method": (b"POST /health HTTP/1.1\r\n{host}Content-Length: 0\r\n", 405),
    "delete": (b"DELETE /metrics HTTP/1.1\r\n{host}", 405),
    "options": (b"OPTIONS /metrics HTTP/1.1\r\n{host}", 405),
    "evil host": (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n", 403),
    "evil host before the path": (b"GET /nothing HTTP/1.1\r\nHost: evil.example\r\n", 403),
    "suffixed host": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n", 403),
    "host of another port": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:1\r\n", 403),
    "host with odd bytes": (b"GET /health HTTP/1.1\r\nHost: \xff\xfe\r\n", 403),
    "two hosts": (b"GET /health HTTP/1.1\r\n{host}{host}", 400),
    "no host": (b"GET /health HTTP/1.1\r\n", 400),
    "no host, but an origin": (b"GET /health HTTP/1.0\r\nOrigin: null\r\n", 400),
    "evil origin": (b"GET /health HTTP/1.1\r\n{host}Origin: http://evil.example\r\n", 403),
    "null origin": (b"GET /health HTTP/1.1\r\n{host}Origin: null\r\n", 403),
    "empty origin": (b"GET /health HTTP/1.1\r\n{host}Origin: \r\n", 403),
    "suffixed origin": (
        b"GET /health HTTP/1.1\r\n{host}Origin: http://127.0.0.1:{port}.evil.example\r\n",
        403,
    ),
    "user info in origin": (
        b"GET /health HTTP/1.1\r\n{host}Origin: http://localhost@evil.example\r\n",
        403,
    ),
    "origin of another port": (
        b"GET /health HTTP/1.1\r\n{host}Origin: http://127.0.0.1:1\r\n",
        403,
    ),
    "origin of another scheme": (
        b"GET /health HTTP/1.1\r\n{host}Origin: https://127.0.0.1:{port}\r\n",
        403,
    ),
    "two origins": (
        b"GET /health HTTP/1.1\r\n{host}" + b"Origin: http://127.0.0.1:{port}\r\n" * 2,
        400,
    ),
    "many headers": (b"GET /health HTTP/1.1\r\n{host}" + b"a: b\r\n" * 100, 431),
    "long headers": (b"GET /health HTTP/1.1\r\n{host}a: " + b"b" * 20_000 + b"\r\n", 431),
    "chunked body": (b"GET /health HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n", 400),
    "two framings": (
        b"GET /health HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "two lengths": (
        b"GET /health HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n",
        400,
    ),
    "blank before the colon": (b"GET /health HTTP/1.1\r\n{host}a : b\r\n", 400),
    "a websocket": (
        b"GET /health HTTP/1.1\r\n{host}" + UPGRADE,
        403,
    ),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED)
async def test_refusals_have_their_status(head: bytes, status: int) -> None:
    async with served() as port:
        request = head.replace(b"{host}", port.host).replace(b"{port}", b"%d" % port.number)
        if b"Connection:" not in request:
            request += b"Connection: close\r\n"
        answer = await port.exchange(request + b"\r\n")
        assert int(answer.split(b" ")[1]) == status
        if status == 405:
            assert b"\r\nallow: GET, HEAD\r\n" in answer
        assert (await port.get("/live")).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:{port}", "http://localhost:{port}", "HTTP://LOCALHOST:{port}"]
)
async def test_our_own_pages_may_look(origin: str) -> None:
    async with served() as port:
        answer = await port.get("/health", Origin=origin.format(port=port.number))
        assert answer.status_code == 200


async def test_a_balancer_may_speak_http_1_0_without_host() -> None:
    async with served() as port:
        answer = await port.exchange(b"GET /health HTTP/1.0\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert msgspec.json.decode(body)["status"] == "healthy"


async def test_http_2_is_told_to_go_back() -> None:
    async with served() as port, await trio.open_tcp_stream("127.0.0.1", port.number) as stream:
        await stream.send_all(
            b"GET /health HTTP/1.1\r\n" + port.host + b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        )
        received = b""
        while b'"status":505' not in received:
            received += await stream.receive_some()


async def test_the_port_ends_when_it_is_told_to() -> None:
    with socket.socket() as sock, trio.fail_after(60):
        sock.bind(("127.0.0.1", 0))
        port = Port(sock)
        leave = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(
                partial(serve_monitoring, port.app, sock, shutdown_trigger=leave.wait)
            )
            assert (await port.get("/live")).status_code == 200
            leave.set()
        assert sock.fileno() >= 0, "the socket stays its owner's"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has TCP_USER_TIMEOUT")
async def test_a_scraper_that_does_not_read_cannot_hold_up_the_end() -> None:
    with socket.socket() as sock, socket.socket() as scraper, trio.fail_after(60):
        sock.bind(("127.0.0.1", 0))
        port = Port(sock)
        scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_monitoring, port.app, sock, send_seconds=0.5))
            scraper.connect(("127.0.0.1", port.number))
            scraper.setblocking(False)
            one = b"GET /metrics HTTP/1.1\r\n" + port.host + b"\r\n"
            # Until the gateway takes no more requests, as nobody takes its responses.
            full = False
            while not full:
                with trio.move_on_after(0.1) as patience:
                    await trio.lowlevel.wait_writable(scraper)
                    scraper.send(one * 100)
                full = patience.cancelled_caught
            nursery.cancel_scope.cancel()
