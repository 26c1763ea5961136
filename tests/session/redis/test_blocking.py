"""How a command reaches a Redis; the commands themselves are tested where they are."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisCluster, running_node
from session import parse_store_address
from session.errors import StoreUnavailableError
from session.redis.blocking import connected
from tests.session.redis.answering import answering
from tests.session.redis.conftest import Servers


def test_a_server_and_a_cluster_are_reached_alike(servers: Servers) -> None:
    with connected(parse_store_address(servers.url)) as connection:
        assert connection.set("greeting", b"hello")
        assert connection.get("greeting") == b"hello"


def why_not(url: str) -> str:
    """Return what is said of a server that cannot be used."""
    with (
        pytest.raises(StoreUnavailableError) as refused,
        connected(parse_store_address(url)) as connection,
    ):
        connection.get("greeting")
    return str(refused.value)


def test_what_a_server_refuses_is_a_sentence_without_a_password(redis_url: str) -> None:
    said = why_not(redis_url.replace("redis://", "redis://ann:hunter2@"))
    assert said.startswith(redis_url.replace("redis://", "redis://ann@"))
    assert "does not accept the user and password" in said
    assert "hunter2" not in said


@pytest.mark.slow
def test_who_logs_in_wrongly_is_told_how_to_log_in(tmp_path: Path) -> None:
    with running_node(tmp_path, 0, "--requirepass", "right") as node:
        for kind in ("redis", "redis+cluster"):
            for login in ("", ":wrong@", "nobody:wrong@"):
                said = why_not(f"{kind}://{login}127.0.0.1:{node.port}")
                assert "does not accept the user and password" in said
                assert "--redis-password-file" in said
        with connected(parse_store_address(f"redis://:right@127.0.0.1:{node.port}")) as connection:
            assert connection.get("greeting") is None


@pytest.mark.slow
def test_who_may_not_is_told_what_to_grant(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.command("ACL", "SETUSER", "some", "on", ">secret", "~*", "+@all", "-get")
        said = why_not(f"redis://some:secret@127.0.0.1:{node.port}")
        assert "user some may not do what is needed" in said
        assert "session/redis/README.md lists under Permissions" in said


def test_a_cluster_is_none_and_none_is_a_cluster(
    redis_url: str, redis_cluster: RedisCluster
) -> None:
    said = why_not(redis_url.replace("redis:", "redis+cluster:"))
    assert "write redis:// instead of redis+cluster://" in said
    # Whichever node has the key, another one says that it has moved.
    for node in redis_cluster.nodes[:3]:
        address = parse_store_address(f"redis://127.0.0.1:{node.port}")
        with contextlib.suppress(StoreUnavailableError), connected(address) as connection:
            connection.get("greeting")
            continue
        said = why_not(f"redis://127.0.0.1:{node.port}")
        assert "write redis+cluster:// instead of redis://" in said


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster"])
def test_where_nobody_listens_one_is_to_be_started(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = why_not(f"{scheme}://127.0.0.1:{port}")
    assert said.startswith(f"{scheme}://127.0.0.1:{port}/0 cannot be reached (")
    assert "start it, or name another" in said


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no Redis"),
        (b"-ERR max number of clients reached\r\n", "max number of clients"),
        (b"", "closed the connection; write rediss:// if it wants TLS"),
    ],
)
def test_what_is_no_server_for_us_is_said(reply: bytes, words: str) -> None:
    with answering(reply) as port:
        assert words in why_not(f"redis://127.0.0.1:{port}")


def test_what_has_no_tls_is_said() -> None:
    with answering(b"-ERR unknown command\r\n") as port:
        said = why_not(f"rediss://127.0.0.1:{port}")
    assert "TLS failed" in said
    assert "write redis:// if it has no TLS" in said
