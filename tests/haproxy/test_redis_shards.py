"""A real cluster: formed, resharded, broken and healed."""

from __future__ import annotations

from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisCluster, running_cluster
from haproxy.redis_node import RedisReplyError, RedisServerError, wait_until

pytestmark = pytest.mark.slow


def shape(cluster: RedisCluster) -> list[tuple[int, int]]:
    """Return the ports of each primary and its replica."""
    return [(node.port, cluster.replica_of(node).port) for node in cluster.primaries]


def test_three_primaries_have_a_replica_each(redis_cluster: RedisCluster) -> None:
    pairs = shape(redis_cluster)
    assert len(redis_cluster.nodes) == 6
    assert len({port for pair in pairs for port in pair}) == 6
    assert redis_cluster.url == "redis+cluster://" + ",".join(
        f"127.0.0.1:{node.port}" for node in redis_cluster.nodes[:3]
    )
    assert redis_cluster.what_is_wrong() == ""


def test_a_key_is_served_by_the_primary_of_its_slot(redis_cluster: RedisCluster) -> None:
    slot = redis_cluster.slot_of("a")
    primary = redis_cluster.primary_of(slot)
    assert slot == 15495
    assert primary.command("SET", "a", "1") == "OK"
    other = next(node for node in redis_cluster.primaries if node is not primary)
    with pytest.raises(RedisReplyError, match=f"MOVED {slot} 127.0.0.1:{primary.port}"):
        other.command("GET", "a")
    redis_cluster.flush()
    assert primary.command("GET", "a") is None


def test_a_slot_moves_with_its_keys(redis_cluster: RedisCluster) -> None:
    slot = redis_cluster.slot_of("{tag}")
    source = redis_cluster.primary_of(slot)
    to = next(node for node in redis_cluster.primaries if node is not source)
    for key in ("{tag}1", "{tag}2"):
        source.command("SET", key, key)
    redis_cluster.begin_migration(slot, to)
    redis_cluster.move_keys(slot, to, "{tag}1")
    # In between: the source sends askers on for what it has given away, and has the rest.
    with pytest.raises(RedisReplyError, match=f"ASK {slot} 127.0.0.1:{to.port}"):
        source.command("GET", "{tag}1")
    with pytest.raises(RedisReplyError, match="TRYAGAIN"):
        source.command("MGET", "{tag}1", "{tag}2")
    assert source.command("GET", "{tag}2") == "{tag}2"
    redis_cluster.end_migration(slot, to)
    assert redis_cluster.primary_of(slot) is to
    assert to.command("MGET", "{tag}1", "{tag}2") == ["{tag}1", "{tag}2"]
    redis_cluster.wait_until_healthy()
    redis_cluster.migrate_slot(slot, source)
    assert source.command("GET", "{tag}1") == "{tag}1"
    redis_cluster.wait_until_healthy()


def test_a_slot_left_open_is_closed_by_reviving(redis_cluster: RedisCluster) -> None:
    slot = redis_cluster.slot_of("open")
    source = redis_cluster.primary_of(slot)
    to = next(node for node in redis_cluster.primaries if node is not source)
    redis_cluster.begin_migration(slot, to)
    redis_cluster.revive()
    assert source.command("GET", "open") is None


def test_a_replica_is_in_step_once_it_is_sent_what_is_written(redis_cluster: RedisCluster) -> None:
    """That its primary calls it online after a whole copy is not enough."""
    primary = redis_cluster.primary_of(redis_cluster.slot_of("kept"))
    replica = redis_cluster.replica_of(primary)
    replica.kill()
    # More than the backlog, so that it must be a whole copy; and nothing is sent by itself.
    primary.command("SET", "kept", "x" * (2 << 20))
    primary.command("CONFIG", "SET", "repl-ping-replica-period", 1000)
    try:
        replica.start()

        def copied_and_sent_nothing() -> str:
            link = replica.info("replication").get("master_link_status")
            wrong = redis_cluster.what_is_wrong()
            is_so = link == "up" and wrong == f"replica {replica.port} is not in step"
            return "" if is_so else f"link {link}, {wrong or 'nothing'} is wrong"

        wait_until(copied_and_sent_nothing, "a whole copy")
        primary.command("DEL", "kept")
        redis_cluster.wait_until_healthy()
    finally:
        primary.command("CONFIG", "SET", "repl-ping-replica-period", 1)


def test_a_replica_takes_over_when_it_is_told(redis_cluster: RedisCluster) -> None:
    slot = redis_cluster.slot_of("a")
    for force in ("", "FORCE", "TAKEOVER"):
        before = redis_cluster.primary_of(slot)
        replica = redis_cluster.replica_of(before)
        redis_cluster.failover(replica, force)
        assert replica.is_primary
        redis_cluster.wait_until_healthy()
        assert redis_cluster.primary_of(slot) is replica
        assert redis_cluster.replica_of(replica) is before


def test_a_replica_that_was_elected_just_now_is_elected_anew(redis_cluster: RedisCluster) -> None:
    """Redis 7.0 would count its old votes again, and depose it a moment later."""
    slot = redis_cluster.slot_of("b")
    one = redis_cluster.primary_of(slot)
    other = redis_cluster.replica_of(one)
    redis_cluster.failover(other)
    redis_cluster.wait_until_healthy()
    # Without an election.
    redis_cluster.failover(one, "TAKEOVER")
    redis_cluster.wait_until_healthy()
    redis_cluster.failover(other)
    redis_cluster.wait_until_healthy()
    assert redis_cluster.primary_of(slot) is other


def test_the_dead_and_the_stopped_come_back(broken_cluster: RedisCluster) -> None:
    first, second, _ = broken_cluster.primaries
    slot = broken_cluster.slot_of("a")
    replica = broken_cluster.replica_of(first)
    first.kill()
    assert broken_cluster.replica_of(first) is replica
    assert f"node {first.port} does not run" in broken_cluster.what_is_wrong()
    second.stop()
    assert second not in broken_cluster.primaries
    broken_cluster.revive()
    assert len(shape(broken_cluster)) == 3
    assert broken_cluster.primary_of(slot).command("SET", "a", "1") == "OK"


def test_a_primary_that_stays_dead_is_replaced_and_replicates_when_it_comes_back(
    broken_cluster: RedisCluster,
) -> None:
    slot = broken_cluster.slot_of("a")
    primary = broken_cluster.primary_of(slot)
    replica = broken_cluster.replica_of(primary)
    primary.kill()
    wait_until(lambda: "" if replica.is_primary else "it is a replica", "the failover")
    assert broken_cluster.primary_of(slot) is replica
    broken_cluster.revive()
    assert broken_cluster.replica_of(replica) is primary


def test_a_shard_that_died_as_a_whole_comes_back_empty(broken_cluster: RedisCluster) -> None:
    slot = broken_cluster.slot_of("a")
    primary = broken_cluster.primary_of(slot)
    primary.command("SET", "a", "1")
    for node in (broken_cluster.replica_of(primary), primary):
        node.kill()
    with pytest.raises(RedisServerError, match=f"nobody serves slot {slot}"):
        broken_cluster.primary_of(slot)
    with pytest.raises(RedisServerError, match="nobody replicates"):
        broken_cluster.replica_of(primary)
    broken_cluster.revive()
    assert broken_cluster.primary_of(slot).command("GET", "a") is None


def test_a_cluster_can_be_small_and_have_a_password(tmp_path: Path) -> None:
    login = ("--requirepass", "p4ss", "--masterauth", "p4ss")
    with running_cluster(tmp_path, 3, 0, flags=login) as cluster:
        slot = cluster.slot_of("a")
        source = cluster.primary_of(slot)
        source.command("SET", "a", "1")
        to = next(node for node in cluster.nodes if node is not source)
        cluster.migrate_slot(slot, to)
        assert to.command("GET", "a") == "1"
        for node in cluster.nodes:
            node.stop()
    assert not any(node.is_alive for node in cluster.nodes)
