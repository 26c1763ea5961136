"""A tool asks its caller at one gateway, and the caller's response is posted to another."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest
import trio

from gateway.mcp.responses import LONGEST
from haproxy.redis_cluster import RedisNode
from tests.cluster.instances import PATIENCE
from tests.live.caller import HANDSHAKE, Response, caller_at, open_session, text_of
from tests.live.process import GatewayProcess, started

pytestmark = pytest.mark.slow

ACCEPTED = {"result": {"action": "accept", "content": {"username": "ann"}}}
METHODS = {"test_elicitation": "elicitation/create", "test_sampling": "sampling/createMessage"}


class Pair(NamedTuple):
    """Where calls are, and where their callers' responses go."""

    here: GatewayProcess
    there: GatewayProcess


@pytest.fixture(scope="module")
def pair(redis_node: RedisNode) -> Iterator[Pair]:
    """Two gateways with tools that ask their callers."""
    command = [sys.executable, "-m", "tests.conformance", "--store", redis_node.url]
    with started(command) as here, started(command) as there:
        yield Pair(here, there)


async def a_session(pair: Pair) -> str:
    return await open_session(pair.there.mcp_port, capabilities={"elicitation": {}, "sampling": {}})


async def post(gateway: GatewayProcess, session: str, message: dict[str, Any]) -> httpx.Response:
    """Say something that is no request."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Mcp-Session-Id": session,
        "MCP-Protocol-Version": HANDSHAKE,
    }
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
        return await client.post(url, json={"jsonrpc": "2.0", **message}, headers=headers)


@asynccontextmanager
async def calling(
    pair: Pair, session: str, tool: str = "test_elicitation"
) -> AsyncIterator[tuple[Response, str]]:
    """Call a tool here; give its stream, and the id of what it asks."""
    async with caller_at(pair.here.mcp_port, session=session) as caller:
        arguments = {"message": "Who?", "prompt": "Who?"}
        await caller.send("tools/call", {"name": tool, "arguments": arguments}, "call")
        stream = await caller.response()
        while True:
            _, message = await stream.event()
            if message is not None and message.get("method") == METHODS[tool]:
                break
        yield stream, message["id"]


async def text_from(stream: Response) -> str:
    while True:
        reply = await stream.result()
        if reply["id"] == "call":
            return text_of(reply["result"])


async def test_a_response_that_comes_to_another_gateway_answers_the_call(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        session = await a_session(pair)
        async with calling(pair, session) as (stream, inquiry):
            assert (await post(pair.there, session, {"id": inquiry, **ACCEPTED})).status_code == 202
            assert "'username': 'ann'" in await text_from(stream)
        async with calling(pair, session, "test_sampling") as (stream, inquiry):
            said = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Hm"}}
            posted = await post(pair.there, session, {"id": inquiry, "result": said})
            assert posted.status_code == 202
            assert await text_from(stream) == "LLM response: Hm"


async def test_another_session_answers_nothing_and_a_second_response_neither(pair: Pair) -> None:
    """The one that counts is the one that the session of the call sends first."""
    with trio.fail_after(PATIENCE):
        session, other = await a_session(pair), await a_session(pair)
        async with calling(pair, session) as (stream, inquiry):
            evil = {"id": inquiry, "result": {"action": "accept", "content": {"username": "eve"}}}
            assert (await post(pair.there, other, evil)).status_code == 202
            # One gateway says what it hears in the order in which it hears it.
            assert (await post(pair.there, session, {"id": inquiry, **ACCEPTED})).status_code == 202
            assert (await post(pair.there, session, evil)).status_code == 202
            assert "'username': 'ann'" in await text_from(stream)
        # Nothing is left that the late one could have answered.
        async with calling(pair, session) as (stream, inquiry):
            assert (await post(pair.here, session, {"id": inquiry, **ACCEPTED})).status_code == 202
            assert "'username': 'ann'" in await text_from(stream)


async def test_one_that_is_too_long_is_refused_and_a_shorter_one_taken(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        session = await a_session(pair)
        async with calling(pair, session) as (stream, inquiry):
            content = {"username": "x" * LONGEST}
            large = {"id": inquiry, "result": {"action": "accept", "content": content}}
            refused = await post(pair.there, session, large)
            assert refused.status_code == 413
            assert "Send a shorter one" in json.loads(refused.text)["error"]["message"]
            nearly = {"username": "y" * (LONGEST - 1_000)}
            short = {"id": inquiry, "result": {"action": "accept", "content": nearly}}
            assert (await post(pair.there, session, short)).status_code == 202
            assert len(await text_from(stream)) > LONGEST - 1_000
