"""What goes wrong between a proxy and a gateway that are of two minds (A5, B15, B16)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import pytest
import trio

from haproxy.redis_node import wait_until
from tests.interop.person import person_at
from tests.live.caller import caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.haproxy import Proxied, running_haproxy
from tests.live.metrics import counted
from tests.live.peer import Peer, assert_serves, frame, host, upgrade_request
from tests.live.test_http_violations import VIOLATIONS, fill

pytestmark = pytest.mark.slow

_PATIENCE = 60


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with running_haproxy(tmp_path_factory.mktemp("haproxy"), *LEAVE_AT_ONCE) as both:
        yield both


def get_marked(port: int, marker: str) -> bytes:
    return b"GET /health HTTP/1.1\r\n%bX-Request-ID: %b\r\n\r\n" % (host(port), marker.encode())


@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_no_request_hides_in_another_whatever_the_proxy_makes_of_it(
    proxied: Proxied, which: str
) -> None:
    """Behind each violation comes a request; whoever is next on that connection gets their own."""
    port = getattr(proxied, which)
    for name, row in VIOLATIONS.items():
        with Peer(port) as attacker, Peer(port) as honest:
            attacker.send(fill(row.request, port) + get_marked(port, "smuggled"))
            for number in range(4):
                marker = f"honest-{number}"
                honest.send(get_marked(port, marker))
                answer = honest.answer()
                assert answer.status == 200, name
                assert answer.headers["x-request-id"] == marker, name
    assert_serves(port)


@pytest.mark.parametrize(
    "header",
    [
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 77\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_a_refused_upgrade_is_no_tunnel(proxied: Proxied, header: bytes) -> None:
    """What a proxy takes for a tunnel would reach past its rules."""
    with Peer(proxied.ws) as peer:
        request = b"GET /ws HTTP/1.1\r\n%b%b\r\n" % (host(proxied.ws), header)
        peer.send(request + get_marked(proxied.ws, "tunnelled") + frame(1, b"{}"))
        assert peer.answer().status in {400, 426}
    with Peer(proxied.ws) as honest:
        honest.send(get_marked(proxied.ws, "honest"))
        assert honest.answer().headers["x-request-id"] == "honest"


def test_a_websocket_is_one_through_the_proxy(proxied: Proxied) -> None:
    with Peer(proxied.ws) as peer:
        peer.send(upgrade_request(proxied.ws))
        while b"\r\n\r\n" not in peer.received:
            assert peer._more()
        peer.received = peer.received.partition(b"\r\n\r\n")[2]
        peer.send(frame(9, b"through"))
        assert peer.frame() == (0x8A, b"through")


async def test_leaving_means_what_it_means_in_each_revision(proxied: Proxied) -> None:
    """2026: the question is taken back. 2025: it is kept, and its stream is resumed."""
    with trio.fail_after(_PATIENCE):
        async with person_at(proxied.ws) as person:
            for session in ("", await open_session(proxied.mcp)):
                async with caller_at(proxied.mcp, session=session) as caller:
                    await caller.send(
                        "tools/call", {"name": "ask_user", "arguments": {"question": "?"}}, 7
                    )
                    event_id, _ = await (await caller.response()).event() if session else ("", 0)
                    shown = await person.question()
                if not session:
                    closed = await person.frame("question_closed")
                    assert closed["request_id"] == shown["request_id"]
                    assert closed["reason"] == "cancelled"
                    continue
                assert await person.answer(shown, "kept") == "accepted"
                async with caller_at(proxied.mcp, session=session) as caller:
                    reply = await (await caller.resume(event_id)).result()
                assert text_of(reply["result"]) == "kept"


def test_a_flood_of_streams_that_are_reset_at_once_leaves_nothing(proxied: Proxied) -> None:
    """Rapid reset: two thousand requests that HTTP/2 lets their sender drop at no cost."""
    before = counted(proxied.gateway, "mcp_active_requests")
    with socket.create_connection(("127.0.0.1", proxied.http2), timeout=10) as sock:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        authority = f"127.0.0.1:{proxied.http2}"
        fields = [(":method", "GET"), (":path", "/health"), (":scheme", "http")]
        for _ in range(2000):
            stream = connection.get_next_available_stream_id()
            connection.send_headers(stream, [*fields, (":authority", authority)], end_stream=True)
            connection.reset_stream(stream)
            try:
                sock.sendall(connection.data_to_send())
            except OSError:
                # The proxy has had enough.
                break
        assert_serves(proxied.mcp)
    assert_serves(proxied.gateway.mcp_port)
    # As soon as it has seen the last of them go.
    wait_until(
        lambda: (
            "" if counted(proxied.gateway, "mcp_active_requests") == before else "some are left"
        ),
        "what remains of a flood",
    )
