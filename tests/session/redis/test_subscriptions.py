"""Channels follow their slots, and silence is looked into."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import trio

from haproxy.redis_cluster import RedisCluster, running_node
from session.redis.topology import key_slot
from tests.proxy import ClusterProxy, once
from tests.session.redis.running import Ear, Running, running_client, until

pytestmark = pytest.mark.slow


async def hear(it: Running, ear: Ear, channel: bytes, payload: bytes) -> None:
    """Publish until it is heard: a publication is dropped while its node is away."""
    with trio.fail_after(20):
        while payload not in ear.log:
            it.client.publish(channel, payload)
            await trio.sleep(0.05)


async def test_what_is_published_is_heard(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        ear = Ear()
        it.client.subscribe(b"c", ear)
        await ear.wait_for("subscribed")
        assert it.client.publish(b"c", b"hello")
        it.client.publish(b"other", b"not for us")
        await ear.wait_for("subscribed", b"hello")
        with pytest.raises(ValueError, match="already"):
            it.client.subscribe(b"c", ear)
        it.client.unsubscribe(b"c")
        it.client.unsubscribe(b"unknown")
        node = it.client.node_of(0)
        await until(lambda: node.ear is not None and not node.ear.awaiting)
        it.client.publish(b"c", b"never")
        await it.set("after", "the publication")
        it.client.subscribe(b"c", ear)
        await ear.wait_for("subscribed", b"hello", "subscribed")
        assert it.client.statistics().subscribed == 1


async def test_a_missing_permission_to_subscribe_is_known_with_what_to_grant(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path) as node:
        node.command("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all", "-ssubscribe")
        async with running_client(f"redis://deaf:secret@127.0.0.1:{node.port}") as it:
            assert it.client.statistics().nodes[0].trouble == ""
            ear = Ear()
            it.client.subscribe(b"c", ear)
            await until(lambda: it.client.statistics().nodes[0].refusal != "")
            known = it.client.statistics().nodes[0]
            assert known.trouble == known.refusal
            assert "user deaf may not do what is needed" in known.trouble
            assert "'ssubscribe'" in known.trouble
            assert "session/redis/README.md lists under Permissions" in known.trouble
            # It serves all the same, and is asked again.
            assert not known.is_away
            assert it.client.is_usable()
            node.command("ACL", "SETUSER", "deaf", "+ssubscribe")
            await ear.wait_for("subscribed")


async def test_channels_of_all_nodes_are_heard(redis_cluster: RedisCluster) -> None:
    async with running_client(redis_cluster.url) as it:
        ears = {b"c%d" % number: Ear() for number in range(50)}
        for channel, ear in ears.items():
            it.client.subscribe(channel, ear)
        for channel, ear in ears.items():
            await ear.wait_for("subscribed")
            it.client.publish(channel, channel)
            await ear.wait_for("subscribed", channel)


async def test_d7_a_subscription_moves_with_its_slot(redis_cluster: RedisCluster) -> None:
    slot = key_slot(b"moving")
    source = redis_cluster.primary_of(slot)
    target = next(node for node in redis_cluster.primaries if node is not source)
    async with running_client(redis_cluster.url) as it:
        ear = Ear()
        it.client.subscribe(b"moving", ear)
        await ear.wait_for("subscribed")
        await trio.to_thread.run_sync(redis_cluster.migrate_slot, slot, target)
        await ear.wait_for("subscribed", "unsubscribed", "subscribed", seconds=5)
        await hear(it, ear, b"moving", b"from its new home")
        await trio.to_thread.run_sync(redis_cluster.migrate_slot, slot, source)
        await ear.wait_for("unsubscribed", "subscribed", seconds=5)
        await hear(it, ear, b"moving", b"at home")


async def test_d6_a_subscription_survives_the_death_of_its_node(
    broken_cluster: RedisCluster,
) -> None:
    async with running_client(broken_cluster.url) as it:
        ear = Ear()
        it.client.subscribe(b"c", ear)
        await ear.wait_for("subscribed")
        broken_cluster.primary_of(key_slot(b"c")).kill()
        await ear.wait_for("subscribed", "unsubscribed")
        await ear.wait_for("unsubscribed", "subscribed")
        await hear(it, ear, b"c", b"again")


async def test_d6_a_black_hole_is_found_by_a_probe(redis_cluster: RedisCluster) -> None:
    """The link of commands is well; that of subscriptions stays open and carries nothing more."""
    with ClusterProxy(redis_cluster) as proxies:
        translate = functools.partial(_translated, proxies)
        async with running_client(
            proxies.url, translate=translate, probe_seconds=0.3, reply_seconds=3
        ) as it:
            ear = Ear()
            it.client.subscribe(b"c", ear)
            await ear.wait_for("subscribed")
            await until(lambda: it.client.statistics().probes >= 3)
            assert it.client.statistics().probes_lost == 0
            # Probes are heard, and kept to ourselves.
            assert ear.log == ["subscribed"]
            line = proxies.of(redis_cluster.primary_of(key_slot(b"c")))
            connections, open_ones = line.connections, line.open_connections
            reconnects = it.client.statistics().reconnects
            line.silence(once(b"smessage"))
            it.client.publish(b"c", b"into the void")
            await ear.wait_for("subscribed", "unsubscribed", "subscribed")
            assert it.client.statistics().probes_lost == 1
            # It was ended from here, and is the only one that was.
            assert it.client.statistics().reconnects == reconnects
            assert line.connections > connections
            assert line.open_connections >= open_ones
            await hear(it, ear, b"c", b"again")
            assert b"into the void" not in ear.log


async def test_what_cannot_be_sent_is_dropped_and_counted(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url) as it:
            node.kill()
            await until(lambda: not it.client.is_usable())
            assert not it.client.publish(b"c", b"x")
            assert it.client.statistics().dropped == 1


def _translated(proxies: ClusterProxy, place: tuple[str, int]) -> tuple[str, int]:
    return proxies.addresses.get(place, place)
