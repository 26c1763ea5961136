"""More peers than the process has descriptors or room for: it bends, and recovers unaided."""

from __future__ import annotations

import resource
import sys

import pytest

from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, assert_serves, host
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
        crowd = [Peer(port) for _ in range(20)]
        with Peer(port) as late:
            answer = late.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert late.is_closed()
        # Both of our own ports share the cap; monitoring stays reachable.
        with Peer(gateway.ws_port) as late:
            assert late.answer().status == 503
        assert_serves(gateway.monitoring_port)
        for peer in crowd:
            peer.send(b"GET /health HTTP/1.1\r\nConnection: close\r\n%b\r\n" % host(port))
            assert peer.answer().status == 200
            assert peer.is_closed()
            peer.sock.close()
        assert_serves(port)


def test_one_address_cannot_take_all_connections() -> None:
    with running_gateway(*LEAVE_AT_ONCE, "--connections-per-address", "5") as gateway:
        crowd = [Peer(gateway.ws_port) for _ in range(5)]
        with Peer(gateway.ws_port) as late:
            assert late.answer().status == 503
        for peer in crowd:
            peer.sock.close()
