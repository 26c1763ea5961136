"""The gateway of a page is killed in the middle of a call; its caller is at another gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from tests.cluster.instances import PATIENCE, Instance, running_instances
from tests.interop.person import person_at
from tests.live.caller import Caller, caller_at, text_of
from tests.live.pages import LOOKUP, NAME, finish, page_at, until_offered

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a gateway that died to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SHIPPED = {"state": "shipped"}


@pytest.fixture
def pair(redis_node: RedisNode, request: pytest.FixtureRequest) -> Iterator[list[Instance]]:
    """Where callers are, and where pages are, until that is killed."""
    seconds: str = request.param
    flags = ("--page-tools-return-seconds", seconds, "--mcp-json-seconds", "10")
    with running_instances(redis_node.url, 2, *flags) as both:
        yield both


def pages_may_be_away(seconds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [seconds], indirect=True, ids=[f"{seconds}s"])


@asynccontextmanager
async def cut_short(
    here: Instance, there: Instance, **params: Any
) -> AsyncIterator[tuple[Caller, dict[str, Any]]]:
    """Call a page there from here, and kill its gateway while it is at work."""
    async with caller_at(here.mcp_port) as caller, AsyncExitStack() as stack:
        try:
            page = await stack.enter_async_context(page_at(there.ws_port, frontend_id="shop"))
            await until_offered(caller, NAME)
            await caller.send("tools/call", {"name": NAME, "arguments": {"order": 7}, **params})
            call = await page.frame("tool_call")
        finally:
            there.kill()
        yield caller, call


async def result_of(caller: Caller) -> dict[str, Any]:
    reply = await (await caller.response()).result()
    result: dict[str, Any] = reply["result"]
    return result


@pages_may_be_away("0.5")
async def test_a_call_ends_with_an_error_when_its_page_does_not_come_back(
    pair: list[Instance],
) -> None:
    """Soon after the lease of the dead gateway, and long before the call's own deadline."""
    here, there = pair
    with trio.fail_after(PATIENCE):
        async with cut_short(here, there) as (caller, _):
            result = await result_of(caller)
            assert result["isError"]
            assert "the page that was called has gone" in text_of(result)


@pages_may_be_away("600")
async def test_a_call_ends_at_its_deadline_though_its_page_may_still_come_back(
    pair: list[Instance],
) -> None:
    here, there = pair
    with trio.fail_after(PATIENCE):
        meta = {"frontend-router/timeout_seconds": 5}
        async with cut_short(here, there, _meta=meta) as (caller, _):
            result = await result_of(caller)
            assert result["isError"]
            assert "did not return within 5 seconds" in text_of(result)


@pages_may_be_away("600")
async def test_a_page_that_comes_back_elsewhere_is_called_again_and_ends_the_call(
    pair: list[Instance],
) -> None:
    here, there = pair
    with trio.fail_after(PATIENCE):
        async with (
            cut_short(here, there) as (caller, call),
            person_at(here.ws_port, frontend_id="shop") as again,
        ):
            await again.say(type="register_tools", namespace="shop", tools=[LOOKUP])
            called = await again.frame("tool_call")
            assert (called["call_id"], called["arguments"]) == (call["call_id"], {"order": 7})
            assert await finish(again, called, structuredContent=SHIPPED) == "accepted"
            assert (await result_of(caller))["structuredContent"] == SHIPPED
