"""Nodes that die, stop, change their roles or their addresses, under load."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from haproxy.redis_cluster import RedisCluster, RedisNode, running_cluster, running_node
from haproxy.redis_node import started
from session.errors import StoreUnavailableError
from session.redis.topology import key_slot
from tests.proxy import ClusterProxy
from tests.session.redis.running import Running, running_client, until, why_unusable

pytestmark = pytest.mark.slow

#: What a recovery may take, and is tried for.
_RECOVERY_SECONDS = 15.0


class Load:
    """Writes that go on, and whether any of them failed or stood still for too long."""

    def __init__(self, it: Running, tasks: int = 30) -> None:
        self.it = it
        self.keys = [f"load{number}" for number in range(tasks)]
        self.written = dict.fromkeys(self.keys, 0)
        self.longest = 0.0
        self.stopping = False

    async def write(self, key: str) -> None:
        number = 0
        while not self.stopping:
            number += 1
            begun = trio.current_time()
            assert await self.it.set(key, number) == b"OK"
            self.longest = max(self.longest, trio.current_time() - begun)
            self.written[key] = number
            await trio.sleep(0.002)

    def all_after(self, before: dict[str, int]) -> bool:
        """Return whether every key was written twice since then: once begun after it."""
        return all(self.written[key] > before[key] + 1 for key in self.keys)

    async def during(self, fault: Callable[[], Awaitable[None]]) -> None:
        """Write before, during and after a fault, until all goes on."""
        async with trio.open_nursery() as nursery:
            for key in self.keys:
                nursery.start_soon(self.write, key)
            await until(lambda: self.all_after(dict.fromkeys(self.keys, 0)))
            await fault()
            before = dict(self.written)
            await until(lambda: self.all_after(before), _RECOVERY_SECONDS + 5)
            self.stopping = True
        assert self.longest <= _RECOVERY_SECONDS
        assert self.it.client.statistics().expired == 0


@pytest.mark.parametrize("fault", ["kill", "stop", "FAILOVER", "TAKEOVER"])
async def test_d2_commands_survive_the_loss_of_a_primary(
    broken_cluster: RedisCluster, fault: str
) -> None:
    async with running_client(broken_cluster.url) as it:
        primary = broken_cluster.primary_of(key_slot(b"load0"))
        replica = broken_cluster.replica_of(primary)

        async def act() -> None:
            if fault in ("kill", "stop"):
                getattr(primary, fault)()
            else:
                assert fault in ("FAILOVER", "TAKEOVER")
                take_over = partial(broken_cluster.failover, replica)
                if fault == "TAKEOVER":
                    take_over = partial(broken_cluster.failover, replica, "TAKEOVER")
                await trio.to_thread.run_sync(take_over)

        await Load(it).during(act)
        # One of the others may still tell of the time before; then it is asked again.
        await until(lambda: it.client.node_of(key_slot(b"load0")).place == replica.address)


async def test_d9_all_links_lost_at_once_come_back_few_at_a_time(
    redis_cluster: RedisCluster,
) -> None:
    with ClusterProxy(redis_cluster) as proxies:
        translate = partial(_translated, proxies)
        async with running_client(proxies.url, translate=translate) as it:
            for _ in range(3):
                before = sum(proxy.connections for proxy in proxies)
                for proxy in proxies:
                    proxy.cut()
                await until(lambda: not it.client.is_usable())
                promises = [
                    it.client.execute("SET", f"k{n}", n, slot=key_slot(b"k%d" % n))
                    for n in range(100)
                ]
                assert {await each for each in promises} == {b"OK"}
                await until(it.client.is_usable)
                # One for each primary, and what asks who has which slot meanwhile.
                assert sum(proxy.connections for proxy in proxies) - before <= 12


async def test_d9_attempts_are_spread_and_grow_rarer(redis_cluster: RedisCluster) -> None:
    with ClusterProxy(redis_cluster) as proxies:
        translate = partial(_translated, proxies)
        async with running_client(proxies.url, translate=translate) as it:
            attempts: list[float] = []
            for proxy in proxies:
                proxy.watch(lambda *_: attempts.append(1.0))
                proxy.blackhole()
            before = sum(proxy.connections for proxy in proxies)
            await trio.sleep(4)
            # Six nodes, a second or more for each attempt once it has failed twice.
            assert sum(proxy.connections for proxy in proxies) - before <= 40
            for proxy in proxies:
                proxy.calm()
            await until(it.client.is_usable)


async def test_d10_every_address_is_replaced(tmp_path: Path, redis_cluster: RedisCluster) -> None:
    """The cluster behind the seeds' names is another one: its seeds lead there."""
    with running_cluster(tmp_path) as other, ClusterProxy(redis_cluster) as proxies:
        known = dict(proxies.addresses)
        seed_ports = {proxies.of(node).port: node for node in redis_cluster.nodes}
        assert seed_ports

        def translate(place: tuple[str, int]) -> tuple[str, int]:
            return known.get(place, place)

        async with running_client(proxies.url, translate=translate) as it:
            await it.set("a", "old")
            for node, new in zip(redis_cluster.nodes, other.nodes, strict=True):
                proxy = proxies.of(node)
                # What was there is gone, and the name leads to the new one.
                proxy.target = new.address
                proxy._traffic.target = new.address
                known[new.address] = proxy.address
                known[node.address] = ("127.0.0.1", 1)
                proxy.cut()
            assert await it.set("a", "new") == b"OK"
            assert other.primary_of(key_slot(b"a")).command("GET", "a") == "new"
            await until(it.client.is_usable)
            names = {node.name for node in it.client.statistics().nodes}
            assert names == {f"127.0.0.1:{node.port}" for node in other.primaries}


class Names(trio.abc.HostnameResolver):
    """What names mean at the moment, to who runs in this loop; addresses are not asked for."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.refused = 0

    async def getaddrinfo(  # noqa: PLR0917 - as the socket module has it
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as above
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        await trio.lowlevel.checkpoint()
        found = self.addresses.get((host or b"").decode(), [])
        if not found:
            self.refused += 1
            raise socket.gaierror(socket.EAI_NONAME, "there is no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_d10_every_address_behind_a_seeds_name_changes(tmp_path: Path) -> None:
    """As when a deployment is replaced: other nodes, other addresses, and the same name."""
    with running_cluster(tmp_path / "old", 3, 0) as old:
        port = old.nodes[0].port
        # Its first node has the same port at another address, also for those that it talks to.
        here = "127.0.0.2"
        flags = ("--bind", here, "--bind-source-addr", here, "--cluster-announce-ip", here)
        with running_cluster(tmp_path / "new", 3, 0, port=port, flags=flags) as new:
            names = Names(redis=["127.0.0.1"])
            trio.socket.set_custom_hostname_resolver(names)
            async with running_client(f"redis+cluster://redis:{port}") as it:
                for number in range(20):
                    await it.set(f"k{number}", "old")
                names.addresses = {}
                for node in old.nodes:
                    node.kill()
                waiting = [it.set(f"k{number}", "new") for number in range(20)]
                async with trio.open_nursery() as nursery:
                    for each in waiting:
                        nursery.start_soon(awaited, each)
                    # For a while the name means nothing, then one of its addresses is dead.
                    await until(lambda: names.refused > 0)
                    names.addresses = {"redis": ["127.0.0.3", here]}
                await until(it.client.is_usable)
                places = {node.name for node in it.client.statistics().nodes}
                assert places == {f"{here}:{node.port}" for node in new.nodes}
                for number in range(20):
                    assert await it.get(f"k{number}") == b"new"


async def awaited(reply: Awaitable[Any]) -> None:
    assert await reply == b"OK"


async def test_a_server_that_was_restarted_is_used_again(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url) as it:
            for _ in range(3):
                await it.set("a", 1)
                await trio.to_thread.run_sync(node.restart)
            assert await it.get("a") is None
            assert it.client.statistics().reconnects == 3


async def test_a_cluster_that_is_down_answers_when_it_is_up_again(
    broken_cluster: RedisCluster,
) -> None:
    """Two of three primaries and their replicas die: there is no majority to go on."""
    async with running_client(broken_cluster.url) as it:
        slot = key_slot(b"a")
        survivor = broken_cluster.primary_of(slot)
        dead: list[RedisNode] = []
        for primary in broken_cluster.primaries:
            if primary is not survivor:
                dead += [primary, broken_cluster.replica_of(primary)]
        for node in dead:
            node.kill()
        await until(lambda: not it.client.is_usable())

        async def refused() -> bool:
            with trio.move_on_after(0.2):
                try:
                    await it.command("a", "SET", "a", 1, eager=True)
                except StoreUnavailableError:
                    return True
            return False

        with trio.fail_after(15):
            while not await refused():
                pass
        waiting = it.client.execute("SET", "a", 2, slot=slot)
        for node in dead:
            await trio.to_thread.run_sync(node.start)
        assert await waiting == b"OK"


async def test_slots_that_nobody_serves_are_said_at_the_start(tmp_path: Path) -> None:
    node = started(tmp_path, cluster=True)
    try:
        url = f"redis+cluster://127.0.0.1:{node.port}"
        said = await why_unusable(url, start_seconds=2)
    finally:
        node.kill()
    assert said.startswith("nobody serves 16384 of the 16384 slots; start the nodes that had them")
    assert said.endswith(f"`redis-cli --cluster fix 127.0.0.1:{node.port}`")


def _translated(proxies: ClusterProxy, place: tuple[str, int]) -> tuple[str, int]:
    return proxies.addresses.get(place, place)
