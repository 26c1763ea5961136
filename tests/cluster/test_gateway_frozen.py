"""A gateway stands still under load for longer than its lease, and goes on as if nothing were.

FROZEN=60 in the environment has it stand still for so many seconds at least, with the lease
that is the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import trio

from haproxy.redis_cluster import RedisCluster
from tests.cluster.history import final_store
from tests.cluster.instances import Instance, running_instances, until
from tests.cluster.load import under_load

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FROZEN_SECONDS = float(os.environ.get("FROZEN", "0"))
_LEASE_SECONDS = 10 if FROZEN_SECONDS else 2
_PATIENCE = 120 + FROZEN_SECONDS


@pytest.fixture(scope="module")
def pair(own_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """A gateway that will stand still, and one that goes on."""
    with running_instances(own_cluster.url, 2, "--redis-lease-seconds", str(_LEASE_SECONDS)) as two:
        yield two


async def living(gateway: Instance) -> int:
    """Return how many instances a gateway takes for alive."""
    return int(await gateway.metric("frontend_router_store_instances"))


@pytest.mark.parametrize("delivery", ["all", "one"])
async def test_e6_a_zombie_loses_duplicates_and_crosses_nothing(
    own_cluster: RedisCluster, pair: list[Instance], delivery: str
) -> None:
    """It is taken for dead, its work goes on elsewhere, and what it does late is harmless.

    What it was sent while it stood still it does when it goes on: questions that were asked
    again elsewhere meanwhile, and answers to those that have ended.
    """
    frozen, awake = pair

    async def is_dead() -> bool:
        return await living(awake) == 1

    async def is_back() -> bool:
        return [await living(each) for each in pair] == [2, 2]

    async def stood_long_enough() -> bool:
        return trio.current_time() - since >= max(1.5 * _LEASE_SECONDS, FROZEN_SECONDS)

    with trio.fail_after(_PATIENCE):
        await until(is_back, "both are there")
        async with under_load(pair, delivery=delivery, call_seconds=1) as load:
            since = trio.current_time()
            frozen.freeze()
            try:
                await until(is_dead, "it is taken for dead")
                # What was in front of its people is in front of others, and is answered.
                await load.answered(20)
                await until(stood_long_enough, "it stood still for so long", _PATIENCE)
            finally:
                frozen.thaw()
            stood = trio.current_time() - since
            await until(is_back, "it lives again")
            back = trio.current_time() - since - stood
            took = await load.works_everywhere()
    ended = [ask for ask in load.history.asks if ask.value]
    print(
        f"{delivery}: frozen for {stood:.1f} s, alive again after {back:.2f} s, all places work "
        f"after {took:.1f} s; {len(ended)} asks, {len(load.history.answers)} answers, "
        f"{len(load.refusals)} refusals, {load.reconnects} reconnects"
    )
    assert load.history.wrongs(final_store(own_cluster.primaries)) == []
