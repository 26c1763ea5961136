"""A session has streams at two gateways: each thing is told on one of them, and none is lost."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from haproxy.redis_cluster import RedisCluster
from tests.cluster.instances import Instance, running_instances
from tests.cluster.test_subscriptions import SUBSCRIBE, UNSUBSCRIBE, asked_twice, watched
from tests.live.caller import open_session
from tests.live.pages import page_at
from tests.live.subscribing import Subscriber, listening, said

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a gateway that died to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIST = "notifications/tools/list_changed"
# Sooner than a stream is kept alive: what a gateway knows by then it was told.
_SOON = 40
_LATER = ("--mcp-keep-alive-seconds", "60")


@pytest.fixture(scope="module")
def three(shared_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """Three gateways on a real cluster, which stay."""
    shared_cluster.wait_until_healthy()
    with running_instances(shared_cluster.url, 3, *_LATER) as instances:
        yield instances


@asynccontextmanager
async def told_first(gateway: Instance, session: str, *uris: str) -> AsyncIterator[Subscriber]:
    """Open the first stream of a session; whoever enters can open a newer one.

    The store knows of it before it says what is watched: that decides which one is newer.
    """
    for uri in uris:
        await said(gateway.mcp_port, session, SUBSCRIBE, uri=uri)
    async with listening(gateway.mcp_port, session) as stream:
        await watched(gateway, len(uris))
        yield stream


async def method(stream: Subscriber) -> str:
    told: str = (await stream.message())["method"]
    return told


async def test_the_newest_stream_is_told_and_after_its_end_the_older_one(
    three: list[Instance],
) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(c.mcp_port)
        async with (
            asked_twice(c, c, session) as ((first, second), answer),
            told_first(a, session, first, second) as older,
        ):
            async with listening(b.mcp_port, session) as newer:
                await watched(b, 2)
                await watched(a, 0)
                await answer(first)
                assert await newer.update() == first
                await said(c.mcp_port, session, UNSUBSCRIBE, uri=first)
                await watched(b, 1)
            await watched(a, 1)
            await answer(second)
            # What the newer one was told would have come before it.
            assert await older.update() == second
        await watched(a, 0)


async def test_streams_opened_in_turns_are_told_in_turns(three: list[Instance]) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(c.mcp_port)
        async with (
            asked_twice(c, c, session) as ((first, second), answer),
            told_first(a, session, first, second),
            listening(b.mcp_port, session) as between,
        ):
            await watched(b, 2)
            await watched(a, 0)
            async with listening(a.mcp_port, session) as newest:
                await watched(a, 2)
                await watched(b, 0)
                await answer(first)
                assert await newest.update() == first
                await said(b.mcp_port, session, UNSUBSCRIBE, uri=first)
                await watched(a, 1)
            # Its gateway still has another one, which is older.
            await watched(b, 1)
            await watched(a, 0)
            async with page_at(c.ws_port, frontend_id=uuid.uuid4().hex):
                assert await method(between) == LIST
                await answer(second)
                assert await between.update() == second
                await said(b.mcp_port, session, UNSUBSCRIBE, uri=second)
                await watched(b, 0)


@pytest.mark.parametrize("leaves", [False, True], ids=["killed", "told to leave"])
async def test_what_comes_as_the_gateway_of_the_newest_stream_ends_is_told_on_the_older_one(
    shared_cluster: RedisCluster, *, leaves: bool
) -> None:
    flags = _LATER if leaves else ("--mcp-keep-alive-seconds", "1")
    with running_instances(shared_cluster.url, 3, *flags) as (a, b, c), trio.fail_after(_SOON):
        session = await open_session(c.mcp_port)
        async with (
            asked_twice(c, c, session) as ((first, second), answer),
            told_first(a, session, first, second) as older,
            listening(b.mcp_port, session) as newer,
        ):
            await watched(b, 2)
            await watched(a, 0)
            await answer(first)
            assert await newer.update() == first
            await said(c.mcp_port, session, UNSUBSCRIBE, uri=first)
            await watched(b, 1)
            if leaves:
                b.terminate()
            else:
                b.kill()
            await answer(second)
            told: set[str] = set()
            async with page_at(c.ws_port, frontend_id=uuid.uuid4().hex):
                while told != {LIST, second}:
                    message = await older.message()
                    told.add(message.get("params", {}).get("uri", message["method"]))
