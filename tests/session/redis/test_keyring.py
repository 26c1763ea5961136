"""API keys as the command line writes them, on one Redis and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisCluster, RedisNode, running_node
from haproxy.redis_node import free_port, wait_until
from session.errors import StoreUnavailableError, UnreplicatedError
from session.redis import keys
from session.redis.address import parse_address
from session.redis.keyring import RedisKeyring
from tests.session.redis.conftest import Servers

pytestmark = pytest.mark.slow


@pytest.fixture
def ring(servers: Servers) -> RedisKeyring:
    return RedisKeyring(parse_address(servers.url))


def test_what_was_put_is_there(ring: RedisKeyring) -> None:
    assert ring.records() == []
    assert ring.put("a", b"1\0\xff", 10)
    assert ring.put("b", b"2", 10)
    assert ring.put("a", b"3", 10)
    assert sorted(ring.records()) == [b"2", b"3"]


def test_every_change_has_a_version_of_its_own(ring: RedisKeyring, servers: Servers) -> None:
    place = keys.slot_of_tag(keys.CREDENTIALS)
    versions = set()
    for _ in range(3):
        ring.put("a", b"1", 10)
        versions.add(servers._node(place).command("GET", keys.API_KEYS_VERSION))
    assert len(versions) == 3


def test_there_are_so_many_and_no_more(ring: RedisKeyring) -> None:
    assert ring.put("a", b"1", 2)
    assert ring.put("b", b"1", 2)
    assert not ring.put("c", b"1", 2)
    # Those that are there can still be revoked.
    assert ring.put("a", b"revoked", 2)
    assert sorted(ring.records()) == [b"1", b"revoked"]


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    for url in ("redis://127.0.0.1:{}/0", "redis+cluster://127.0.0.1:{}"):
        ring = RedisKeyring(parse_address(url.format(free_port())))
        with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:\d+/0 cannot be reached "):
            ring.records()


def test_a_password_is_used_and_never_said(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", 0, "--requirepass", "canary-good") as node:
        place = f"127.0.0.1:{node.port}/0"
        ring = RedisKeyring(parse_address(f"redis://:canary-good@{place}"))
        assert ring.put("a", b"1", 10)
        for url in (f"redis://{place}", f"redis://:canary-bad@{place}"):
            with pytest.raises(StoreUnavailableError) as why:
                RedisKeyring(parse_address(url)).records()
            assert "canary" not in str(why.value)


def test_something_else_under_our_name_is_said(ring: RedisKeyring, servers: Servers) -> None:
    servers._node(keys.slot_of_tag(keys.CREDENTIALS)).command("SET", keys.API_KEYS, "x")
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        ring.records()
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        ring.put("a", b"1", 10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisNode, RedisNode]]:
    """A server and its replica, in step."""
    with running_node(tmp_path / "primary") as primary:
        flags = ("--replicaof", primary.host, str(primary.port))
        with running_node(tmp_path / "replica", 0, *flags) as replica:
            wait_until(lambda: lag_of(replica), "the replica is in step")
            yield primary, replica


def lag_of(replica: RedisNode) -> str:
    status: str = replica.info("replication")["master_link_status"]
    return "" if status == "up" else status


def test_what_was_put_survives_the_server_that_took_it(pair: tuple[RedisNode, RedisNode]) -> None:
    primary, replica = pair
    ring = RedisKeyring(parse_address(primary.url))
    assert ring.put("a", b"good", 10)
    primary.kill()
    replica.command("REPLICAOF", "NO", "ONE")
    assert RedisKeyring(parse_address(replica.url)).records() == [b"good"]


def test_what_no_replica_has_is_said_until_one_has_it(pair: tuple[RedisNode, RedisNode]) -> None:
    primary, replica = pair
    ring = RedisKeyring(parse_address(primary.url))
    assert ring.put("a", b"good", 10)
    replica.stop()
    primary.command("CLIENT", "KILL", "TYPE", "replica")
    assert primary.info("replication")["connected_slaves"] == "0"
    with pytest.raises(UnreplicatedError, match="no replica of Redis has it yet"):
        ring.put("a", b"revoked", 10)
    assert ring.records() == [b"revoked"]
    replica.resume()
    wait_until(lambda: refusal_of(ring), "it is where a failover finds it")
    primary.kill()
    replica.command("REPLICAOF", "NO", "ONE")
    assert RedisKeyring(parse_address(replica.url)).records() == [b"revoked"]


def refusal_of(ring: RedisKeyring) -> str:
    """Return why it is not known to be safe, trying again as the message says to."""
    try:
        ring.put("a", b"revoked", 10)
    except UnreplicatedError as error:
        return str(error)
    return ""


def test_in_a_cluster_the_replica_of_its_slot_counts(broken_cluster: RedisCluster) -> None:
    ring = RedisKeyring(parse_address(broken_cluster.url))
    assert ring.put("a", b"good", 10)
    primary = broken_cluster.primary_of(keys.slot_of_tag(keys.CREDENTIALS))
    broken_cluster.replica_of(primary).stop()
    # It is connected, and acknowledges nothing; all other primaries have theirs.
    with pytest.raises(UnreplicatedError, match="no replica of Redis has it yet"):
        ring.put("a", b"revoked", 10)
    assert ring.records() == [b"revoked"]


def test_who_may_not_ask_about_replicas_is_told_so(tmp_path: Path) -> None:
    with running_node(tmp_path / "node") as node:
        rules = ("~{credentials}:*", "+eval", "+hvals", "+hexists", "+hlen", "+hset", "+set")
        node.command("ACL", "SETUSER", "keys", "on", ">secret", *rules)
        ring = RedisKeyring(parse_address(f"redis://keys:secret@127.0.0.1:{node.port}/0"))
        with pytest.raises(UnreplicatedError, match=r"not known \(.*'info'"):
            ring.put("a", b"1", 10)
        assert ring.records() == [b"1"]
        node.command("ACL", "SETUSER", "keys", "+info", "+wait")
        assert ring.put("a", b"1", 10)
