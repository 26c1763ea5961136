"""Subscribers of `frontends://connected` hear of people at other gateways, and of a dead one's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from tests.cluster.instances import PATIENCE, Instance, running_instances
from tests.interop.person import person_at
from tests.live.subscribing import CONNECTED, ERAS, Subscriber, subscribed, told_that

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a gateway that died to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@asynccontextmanager
async def subscribers(instance: Instance) -> AsyncIterator[list[Subscriber]]:
    """Subscribe in both eras."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(subscribed(instance.mcp_port, CONNECTED, era))
            for era in ERAS
        ]


async def test_who_comes_and_goes_elsewhere_is_told_here(redis_node: RedisNode) -> None:
    with running_instances(redis_node.url, 2) as (here, there), trio.fail_after(PATIENCE):
        async with subscribers(here) as both:
            async with person_at(there.ws_port, frontend_id="away", name="Ann"):
                for subscriber in both:
                    await told_that(
                        subscriber, here.mcp_port, lambda shown: shown.get("away") == "Ann"
                    )
            for subscriber in both:
                await told_that(subscriber, here.mcp_port, lambda shown: "away" not in shown)


async def test_many_that_come_at_once_elsewhere_are_told_a_few_times(
    redis_node: RedisNode,
) -> None:
    crowd = 100

    async def stay(port: int, number: int) -> None:
        async with person_at(port, frontend_id=f"crowd-{number}"):
            await trio.sleep_forever()

    with running_instances(redis_node.url, 2) as (here, there), trio.fail_after(PATIENCE):
        async with subscribers(here) as (_, modern), trio.open_nursery() as nursery:
            began = trio.current_time()
            for number in range(crowd):
                nursery.start_soon(stay, there.ws_port, number)
            times = await told_that(
                modern,
                here.mcp_port,
                lambda shown: sum(name.startswith("crowd-") for name in shown) == crowd,
            )
            # One a second at most, however long it took them to come.
            assert times <= trio.current_time() - began + 2
            nursery.cancel_scope.cancel()


async def test_who_was_connected_to_a_gateway_that_died_is_told_to_be_gone(
    redis_node: RedisNode,
) -> None:
    with running_instances(redis_node.url, 2) as (here, there), trio.fail_after(PATIENCE):
        async with subscribers(here) as both, AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(person_at(there.ws_port, frontend_id="orphan"))
                for subscriber in both:
                    await told_that(subscriber, here.mcp_port, lambda shown: "orphan" in shown)
            finally:
                there.kill()
            for subscriber in both:
                await told_that(subscriber, here.mcp_port, lambda shown: "orphan" not in shown)
