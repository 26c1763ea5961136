"""Commands, scripts and their faults, on one real server and on a real cluster."""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path

import pytest
import trio

from haproxy.redis_cluster import RedisCluster, running_node
from session.errors import StoreUnavailableError
from session.redis.commands import Script
from session.redis.topology import key_slot
from tests.proxy import ClusterProxy, Proxy
from tests.session.redis.running import Ear, Running, running_client, until

CANCELLED = int(os.environ.get("CANCELLED", "20000"))
pytestmark = pytest.mark.slow

SWAP = Script(
    "swap",
    "local old = redis.call('GET', KEYS[1])\nredis.call('SET', KEYS[1], ARGV[1])\nreturn old",
)
COUNT = Script(
    "count",
    "if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then redis.call('INCR', KEYS[2]) end\n"
    "return redis.call('GET', KEYS[2])",
)


async def test_a_command_and_its_reply(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        assert await it.set("a", 1) == b"OK"
        assert await it.get("a") == b"1"
        assert await it.get("nothing") is None
        assert await it.command("h", "HSET", "h", "x", "y") == 1
        assert await it.command("h", "HGETALL", "h") == {b"x": b"y"}
        assert it.client.is_usable()


async def test_an_error_is_said_as_the_servers_words(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        await it.set("a", "text")
        with pytest.raises(StoreUnavailableError, match="not an integer"):
            await it.command("a", "INCR", "a")
        with pytest.raises(StoreUnavailableError, match="unknown command"):
            await it.command("a", "NONSENSE")
        assert await it.get("a") == b"text"


async def test_what_one_turn_asks_leaves_in_one_write(redis_url: str) -> None:
    # However slow the machine is, nothing is asked meanwhile to see whether Redis answers.
    async with running_client(redis_url, reply_seconds=60) as it:
        # Nor is anything still to come that was asked when it connected.
        assert await it.get("a") is None
        before = it.connections.statistics().sends
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(it.set, f"k{number}", number)
        assert it.connections.statistics().sends - before == 1


async def test_a_job_waits_without_a_task(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        done = trio.Event()

        async def ask() -> None:
            await it.set("a", 1)
            assert await it.get("a") == b"1"
            done.set()

        assert it.workers.start("lane", ask()) is not None
        assert it.workers.statistics().parked == 1
        await done.wait()
        assert it.workers.statistics().parked == 0
        assert it.workers.statistics().finished == 0


async def test_replies_that_are_still_owed_are_gathered(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        owed = it.client.owed
        assert it.connections.gathering.owed == owed
        it.connections.gathering.owed = None  # who polls would ask, too
        await it.command("a", "CLIENT", "PAUSE", 300)
        owed()
        promises = [it.client.call(SWAP, (b"a%d" % n,), (n,)) for n in range(100)]
        # What has just been asked may be answered at once.
        assert owed() == 0
        assert owed() == 100
        promises.append(it.client.call(SWAP, (b"b",), (1,)))
        assert (owed(), owed()) == (100, 101)
        assert [await each for each in promises] == [None] * 101
        assert owed() == 0


async def test_d12_a_script_is_loaded_when_a_server_does_not_know_it(redis_url: str) -> None:
    async with running_client(redis_url) as it:
        assert await it.client.call(SWAP, (b"a",), ("1",)) is None
        assert await it.client.call(SWAP, (b"a",), ("2",)) == b"1"
        await it.command("a", "SCRIPT", "FLUSH")
        promises = [it.client.call(SWAP, (b"a%d" % n,), (n,)) for n in range(100)]
        assert [await each for each in promises] == [None] * 100
        assert await it.client.call(SWAP, (b"a",), ("3",)) == b"2"


async def test_d12_scripts_are_loaded_at_every_node(redis_cluster: RedisCluster) -> None:
    async with running_client(redis_cluster.url) as it:
        for _ in range(2):
            for number in range(20):
                await it.client.call(SWAP, (b"k%d" % number,), ("x",))
            for node in redis_cluster.primaries:
                node.command("SCRIPT", "FLUSH")
        assert it.client.statistics().scripts_reloaded >= 4


async def test_d5_a_reply_that_was_lost_after_execution(redis_url: str) -> None:
    """The script is idempotent: done twice, it has counted once."""
    async with running_client(redis_url) as setup:
        with Proxy(("127.0.0.1", _port(redis_url))) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            it = Running(setup.nursery)
            it.connections, it.timers = setup.connections, setup.timers
            it.client = await it.open(url, {})
            await it.client.call(COUNT, (b"{a}once", b"{a}count"), ("first",))
            for number in range(20):
                proxy.lose_replies(1, lambda data: b"EVALSHA" in data)
                once = b"{a}%d" % number
                await it.client.call(COUNT, (once, b"{a}count"), ("x",))
            assert await it.get("{a}count") == b"21"
            assert it.client.statistics().retries >= 20
            assert proxy.replies_lost == 20


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_d4_every_echo_is_its_own_whoever_is_cancelled(redis_url: str) -> None:
    """Commands through a slow line, a third of them cancelled, until so many of them are.

    CANCELLED=100000 in the environment cancels so many.
    """
    asked = matched = cancelled = 0
    async with running_client(redis_url) as setup:
        with Proxy(("127.0.0.1", _port(redis_url))) as proxy:
            proxy.delay(0.003)
            it = Running(setup.nursery)
            it.connections, it.timers = setup.connections, setup.timers
            it.client = await it.open(f"redis://127.0.0.1:{proxy.port}/0", {})

            async def ask(word: bytes) -> None:
                nonlocal matched
                assert await it.client.execute("ECHO", word, slot=0) == word
                matched += 1

            async def ask_in_task(word: bytes, scope: trio.CancelScope) -> None:
                nonlocal cancelled
                with scope:
                    await ask(word)
                cancelled += scope.cancelled_caught

            while cancelled < CANCELLED:
                wave, asked = asked, asked + 5_000
                jobs = [
                    setup.workers.start("lane", ask(b"%d.%d" % (wave, number)))
                    for number in range(4_500)
                ]
                async with trio.open_nursery() as nursery:
                    scopes = [trio.CancelScope() for _ in range(500)]
                    for number, scope in enumerate(scopes):
                        nursery.start_soon(ask_in_task, b"task %d" % number, scope)
                    await trio.sleep(secrets.randbelow(8) / 1000)
                    for job in jobs:
                        if job is not None and not job.done and not secrets.randbelow(3):
                            job.cancel()
                            cancelled += 1
                    for scope in scopes[::3]:
                        scope.cancel()
                await setup.workers.drain()
            assert matched + cancelled == asked
            assert matched > cancelled
            # What was cancelled last may be on its way still; this comes behind it.
            assert await it.client.execute("ECHO", b"last", slot=0) == b"last"
            assert it.client.statistics().in_flight == 0
            assert setup.workers.statistics().failed == 0


async def test_d1_a_slot_moves_under_load(redis_cluster: RedisCluster) -> None:
    """MOVED, ASK and TRYAGAIN during a real migration, for commands and scripts."""
    keys = [f"{{move}}{number}" for number in range(40)]
    slot = key_slot(b"{move}")
    source = redis_cluster.primary_of(slot)
    target = next(node for node in redis_cluster.primaries if node is not source)
    async with running_client(redis_cluster.url) as it:
        expected: dict[str, int] = {}
        stopping = False

        async def load(key: str) -> None:
            number = 0
            while not stopping:
                number += 1
                await it.set(key, number)
                old = await it.client.call(SWAP, (key.encode(),), (number + 1,))
                assert old == b"%d" % number
                number += 1
                # Two keys that may be on both sides: TRYAGAIN until they are on one.
                assert b"%d" % number in await it.command(key, "MGET", key, keys[0])
                expected[key] = number

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(load, key)
            await until(lambda: len(expected) == len(keys))
            run = trio.to_thread.run_sync
            await run(redis_cluster.begin_migration, slot, target)
            await run(redis_cluster.move_keys, slot, target, *keys[: len(keys) // 2])
            asked = it.client.statistics().asked
            await until(lambda: it.client.statistics().asked > asked)
            await run(redis_cluster.move_keys, slot, target, *keys[len(keys) // 2 :])
            await run(redis_cluster.end_migration, slot, target)
            moved = it.client.statistics().moved
            stopping = True
        for key in keys:
            assert await it.get(key) == b"%d" % expected[key]
        assert redis_cluster.primary_of(slot) == target
        statistics = it.client.statistics()
        assert statistics.asked
        assert statistics.moved >= moved
        assert statistics.expired == 0
        await run(redis_cluster.migrate_slot, slot, source)


async def test_a_tracked_read_is_invalidated_by_others(redis_cluster: RedisCluster) -> None:
    async with running_client(redis_cluster.url) as it:
        heard: list[bytes | None] = []
        it.client.on_invalidated = heard.append
        other = await it.open(redis_cluster.url, {})
        await it.set("t", 1)
        assert await it.client.read_tracked(b"t") == b"1"
        await other.execute("SET", "t", 2, slot=key_slot(b"t"))
        await until(lambda: heard == [b"t"])
        assert await it.client.read_tracked(b"t") == b"2"


async def test_while_its_slot_moves_nobody_remembers_a_tracked_read(
    redis_cluster: RedisCluster,
) -> None:
    slot = key_slot(b"tracked")
    source = redis_cluster.primary_of(slot)
    target = next(node for node in redis_cluster.primaries if node is not source)
    async with running_client(redis_cluster.url) as it:
        await it.set("tracked", 1)
        heard: list[bytes | None] = []
        it.client.on_invalidated = heard.append
        redis_cluster.begin_migration(slot, target)
        redis_cluster.move_keys(slot, target, "tracked")
        assert await it.client.read_tracked(b"tracked") == b"1"
        assert heard == [b"tracked"]
        redis_cluster.end_migration(slot, target)
        redis_cluster.migrate_slot(slot, source)


async def test_a_write_counts_when_replicas_have_it(redis_cluster: RedisCluster) -> None:
    async with running_client(redis_cluster.url, reply_seconds=60) as it:
        await it.client.call(SWAP, (b"r",), ("0",))
        before = it.connections.statistics().sends
        promises = [it.client.call(SWAP, (b"r",), (n,), replicas=1) for n in range(1, 4)]
        assert [await each for each in promises] == [b"0", b"1", b"2"]
        # Three scripts and one WAIT for all of them: outside of a turn each write of a
        # task waits for the end of its tick.
        assert it.connections.statistics().sends - before == 1
        replica = redis_cluster.replica_of(redis_cluster.primary_of(key_slot(b"r")))
        assert replica.info("keyspace")


async def test_too_few_replicas_are_an_unknown_outcome(redis_cluster: RedisCluster) -> None:
    async with running_client(redis_cluster.url, command_seconds=1.0) as it:
        with pytest.raises(StoreUnavailableError, match="unknown"):
            await it.client.call(SWAP, (b"r2",), ("1",), replicas=2)
        assert await it.get("r2") == b"1"


async def test_memory_that_is_full_is_an_error_at_once(tmp_path: Path) -> None:
    with running_node(tmp_path, 0, "--maxmemory", "1") as node:
        async with running_client(node.url) as it:
            with pytest.raises(StoreUnavailableError, match="memory is full"):
                await it.set("a", "b")
            with pytest.raises(StoreUnavailableError, match="memory is full"):
                await it.client.call(SWAP, (b"a",), ("b",))


@pytest.mark.parametrize("bound", ["in_flight", "in_flight_bytes"])
async def test_what_has_no_room_in_flight_waits(redis_url: str, bound: str) -> None:
    limits = {"in_flight": 10} if bound == "in_flight" else {"in_flight_bytes": 64 * 1024}
    async with running_client(redis_url, **limits) as it:
        promises = [it.client.execute("ECHO", b"x" * 10_000, slot=0) for _ in range(100)]
        assert it.client.statistics().in_flight <= 10
        assert it.client.statistics().waiting >= 90
        for each in promises:
            assert len(await each) == 10_000
        assert it.client.statistics().waiting == it.client.statistics().waiting_bytes == 0


@pytest.mark.parametrize("bound", ["waiting", "waiting_bytes"])
async def test_what_has_no_room_to_wait_is_refused(redis_url: str, bound: str) -> None:
    limits = {"waiting": 5} if bound == "waiting" else {"waiting_bytes": 64 * 1024}
    async with running_client(redis_url, in_flight=5, **limits) as it:
        promises = [it.client.execute("ECHO", b"x" * 12_000, slot=0) for _ in range(11)]
        with pytest.raises(StoreUnavailableError, match="wait for Redis already"):
            await promises[-1]
        for each in promises[:10]:
            await each
        assert it.client.statistics().refused == 1


async def test_who_is_in_a_hurry_is_refused_by_a_node_that_is_away(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url, patience_seconds=0.3, command_seconds=60) as it:
            node.kill()
            await until(lambda: not it.client.is_usable())
            # Also who asks while it is not known yet whether the node comes back.
            with pytest.raises(StoreUnavailableError, match="away"), trio.fail_after(30):
                await it.command("a", "GET", "a", eager=True)
            waiting = it.client.execute("SET", "a", 1, slot=0)
            assert not waiting.done
            node.start()
            assert await waiting == b"OK"
            assert await it.command("a", "GET", "a", eager=True) == b"1"


async def test_a_node_that_freezes_is_noticed_though_nobody_asks_it_anything(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url, patience_seconds=0.1, reply_seconds=0.2) as it:
            node.stop()
            await until(lambda: not it.client.is_usable())
            commands = it.client.statistics().commands
            with pytest.raises(StoreUnavailableError, match="away"):
                await it.command("a", "GET", "a", eager=True)
            assert it.client.statistics().commands == commands + 1
            node.resume()
            await until(it.client.is_usable)


async def test_a_command_ends_at_its_deadline(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url, command_seconds=0.5, reply_seconds=0.2) as it:
            node.stop()
            promises = [it.client.execute("SET", "a", n, slot=0) for n in range(10)]
            for each in promises:
                with pytest.raises(StoreUnavailableError, match="outcome is unknown"):
                    await each
            node.resume()
            await until(it.client.is_usable)
            assert await it.set("a", 1) == b"OK"


async def test_a_publication_that_is_answered_late_follows_its_slot(
    redis_cluster: RedisCluster,
) -> None:
    """Nobody waits for it, so it is not what expires; its link is cut when it is silent."""
    slot = key_slot(b"late")
    source = redis_cluster.primary_of(slot)
    target = next(node for node in redis_cluster.primaries if node is not source)
    with ClusterProxy(redis_cluster) as proxies:
        limits = {"command_seconds": 0.3, "reply_seconds": 60}
        translate = functools.partial(_translated, proxies)
        async with running_client(proxies.url, translate=translate, **limits) as it:
            ear = Ear()
            (await it.open(redis_cluster.url, {})).subscribe(b"late", ear)
            await ear.wait_for("subscribed")
            proxies.of(source).blackhole(hold=True)
            assert it.client.publish(b"late", b"hello")
            # It was sent behind the publication, and is looked at behind it.
            with pytest.raises(StoreUnavailableError, match="no reply"):
                await it.get("late")
            assert it.client.statistics().expired == 1
            await trio.to_thread.run_sync(redis_cluster.migrate_slot, slot, target)
            await ear.wait_for("subscribed", "unsubscribed", "subscribed")
            proxies.of(source).heal()
            await ear.wait_for(b"hello")
            assert it.client.statistics().dropped == 0
            await trio.to_thread.run_sync(redis_cluster.migrate_slot, slot, source)


async def test_at_the_end_nobody_is_left_waiting(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        async with running_client(node.url) as it:
            node.stop()
            sent = it.client.execute("GET", "a", slot=0)
            await it.connections.wait_until_sent()
        with pytest.raises(StoreUnavailableError, match="ended"):
            await sent
        with pytest.raises(StoreUnavailableError, match="ended"):
            await it.client.execute("GET", "a", slot=0)


async def test_through_a_proxy_that_slices_every_reply(redis_cluster: RedisCluster) -> None:
    with ClusterProxy(redis_cluster) as proxies:
        translate = functools.partial(_translated, proxies)
        async with running_client(proxies.url, translate=translate) as it:
            for proxy in proxies:
                proxy.slice(3)
            for number in range(10):
                await it.set(f"k{number}", "x" * 50)
                assert await it.get(f"k{number}") == b"x" * 50


def _translated(proxies: ClusterProxy, place: tuple[str, int]) -> tuple[str, int]:
    return proxies.addresses.get(place, place)
