"""All six nodes of a real cluster are away at once: nobody is lost, and all goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import trio

from gateway.errors import STORE_AWAY
from haproxy.redis_cluster import RedisCluster
from tests.cluster.asking import asked, put_off
from tests.cluster.instances import Instance, running_instances, until
from tests.interop.person import Person, person_at
from tests.live.caller import text_of

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: How long it is away, at least: ten seconds are what is promised, and take ten seconds.
OUTAGE_SECONDS: Final = float(os.environ.get("TESTED_OUTAGE_SECONDS", "2"))
#: What was stored before its reply was lost is said to be there.
SETTLED: Final = (["accepted"], ["duplicate"])
PRIMARIES: Final = 3
PATIENCE: Final = 90 + OUTAGE_SECONDS
# What waits goes on waiting until the cluster has found itself again.
FLAGS: Final = (
    *("--redis-patience-seconds", "0.1", "--redis-reply-seconds", "2"),
    *("--redis-command-seconds", str(PATIENCE)),
)


@pytest.fixture
def gateways(broken_cluster: RedisCluster) -> Iterator[list[Instance]]:
    with running_instances(broken_cluster.url, 2, *FLAGS) as two:
        yield two


def frozen(cluster: RedisCluster) -> None:
    """Every connection stays open, and nobody answers."""
    for node in cluster.nodes:
        node.stop()


def ended(cluster: RedisCluster) -> None:
    """Every connection is refused, and when they are back they have forgotten everything."""
    for node in cluster.nodes:
        node.kill()


async def statuses(gateways: list[Instance]) -> list[tuple[int, int]]:
    """Return of each whether it is ready, and whether it lives."""
    return [await each.statuses() for each in gateways]


async def knows_that_all_are_away(gateway: Instance) -> bool:
    """Return whether it has noticed of each node that it knows."""
    nodes = (await gateway.get("/health")).json()["components"]["store"]["metadata"]["nodes"]
    assert len(nodes) >= PRIMARIES
    return all(node["is_away"] for node in nodes)


async def insisted(person: Person, question: dict[str, Any], answer: str) -> str:
    """Answer, again when told to, as frontends do; return what became of the answer."""
    while True:
        request_id = question["request_id"]
        await person.say(type="user_response", request_id=request_id, answer=answer)
        told = await person.frame("response_ack", "error")
        if told["type"] == "response_ack":
            status: str = told["status"]
            return status
        assert (told["code"], told["retryable"]) == ("unavailable", True)
        assert "Redis" not in told["message"]


@pytest.mark.parametrize("fault", [frozen, ended])
async def test_without_all_of_its_cluster_nobody_is_lost(
    broken_cluster: RedisCluster, gateways: list[Instance], fault: Callable[[RedisCluster], None]
) -> None:
    """Sockets stay; who waits goes on waiting; new questions are refused at once, in words."""
    a, b = gateways
    with trio.fail_after(PATIENCE):
        async with (
            person_at(b.ws_port, user="outage") as person,
            asked(a, "outage") as response,
            trio.open_nursery() as nursery,
        ):
            question = await person.question()
            began = trio.current_time()
            await trio.to_thread.run_sync(fault, broken_cluster)
            acks: list[str] = []

            async def answer() -> None:
                acks.append(await insisted(person, question, "through it all"))

            nursery.start_soon(answer)

            async def is_noticed() -> bool:
                return all([await knows_that_all_are_away(gateway) for gateway in gateways])

            await until(is_noticed, "they know that every node is away")
            assert await statuses(gateways) == [(503, 200)] * 2
            for gateway in gateways:
                assert await put_off(gateway, "nobody") == STORE_AWAY
            await trio.sleep_until(began + OUTAGE_SECONDS)
            assert acks == []
            assert await statuses(gateways) == [(503, 200)] * 2

            await trio.to_thread.run_sync(broken_cluster.revive)
            assert text_of((await response.result())["result"]) == "through it all"

            async def is_well() -> bool:
                return acks in SETTLED and await statuses(gateways) == [(200, 200)] * 2

            await until(is_well, "the answer is acknowledged, and they are ready again")
            # The same socket of the person, and a question in the other direction.
            async with asked(b, "outage") as well:
                assert await person.answer(await person.question(), "well") == "accepted"
                assert text_of((await well.result())["result"]) == "well"
        for gateway in gateways:
            away, back = (gateway.wait_for_event(name) for name in ("store_away", "store_back"))
            assert away["reason"]
            assert back["seconds"] > 0
