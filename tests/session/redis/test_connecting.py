"""Who answers, and what a person is told when it is not what we need."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisCluster, running_node
from session.redis.topology import key_slot
from tests.session.redis.answering import answering
from tests.session.redis.running import running_client, why_unusable

pytestmark = pytest.mark.slow


OLD = (
    b"%7\r\n+server\r\n+redis\r\n+version\r\n+6.2.7\r\n+proto\r\n:3\r\n+id\r\n:1\r\n"
    b"+mode\r\n+standalone\r\n+role\r\n+master\r\n+modules\r\n*0\r\n"
)


async def test_a_wrong_password_is_said_at_once(tmp_path: Path) -> None:
    with running_node(tmp_path, 0, "--requirepass", "right") as node:
        for login in (":wrong@", ""):
            said = await why_unusable(f"redis://{login}127.0.0.1:{node.port}")
            assert "does not accept the user and password" in said
            assert "--redis-password-file" in said
        async with running_client(f"redis://:right@127.0.0.1:{node.port}") as it:
            assert await it.set("a", 1) == b"OK"


async def test_a_password_in_a_file_is_read_at_each_connection(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    with running_node(tmp_path, 0, "--requirepass", "first") as node:
        url = f"redis://127.0.0.1:{node.port}"
        said = await why_unusable(url, password_file=str(tmp_path / "none"))
        assert "cannot be read: No such file" in said
        async with running_client(url, password_file=str(secret)) as it:
            await it.set("a", 1)
            secret.write_text("second")
            await it.command("a", "CONFIG", "SET", "requirepass", "second")
            assert await it.command("a", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            assert await it.set("a", 2) == b"OK"


async def test_a_user_of_its_own_needs_permission(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.command("ACL", "SETUSER", "gateway", "on", ">secret", "~*", "&*", "+@all", "-client")
        url = f"redis://gateway:secret@127.0.0.1:{node.port}"
        said = await why_unusable(url)
        assert "user gateway may not do what is needed" in said
        assert "session/redis/README.md lists under Permissions" in said
        node.command("ACL", "SETUSER", "gateway", "+client")
        async with running_client(url) as it:
            assert await it.command("a", "ACL", "WHOAMI") == b"gateway"


async def test_a_database_is_chosen(redis_url: str) -> None:
    async with running_client(redis_url.replace("/0", "/3")) as it:
        await it.set("a", 1)
        assert b"db=3" in await it.command("a", "CLIENT", "INFO")
        assert b"name=test" in await it.command("a", "CLIENT", "INFO")


async def test_a_database_that_there_is_not_is_said_with_what_to_do(redis_url: str) -> None:
    said = await why_unusable(redis_url.replace("/0", "/16"))
    assert "has no database 16 (ERR DB index is out of range); name one that it has" in said
    assert "`databases`" in said


async def test_a_server_that_is_too_old() -> None:
    with answering(OLD) as port:
        said = await why_unusable(f"redis://127.0.0.1:{port}")
    assert "it is version 6.2.7; use Redis 7.0 or later" in said
    with answering(b"-ERR unknown command 'HELLO'\r\n") as port:
        assert "too old" in await why_unusable(f"redis://127.0.0.1:{port}")


async def test_what_is_no_redis() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "no Redis" in await why_unusable(f"redis://127.0.0.1:{port}")
    with answering(b"-DENIED Redis is running in protected mode\r\n") as port:
        assert "protected mode" in await why_unusable(f"redis://127.0.0.1:{port}")
    with answering(b"-ERR max number of clients reached\r\n") as port:
        said = await why_unusable(f"redis://127.0.0.1:{port}", start_seconds=2)
        assert "max number of clients" in said


async def test_nobody_listens_or_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = await why_unusable(f"redis://127.0.0.1:{port}", connect_seconds=0.2, start_seconds=2)
        assert "did not answer in time" in said
    said = await why_unusable(f"redis://127.0.0.1:{port}", start_seconds=2)
    assert "cannot be reached" in said
    said = await why_unusable(f"redis+cluster://127.0.0.1:{port}", start_seconds=2)
    assert "cannot be reached" in said


async def test_a_cluster_is_none_and_none_is_a_cluster(
    redis_url: str, redis_cluster: RedisCluster
) -> None:
    said = await why_unusable(redis_url.replace("redis:", "redis+cluster:"))
    assert "not a node of a cluster" in said
    port = redis_cluster.nodes[0].port
    assert "redis+cluster://" in await why_unusable(f"redis://127.0.0.1:{port}")


async def test_a_replica_is_no_seed_of_trouble(redis_cluster: RedisCluster) -> None:
    replica = redis_cluster.replica_of(redis_cluster.primary_of(0))
    async with running_client(f"redis+cluster://127.0.0.1:{replica.port}") as it:
        for number in range(20):
            assert await it.set(f"k{number}", number) == b"OK"
        assert it.client.node_of(key_slot(b"k0")).place != replica.address
