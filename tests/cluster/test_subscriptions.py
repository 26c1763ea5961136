"""A session subscribes at one gateway and listens at another: what changes is told there."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from tests.cluster.instances import PATIENCE, Instance, running_instances, until
from tests.interop.person import person_at
from tests.live.caller import caller_at, open_session
from tests.live.credentials import new_key
from tests.live.pages import page_at
from tests.live.process import GatewayProcess, started
from tests.live.subscribing import CONNECTED, connected, listening, opened, said

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a gateway that died to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Sooner than the gateways that stay keep a stream alive.
_SOON = 40
SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"


@pytest.fixture(scope="module")
def three(redis_node: RedisNode) -> Iterator[list[Instance]]:
    """Three gateways that stay. What they know they are told: streams are kept alive too late."""
    with running_instances(redis_node.url, 3, "--mcp-keep-alive-seconds", "60") as instances:
        yield instances


@pytest.fixture(scope="module")
def guarded(redis_node: RedisNode) -> Iterator[tuple[list[Instance], str, str]]:
    """Two gateways that know two agents of one tenant, and their keys."""
    keys = [new_key(redis_node.url, "acme", name, "ask", "list") for name in ("ann", "eve")]
    with running_instances(redis_node.url, 2, "--auth-keys", "store") as both:
        yield both, keys[0], keys[1]


async def asked(gateway: Instance, session: str, user: str, *, credential: str = "") -> str:
    """Ask somebody, and do not wait; return what the question can be read by."""
    async with caller_at(gateway.mcp_port, session=session, credential=credential) as caller:
        audience = {"kind": "user", "name": user}
        result = await caller.call("ask_user", question="?", audience=audience, wait="return")
    return f"question://{result['structuredContent']['question_id']}"


@asynccontextmanager
async def asked_twice(
    asking: Instance, answering: Instance, session: str
) -> AsyncIterator[tuple[list[str], Any]]:
    """Ask somebody two things; give their URIs, and how to have the one or the other answered."""
    user = uuid.uuid4().hex
    uris = [await asked(asking, session, user) for _ in range(2)]
    async with person_at(answering.ws_port, frontend_id=user, user=user) as person:
        shown = [await person.question() for _ in uris]
        by_uri = {f"question://{each['request_id']}": each for each in shown}

        async def answer(uri: str) -> None:
            assert await person.answer(by_uri[uri], "yes") == "accepted"

        yield uris, answer


async def watched(gateway: Instance, count: int) -> None:
    """Return when a gateway watches so many resources for sessions."""

    async def so_many() -> bool:
        return await gateway.metric("frontend_router_resources_watched") == count

    await until(so_many, f"{count} are watched")


@pytest.mark.parametrize("listens_first", [False, True])
async def test_a_session_hears_where_it_listens_and_once(
    three: list[Instance], *, listens_first: bool
) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(a.mcp_port)
        async with asked_twice(a, c, session) as (uris, answer), AsyncExitStack() as stack:
            if listens_first:
                stream = await stack.enter_async_context(listening(b.mcp_port, session))
            for uri in uris:
                await said(a.mcp_port, session, SUBSCRIBE, uri=uri)
            if not listens_first:
                stream = await stack.enter_async_context(listening(b.mcp_port, session))
            for uri in uris:
                await answer(uri)
                # Twice would come before the other one.
                assert await stream.update() == uri
    await watched(b, 0)


async def test_it_hears_no_more_once_it_says_so_at_a_third(three: list[Instance]) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(c.mcp_port)
        async with (
            asked_twice(a, c, session) as ((dropped, kept), answer),
            listening(b.mcp_port, session) as stream,
        ):
            for uri in (dropped, kept):
                await said(a.mcp_port, session, SUBSCRIBE, uri=uri)
            await watched(b, 2)
            await said(c.mcp_port, session, UNSUBSCRIBE, uri=dropped)
            await watched(b, 1)
            await answer(dropped)
            await answer(kept)
            assert await stream.update() == kept
        # Nor does a stream that it opens from now on.
        async with listening(a.mcp_port, session) as stream:
            await said(b.mcp_port, session, SUBSCRIBE, uri=CONNECTED)
            assert await stream.update() in (CONNECTED, kept)


async def test_who_is_connected_is_told_where_it_listens(three: list[Instance]) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(a.mcp_port)
        async with listening(b.mcp_port, session) as stream:
            await said(a.mcp_port, session, SUBSCRIBE, uri=CONNECTED)
            name = uuid.uuid4().hex
            async with person_at(c.ws_port, frontend_id=name):
                while name not in await connected(a.mcp_port):
                    assert await stream.update() == CONNECTED
            while name in await connected(a.mcp_port):
                assert await stream.update() == CONNECTED


async def test_what_ended_while_it_did_not_listen_is_told_once_it_does(
    three: list[Instance],
) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(a.mcp_port)
        async with asked_twice(a, c, session) as ((missed, other), answer):
            for uri in (missed, other):
                await said(a.mcp_port, session, SUBSCRIBE, uri=uri)
            await answer(missed)
            async with listening(b.mcp_port, session) as stream:
                assert await stream.update() == missed
            async with listening(c.mcp_port, session) as stream:
                await answer(other)
                assert await stream.update() == other


async def test_the_end_of_a_session_ends_its_streams_everywhere(three: list[Instance]) -> None:
    a, b, c = three
    with trio.fail_after(_SOON):
        session = await open_session(a.mcp_port)
        await said(a.mcp_port, session, SUBSCRIBE, uri=CONNECTED)
        async with listening(b.mcp_port, session) as stream:
            await watched(b, 1)
            async with caller_at(c.mcp_port) as caller:
                await caller.stream.send_all(
                    f"DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1:{c.mcp_port}\r\n"
                    f"Mcp-Session-Id: {session}\r\n\r\n".encode()
                )
                assert (await caller.response()).status == 204
            with pytest.raises(EOFError):
                while True:
                    await stream.message()
        await watched(b, 0)


async def test_it_is_told_though_the_gateway_that_was_subscribed_at_is_dead(
    redis_node: RedisNode,
) -> None:
    with running_instances(redis_node.url, 3) as (a, b, c), trio.fail_after(PATIENCE):
        try:
            session = await open_session(a.mcp_port)
            async with asked_twice(a, c, session) as ((before, after), answer):
                async with listening(b.mcp_port, session) as stream:
                    await said(a.mcp_port, session, SUBSCRIBE, uri=before)
                    await said(a.mcp_port, session, SUBSCRIBE, uri=after)
                    a.kill()
                    await answer(before)
                    assert await stream.update() == before
                async with listening(c.mcp_port, session) as stream:
                    await answer(after)
                    while await stream.update() != after:
                        pass
        finally:
            a.kill()


async def test_what_no_message_told_of_is_found_as_the_stream_is_kept_alive(
    redis_node: RedisNode,
) -> None:
    """What is noted in Redis with nobody told, as when the message about it is lost."""
    with running_instances(redis_node.url, 2) as (a, b), trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port)
        key = f"subscriptions:{{session:{session}}}"
        async with listening(b.mcp_port, session) as stream:
            redis_node.command("ZADD", key, "1", CONNECTED)
            assert await stream.update() == CONNECTED
            await watched(b, 1)
            redis_node.command("ZREM", key, CONNECTED)
            await watched(b, 0)
            redis_node.command("DEL", f"session:{session}")
            with pytest.raises(EOFError):
                while True:
                    await stream.message()


async def tried(gateway: Instance, session: str, key: str) -> list[tuple[int, bytes]]:
    """Try all that there is to try with a session of somebody else's, or of nobody's."""
    heard = []
    for method in (SUBSCRIBE, UNSUBSCRIBE):
        async with caller_at(gateway.mcp_port, session=session, credential=key) as caller:
            await caller.send(method, {"uri": CONNECTED})
            response = await caller.response()
            heard.append((response.status, await response.body()))
    async with caller_at(gateway.mcp_port, session=session, credential=key) as caller:
        response = await opened(caller, gateway.mcp_port)
        heard.append((response.status, await response.body()))
    return heard


async def test_nobody_but_its_owner_subscribes_into_a_session(
    guarded: tuple[list[Instance], str, str], redis_node: RedisNode
) -> None:
    (a, b), owner, thief = guarded
    with trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port, credential=owner)
        uri = await asked(a, session, "bob", credential=owner)
        async with listening(b.mcp_port, session, credential=owner):
            await said(a.mcp_port, session, SUBSCRIBE, credential=owner, uri=uri)
            await watched(b, 1)
            for gateway in (a, b):
                foreign = await tried(gateway, session, thief)
                assert foreign == await tried(gateway, str(uuid.uuid4()), thief)
                assert {status for status, _ in foreign} == {404}
            # In a session of its own the thief cannot hear of the owner's question, either.
            own = await open_session(b.mcp_port, credential=thief)
            async with caller_at(b.mcp_port, session=own, credential=thief) as caller:
                await caller.send(SUBSCRIBE, {"uri": uri})
                reply = await (await caller.response()).result()
            assert reply["error"]["code"] == -32002
            key = f"subscriptions:{{session:{session}}}"
            kept = redis_node.command("ZRANGE", key, "0", "-1")
            assert kept in ([uri], [uri.encode()])


# -- what else a session hears


async def test_tools_that_pages_offer_elsewhere_are_told_where_it_listens(
    three: list[Instance],
) -> None:
    a, b, c = three
    with trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port)
        async with listening(b.mcp_port, session) as stream:
            async with page_at(c.ws_port, frontend_id=uuid.uuid4().hex):
                told = await stream.message()
                assert told["method"] == "notifications/tools/list_changed"
            assert (await stream.message())["method"] == "notifications/tools/list_changed"


async def test_a_log_level_counts_wherever_the_session_calls(redis_node: RedisNode) -> None:
    command = [sys.executable, "-m", "tests.conformance", "--store", redis_node.url]
    with started(command) as a, started(command) as b, trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port)

        async def logged(gateway: GatewayProcess) -> int:
            """Call a tool that logs; return how much of that is told."""
            async with caller_at(gateway.mcp_port, session=session) as caller:
                await caller.send("tools/call", {"name": "test_tool_with_logging", "arguments": {}})
                response = await caller.response()
                if response.headers["content-type"] == "application/json":
                    json.loads(await response.body())
                    return 0
                times = 0
                while True:
                    _, message = await response.event()
                    if message is not None and "id" in message:
                        return times
                    times += message is not None

        assert await logged(b) == 0
        await said(a.mcp_port, session, "logging/setLevel", level="info")
        assert await logged(b) == 3
        await said(b.mcp_port, session, "logging/setLevel", level="error")

        async def is_silent() -> bool:
            return await logged(a) == 0

        # Where it was written before it may be a second behind.
        await until(is_silent, "the level counts where another one was set before")
