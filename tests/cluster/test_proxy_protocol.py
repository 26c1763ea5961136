"""Clients behind HAProxy are told apart by their own addresses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from haproxy.balancer import Balancer
from haproxy.redis_node import free_port
from tests.haproxy.stub import asked, got
from tests.live.peer import upgrade_request
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

QUICK = ("--drain-settle-seconds", "0", "--drain-wait-seconds", "0")


@contextmanager
def behind_haproxy(directory: Path, send_proxy: str, *flags: str) -> Iterator[Balancer]:
    """Run HAProxy in front of one gateway that gives each address two connections."""
    few = ("--connections-per-address", "2", "--access-hosts", "127.0.0.1")
    proxies = ("--access-proxies", "127.0.0.1/32")
    with (
        running_gateway(*QUICK, *few, *proxies, *flags) as gateway,
        started(directory, send_proxy, gateway) as balancer,
    ):
        yield balancer


@contextmanager
def started(directory: Path, send_proxy: str, gateway: GatewayProcess) -> Iterator[Balancer]:
    balancer = Balancer(directory / "h", directory / "log", [free_port() for _ in range(3)])
    variables = balancer.variables(())
    for number in (1, 2, 3):
        variables[f"FR_GATEWAY{number}_WS"] = f"127.0.0.1:{gateway.ws_port}"
        variables[f"FR_GATEWAY{number}_MCP"] = f"127.0.0.1:{gateway.mcp_port}"
        variables[f"FR_GATEWAY{number}_MONITOR"] = str(gateway.monitoring_port)
    balancer.up({**variables, "FR_SEND_PROXY": send_proxy})
    yield balancer
    balancer.down()


def opened(stack: ExitStack, source: str, port: int) -> bytes:
    """Open a WebSocket from an address, keep it, and return the status that comes back."""
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10, (source, 0)))
    sock.sendall(upgrade_request(port))
    return sock.recv(65536)[9:12]


@pytest.mark.parametrize(
    ("send_proxy", "flags"),
    [
        ("send-proxy", ("--access-proxy-protocol", "on")),
        ("send-proxy-v2", ("--access-proxy-protocol", "on")),
        ("no-send-proxy-v2", ()),
    ],
)
def test_each_address_has_its_own_connections(
    tmp_path: Path, send_proxy: str, flags: tuple[str, ...]
) -> None:
    with behind_haproxy(tmp_path, send_proxy, *flags) as balancer, ExitStack() as stack:
        port = balancer.ws_port
        statuses = [opened(stack, "127.0.0.2", port) for _ in range(3)]
        assert statuses == [b"101", b"101", b"503"]
        assert opened(stack, "127.0.0.3", port) == b"101"
        # A client's own word on it is not passed on.
        with socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.2", 0)) as sock:
            sock.sendall(upgrade_request(port, b"X-Forwarded-For: 127.0.0.9\r\n"))
            assert sock.recv(65536)[9:12] == b"503"


def test_a_client_that_reaches_a_gateway_directly_cannot_name_another() -> None:
    flags = ("--access-proxies", "127.0.0.1", "--access-proxy-protocol", "on")
    with running_gateway(*QUICK, *flags) as gateway, ExitStack() as stack:
        request = b"PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\n" + upgrade_request(gateway.ws_port)
        for source, status in (("127.0.0.2", b"400"), ("127.0.0.1", b"101")):
            address = ("127.0.0.1", gateway.ws_port)
            sock = stack.enter_context(socket.create_connection(address, 10, (source, 0)))
            sock.sendall(request)
            assert sock.recv(65536)[9:12] == status
        # Without its header a proxy is not served; monitoring has none and needs none.
        assert asked(gateway.ws_port, got("GET", "/"))[9:12] == b"400"
        assert asked(gateway.monitoring_port, got("GET", "/live"))[9:12] in (b"200", b"403")
