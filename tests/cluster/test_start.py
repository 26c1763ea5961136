"""A gateway whose store cannot be used says why, in a sentence, and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisNode, running_node
from haproxy.redis_node import free_port
from tests.live.process import TESTED

pytestmark = pytest.mark.slow

PATIENCE = 60


def started(store: str, *flags: str) -> tuple[int, str]:
    """Start a gateway that is to give up; return its exit status and all it said."""
    ports = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")
    ended = subprocess.run(
        [*TESTED, "serve", *ports, "--redis-start-seconds", "4", *flags],
        # Not as an argument, which would not be taken with a password in it.
        env=os.environ | {"FRONTEND_ROUTER_STORE": store},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        text=True,
    )
    return ended.returncode, ended.stdout


def says(status: int, output: str, *words: str) -> None:
    """It failed, in one sentence for people that has these words."""
    assert status == 1, output
    assert "Traceback" not in output
    (line,) = output.strip().splitlines()
    assert line.startswith("frontend-router: "), line
    for word in words:
        assert word in line


def test_a_wrong_password(tmp_path: Path) -> None:
    with running_node(tmp_path, 0, "--requirepass", "secret") as node:
        for login in ("", ":wrong@"):
            where = f"{login}127.0.0.1:{node.port}"
            status, output = started(f"redis+cluster://{where}")
            says(status, output, "does not accept the user and password", f":{node.port}")
            assert "wrong" not in output
            status, output = started(f"redis://{where}")
            says(status, output, f"127.0.0.1:{node.port}")
            assert "wrong" not in output


def test_nobody_is_there() -> None:
    port = free_port()
    for scheme in ("redis", "redis+cluster"):
        status, output = started(f"{scheme}://127.0.0.1:{port}")
        says(status, output, f"127.0.0.1:{port}", "start it, or name another")


def test_a_plain_server_is_no_cluster_and_the_other_way_round(redis_node: RedisNode) -> None:
    status, output = started(f"redis+cluster://127.0.0.1:{redis_node.port}")
    says(status, output, "write redis:// instead of redis+cluster://")


def test_an_old_version() -> None:
    with old_redis() as port:
        status, output = started(f"redis+cluster://127.0.0.1:{port}")
    says(status, output, "version 6.2.14", "7.0 or later")


@contextmanager
def old_redis() -> Iterator[int]:
    """Say hello as a Redis 6.2 does, and nothing else; yields the port."""
    hello = (
        b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n"
        b"$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
        b"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            # Until the socket is shut down, or whoever connected has gone.
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        if client.recv(4096):
                            client.sendall(hello)
                            client.recv(4096)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)
