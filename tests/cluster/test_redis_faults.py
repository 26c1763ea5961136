"""Nodes of the cluster die, stop, lose their place and their slots, under load.

Nothing accepted is lost, nothing is accepted twice, and soon all goes on: the gateways
are the same for all tests here, so each shows that the one before did no lasting harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import trio

from gateway.app import ANYBODY
from haproxy.redis_cluster import RedisCluster, RedisNode
from haproxy.redis_node import RedisServerError, wait_until
from session.redis.keys import PLACES, presence, slot_of
from tests.cluster.history import final_store
from tests.cluster.instances import Instance, running_instances, until
from tests.cluster.load import under_load
from tests.interop.person import person_at
from tests.live.caller import caller_at, text_of
from tests.passing import passing

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 90
# An election takes a node's timeout of two seconds and a little more.
RECOVERY_SECONDS = 15


@pytest.fixture(scope="module")
def fast(fragile_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """Gateways as they are by default."""
    with running_instances(fragile_cluster.url, 2) as two:
        yield two


@pytest.fixture(scope="module")
def replicated(fragile_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """Gateways for which nothing counts before a replica has it."""
    with running_instances(fragile_cluster.url, 2, "--redis-durability", "replicated") as two:
        yield two


@pytest.fixture(autouse=True)
def healed(fragile_cluster: RedisCluster) -> Iterator[None]:
    """The cluster is well before and after each test; its keys stay."""
    fragile_cluster.wait_until_healthy()
    yield
    fragile_cluster.revive()


def a_primary(cluster: RedisCluster) -> RedisNode:
    return cluster.primary_of(PLACES[5].slot)


def killed(cluster: RedisCluster) -> None:
    a_primary(cluster).kill()


def stopped(cluster: RedisCluster) -> None:
    a_primary(cluster).stop()


def failed_over(cluster: RedisCluster) -> None:
    cluster.failover(cluster.replica_of(a_primary(cluster)))


def taken_over(cluster: RedisCluster) -> None:
    cluster.failover(cluster.replica_of(a_primary(cluster)), "TAKEOVER")


def resharded(cluster: RedisCluster) -> None:
    """Move a place, with questions, events and subscriptions, and back again."""
    source = a_primary(cluster)
    target = next(node for node in cluster.primaries if node is not source)
    cluster.migrate_slot(PLACES[5].slot, target)
    cluster.migrate_slot(PLACES[5].slot, source)


def scripts_flushed(cluster: RedisCluster) -> None:
    for node in cluster.primaries:
        node.command("SCRIPT", "FLUSH")


async def went_wrong(
    cluster: RedisCluster,
    instances: list[Instance],
    fault: Callable[[RedisCluster], object],
    mend: Callable[[RedisCluster], object] = lambda _cluster: None,
) -> tuple[list[str], float]:
    """Break the cluster under load; return what went wrong and how long it took to recover."""
    with trio.fail_after(PATIENCE):
        async with under_load(instances) as load, passing() as seconds:
            await trio.to_thread.run_sync(fault, cluster)
            await trio.to_thread.run_sync(mend, cluster)
            await load.works_everywhere()
            took = seconds()
        await trio.to_thread.run_sync(cluster.revive)
    stored = await trio.to_thread.run_sync(final_store, cluster.primaries)
    wrongs = load.history.wrongs(stored)
    print(f"{fault.__name__}: of {len(load.history.asks)} asks {len(wrongs)} went wrong: {wrongs}")
    return wrongs, took


@pytest.mark.parametrize(
    "fault", [killed, stopped, failed_over, taken_over, resharded, scripts_flushed]
)
async def test_all_goes_on_when_a_primary_changes(
    fragile_cluster: RedisCluster,
    fast: list[Instance],
    record_property: Callable[[str, object], None],
    fault: Callable[[RedisCluster], object],
) -> None:
    """None of the nodes comes back before operation has recovered."""
    wrongs, took = await went_wrong(fragile_cluster, fast, fault)
    print(f"{fault.__name__}: all places work after {took:.1f} s")
    record_property("recovered_after_seconds", round(took, 1))
    if fault is not taken_over:
        # What a primary accepts that others have already replaced is gone, with durability fast.
        assert wrongs == []
    assert [wrong for wrong in wrongs if wrong.startswith("crossed")] == []
    assert took < RECOVERY_SECONDS


@pytest.mark.parametrize("fault", [killed, stopped, failed_over, taken_over])
async def test_nothing_accepted_is_lost_when_replicas_must_have_it(
    fragile_cluster: RedisCluster,
    replicated: list[Instance],
    record_property: Callable[[str, object], None],
    fault: Callable[[RedisCluster], object],
) -> None:
    """A replica that took over has none of its own until the old primary is back."""

    def supervised(cluster: RedisCluster) -> None:
        """Start what has died again, once another serves its slots."""
        for node in cluster.nodes:
            if node.stopped or not node.is_alive:
                wait_until(lambda: unserved(cluster), "its replica takes over")
                node.restart()

    wrongs, took = await went_wrong(fragile_cluster, replicated, fault, supervised)
    print(f"{fault.__name__}, replicated: all places work after {took:.1f} s")
    record_property("recovered_after_seconds", round(took, 1))
    assert wrongs == []
    assert took < RECOVERY_SECONDS


async def test_who_is_connected_is_known_again_soon_after_a_failover_that_lost_it(
    fragile_cluster: RedisCluster, fast: list[Instance]
) -> None:
    a, b = fast

    async def is_listed() -> bool:
        async with caller_at(a.mcp_port) as caller:
            # While slots change hands it may be put off.
            listed = (await caller.call("list_frontends"))["structuredContent"].get("frontends", [])
        return "lost" in {each["frontend_id"] for each in listed}

    def lose() -> None:
        """As when the replica that is elected had not heard of anybody yet."""
        key = presence(ANYBODY.tenant)
        before = fragile_cluster.primary_of(slot_of(key))
        assert before.command("DEL", key) == 1
        fragile_cluster.failover(fragile_cluster.replica_of(before))

    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user="lost", frontend_id="lost"):
            await until(is_listed, "listed")
            await trio.to_thread.run_sync(lose)
            # At the latest a minute after it was said, it is said once more anyway.
            await until(is_listed, "listed again", 40)


def unserved(cluster: RedisCluster) -> str:
    """Return a slot that nobody serves who answers; empty when there is none."""
    try:
        for place in PLACES:
            cluster.primary_of(place.slot)
    except RedisServerError as error:
        return str(error)
    return ""


async def test_without_replicas_nothing_counts_that_must_be_replicated(
    fragile_cluster: RedisCluster,
) -> None:
    """A question is refused, an answer is not acknowledged, and no caller is given it before."""
    flags = ("--redis-durability", "replicated", "--redis-command-seconds", "3")
    replicas = [node for node in fragile_cluster.nodes if node not in fragile_cluster.primaries]
    with running_instances(fragile_cluster.url, 2, *flags) as (a, b):
        with trio.fail_after(PATIENCE):
            async with (
                person_at(b.ws_port, user="proof", frontend_id="proof") as person,
                caller_at(a.mcp_port) as caller,
                trio.open_nursery() as nursery,
            ):
                arguments = {"question": "?", "audience": {"kind": "user", "name": "proof"}}
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
                question = await person.question()
                results: list[str] = []

                async def wait() -> None:
                    reply = await (await caller.response()).result()
                    results.append(text_of(reply["result"]))

                nursery.start_soon(wait)

                async def is_replicated() -> bool:
                    return await a.metric("frontend_router_redis_in_flight") == 0

                # People see a question before its replicas have it; the ask waits for them.
                await until(is_replicated, "the question is at its replicas")
                for node in replicas:
                    node.stop()
                answer = {"request_id": question["request_id"], "answer": "proven"}
                await person.say(type="user_response", **answer)
                told = await person.frame("error")
                assert (told["code"], told["retryable"]) == ("unavailable", True)
                async with caller_at(b.mcp_port) as other:
                    refused = await other.call("ask_user", **arguments)
                assert refused["isError"]
                assert "the outcome is unknown; try again" in text_of(refused)
                assert results == []
                for node in replicas:
                    node.resume()
                await trio.to_thread.run_sync(fragile_cluster.wait_until_healthy)
                # Its first copy counts as soon as replicas have it.
                await person.say(type="user_response", **answer)
                ack = await person.frame("response_ack")
                assert ack["status"] == "accepted" or ack["by"]["frontend_id"] == "proof"
            assert results == ["proven"]
