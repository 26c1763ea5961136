"""More peers than the process has descriptors or room for: it bends, and recovers unaided."""

from __future__ import annotations

import resource
import sys
from contextlib import ExitStack
from functools import partial

import pytest

from haproxy.redis_node import wait_until
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.peer import Peer, assert_serves, frame, host, upgrade_request, websocket
from tests.live.process import running_gateway

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets us lower another's limit")
@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_running_out_of_descriptors_passes(which: str) -> None:
    with running_gateway(*LEAVE_AT_ONCE) as gateway:
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (100, 100))
        # The kernel takes them all; those past the limit wait to be accepted.
        crowd = [Peer(gateway.ports[which]) for _ in range(200)]
        crowd[0].send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(gateway.ports[which]))
        assert crowd[0].answer().status == 200
        for peer in crowd:
            peer.sock.close()
        for port in gateway.ports.values():
            with Peer(port) as honest:
                honest.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
                assert honest.answer().status == 200


def test_over_the_cap_is_told_to_come_back_later() -> None:
    with running_gateway(*LEAVE_AT_ONCE, "--connections-maximum", "20") as gateway:
        port = gateway.mcp_port
        # Frontends that are connected make room for nobody.
        crowd = [websocket(gateway.ws_port) for _ in range(20)]
        with Peer(port) as late:
            answer = late.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert late.is_closed()
        # Both of our own ports share the cap; monitoring stays reachable.
        with Peer(gateway.ws_port) as late:
            assert late.answer().status == 503
        assert_serves(gateway.monitoring_port)
        for peer in crowd:
            peer.send(frame(8, b"\x03\xe8"))
            assert peer.close_code() == 1000
            assert peer.is_closed()
            peer.sock.close()
        assert_serves(port)


def test_one_address_cannot_take_all_connections() -> None:
    with running_gateway(*LEAVE_AT_ONCE, "--connections-per-address", "5") as gateway:
        crowd = [websocket(gateway.ws_port) for _ in range(5)]
        with Peer(gateway.ws_port) as late:
            assert late.answer().status == 503
        websocket(gateway.ws_port, source="127.0.0.2").sock.close()
        for peer in crowd:
            peer.sock.close()


def flood(port: int, count: int) -> list[Peer]:
    """Come so often, half of the time as a frontend and half as somebody slow."""
    crowd = [Peer(port) for _ in range(count)]
    for number, peer in enumerate(crowd):
        peer.send(upgrade_request(peer.port) if number % 2 else b"GET /health HT")
    return crowd


def unserved(ports: dict[str, int]) -> str:
    """Say which port does not answer who comes now; empty when all do."""
    for name, port in ports.items():
        with Peer(port) as honest:
            honest.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
            status = honest.answer().status
        if status != 200:
            return f"{name} answers {status}"
    return ""


def test_with_256_descriptors_a_flood_on_all_ports_passes() -> None:
    """Monitoring works during a flood of the others; after one of all, everything does."""
    under = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh")
    with running_gateway(*LEAVE_AT_ONCE, under=under) as gateway:
        early = websocket(gateway.ws_port)
        crowd = flood(gateway.ws_port, 400) + flood(gateway.mcp_port, 400)
        # Who was there is served all the while.
        early.send(frame(9, b"still there?"))
        assert early.frame_but_pings().payload == b"still there?"
        assert_serves(gateway.monitoring_port)
        for peer in crowd:
            peer.sock.close()
        crowd = flood(gateway.ws_port, 400) + flood(gateway.monitoring_port, 90)
        for peer in crowd:
            peer.sock.close()
        # As soon as it has seen them go.
        wait_until(partial(unserved, gateway.ports), "what remains of a flood")
        early.send(frame(9, b"and now?"))
        assert early.frame_but_pings().payload == b"and now?"
        early.sock.close()


def test_who_asks_for_nothing_cannot_keep_out_who_does() -> None:
    """The oldest idle connections go, and not who comes, whether or not it once asked."""
    with running_gateway(*LEAVE_AT_ONCE, "--connections-maximum", "20") as gateway:
        port = gateway.mcp_port
        asked_once = [Peer(port) for _ in range(10)]
        for peer in asked_once:
            peer.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
            assert peer.answer().status == 200
        silent = [Peer(port) for _ in range(10)]
        with websocket(gateway.ws_port) as frontend:
            for _ in range(40):
                assert_serves(port)
            frontend.send(frame(9, b"stays"))
            assert frontend.frame_but_pings().payload == b"stays"
        for peer in asked_once + silent:
            peer.sock.close()


def test_an_address_at_its_cap_displaces_its_own() -> None:
    with running_gateway(*LEAVE_AT_ONCE, "--connections-per-address", "5") as gateway:
        port = gateway.mcp_port
        with Peer(port, "127.0.0.2") as elsewhere:
            crowd = [Peer(port) for _ in range(50)]
            assert_serves(port)
            elsewhere.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
            assert elsewhere.answer().status == 200
        for peer in crowd:
            peer.sock.close()


def test_who_comes_through_a_proxy_makes_room_as_well() -> None:
    """Counted as the addresses that the proxy names, whether they have come to HTTP or not."""
    proxies = ("--access-proxies", "127.0.0.1", "--access-proxy-protocol", "on")
    flags = ("--connections-maximum", "60", "--connections-per-address", "5")
    with running_gateway(*LEAVE_AT_ONCE, *proxies, *flags) as gateway, ExitStack() as stack:

        def come(client: str) -> Peer:
            peer = stack.enter_context(Peer(gateway.mcp_port))
            peer.send(b"PROXY TCP4 %b 127.0.0.1 1 2\r\n" % client.encode())
            return peer

        def asks(peer: Peer) -> None:
            peer.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(peer.port))
            assert peer.answer().status == 200

        elsewhere = come("9.9.9.8")
        for _ in range(30):
            come("9.9.9.9")
        asks(come("9.9.9.9"))
        # Their crowd has displaced its own.
        asks(elsewhere)
        for number in range(120):
            if number % 10 == 9:
                asks(come(f"9.9.7.{number}"))
            elif number % 2:
                come(f"9.9.7.{number}")
            else:
                # This one has not even been named.
                stack.enter_context(Peer(gateway.mcp_port))
        assert counted(gateway, "frontend_router_refused_total", reason="idle") >= 80
