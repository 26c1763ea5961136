"""A real HAProxy in front of a gateway, as little of one as a test needs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from haproxy.redis_node import free_port, wait_until
from tests.live.peer import Peer, host
from tests.live.process import GatewayProcess, running_gateway

# Connections to the gateway are shared by all clients: what one leaves behind in them, the
# next one would get.
_CONFIGURATION = """
global
    maxconn 4000
    stats socket {directory}/stats mode 600
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    retries 0
    http-reuse always
    option abortonclose
frontend mcp_in
    bind 127.0.0.1:{mcp}
    default_backend mcp
frontend mcp_by_http2_in
    bind 127.0.0.1:{http2} proto h2
    default_backend mcp
frontend ws_in
    bind 127.0.0.1:{ws}
    default_backend ws
backend mcp
    server gateway 127.0.0.1:{gateway.mcp_port}
backend ws
    server gateway 127.0.0.1:{gateway.ws_port}
"""


class Proxied(NamedTuple):
    """A gateway, and the ports of the HAProxy in front of it."""

    gateway: GatewayProcess
    ws: int
    mcp: int
    http2: int


def _what_is_missing(port: int) -> str:
    try:
        with Peer(port) as peer:
            peer.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
            return "" if peer.answer().status == 200 else "it does not serve"
    except (OSError, EOFError) as error:
        return str(error)


@contextmanager
def running_haproxy(directory: Path, *flags: str) -> Iterator[Proxied]:
    """Start a gateway and HAProxy before it; the gateway must leave cleanly."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("these tests need haproxy")
    ports = {"ws": free_port(), "mcp": free_port(), "http2": free_port()}
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports.values())
    with running_gateway("--access-hosts", hosts, *flags) as gateway:
        file = directory / "haproxy.cfg"
        file.write_text(_CONFIGURATION.format(directory=directory, gateway=gateway, **ports))
        with subprocess.Popen([program, "-db", "-q", "-f", str(file)]) as process:
            try:
                wait_until(lambda: _what_is_missing(ports["mcp"]), "HAProxy")
                wait_until(lambda: _what_is_missing(ports["ws"]), "HAProxy")
                yield Proxied(gateway, **ports)
            finally:
                process.terminate()
