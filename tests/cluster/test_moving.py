"""Callers and frontends that move from one gateway to another, with or without being told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from haproxy.redis_cluster import RedisCluster, running_node
from tests.cluster.instances import PATIENCE, Instance, running_instances, until
from tests.interop.person import person_at
from tests.interop.relay import Relay, relay_to
from tests.live.caller import caller_at, open_session, text_of

pytestmark = [
    pytest.mark.slow,
    # The SDK leaves generators of its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]


@asynccontextmanager
async def sdk_client(relay: Relay, mode: str) -> AsyncIterator[Client]:
    """Connect the official SDK through a relay, by a name that every gateway goes by."""
    async with httpx2.AsyncClient(headers={"Host": "gateway.test"}, timeout=PATIENCE) as http:
        url = f"http://127.0.0.1:{relay.port}/mcp"
        transport: Any = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_official_sdk_is_moved_between_calls(
    instances: list[Instance], mode: str
) -> None:
    """Each call reaches the next gateway, with what the one before knew."""
    a, b, c = instances
    user = f"sdk-{mode}"
    arguments = {"question": "?", "audience": {"kind": "user", "name": user}, "wait": "return"}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(c.ws_port, user=user) as person,
            relay_to(a.mcp_port) as relay,
            sdk_client(relay, mode) as client,
        ):
            asked = await client.call_tool("ask_user", arguments)
            assert asked.structured_content is not None
            question_id = asked.structured_content["question_id"]
            relay.turn_to(b.mcp_port)
            relay.cut()
            assert {tool.name for tool in (await client.list_tools()).tools} >= {"ask_user"}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(person.answer, await person.question(), "moved")
                collected = await client.call_tool(
                    "collect_answer", {"question_id": question_id, "wait_seconds": 10}
                )
            assert collected.content[0].text == "moved"  # type: ignore[union-attr]
            relay.turn_to(c.mcp_port)
            relay.cut()
            again = await client.call_tool("collect_answer", {"question_id": question_id})
            assert again.content[0].text == "moved"  # type: ignore[union-attr]


async def test_the_official_sdk_is_moved_while_it_waits_in_the_handshake_era(
    instances: list[Instance],
) -> None:
    """Its stream breaks; it resumes at another gateway by itself."""
    a, b, c = instances
    arguments = {"question": "Still there?", "audience": {"kind": "user", "name": "sdk-waits"}}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(c.ws_port, user="sdk-waits") as person,
            relay_to(b.mcp_port) as relay,
            sdk_client(relay, "legacy") as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                await relay.wait_until_carried(b"retry: 50")
                relay.turn_to(a.mcp_port)
                relay.cut()
                await person.answer(question, "resumed")

            nursery.start_soon(answer)
            result = await client.call_tool("ask_user", arguments)
    assert result.content[0].text == "resumed"  # type: ignore[union-attr]


async def test_the_official_sdk_is_moved_while_it_waits_in_the_modern_era(
    instances: list[Instance],
) -> None:
    """There is nothing to resume: it asks again under its key, and the person was asked once."""
    a, b, c = instances
    arguments = {
        "question": "Once?",
        "audience": {"kind": "user", "name": "sdk-again"},
        "idempotency_key": "sdk-again",
    }
    with trio.fail_after(PATIENCE):
        async with (
            person_at(c.ws_port, user="sdk-again") as person,
            relay_to(b.mcp_port) as relay,
            sdk_client(relay, "2026-07-28") as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                await relay.wait_until_carried(b": waiting")
                relay.turn_to(a.mcp_port)
                relay.cut()
                assert await person.answer(question, "asked once") == "accepted"

            nursery.start_soon(answer)
            with pytest.raises(MCPError):
                await client.call_tool("ask_user", arguments)
            result = await client.call_tool("ask_user", arguments)
    assert result.content[0].text == "asked once"  # type: ignore[union-attr]


# -- gateways that go away


@pytest.fixture
def leaving(shared_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """Two gateways, the first of which may end."""
    with running_instances(shared_cluster.url, 2) as two:
        yield two


async def test_who_waits_at_a_gateway_that_is_stopped_goes_on_elsewhere(
    leaving: list[Instance],
) -> None:
    """SIGTERM: streams break off and are resumed, calls are told to collect, nothing is cancelled.

    Its frontends are told to come back (1012), and are shown the question at the other one.
    """
    a, b = leaving
    audience = {"kind": "user", "name": "leaving"}
    with trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port)
        async with (
            person_at(a.ws_port, user="leaving") as here,
            person_at(b.ws_port, user="leaving") as there,
            caller_at(a.mcp_port, session=session) as handshake,
            caller_at(a.mcp_port) as modern,
        ):
            questions = {}
            responses = []
            for caller, text in ((handshake, "handshake"), (modern, "modern")):
                arguments = {"question": text, "audience": audience}
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments}, text)
                questions[text] = await there.question()
                responses.append(await caller.response())
            first_event, _ = await responses[0].event()
            a.terminate()
            with pytest.raises(EOFError):
                await responses[0].result()
            told = (await responses[1].result())["result"]
            assert told["structuredContent"]["state"] == "open"
            assert not told.get("isError")
            question_id = told["structuredContent"]["question_id"]
            assert question_id == questions["modern"]["request_id"]
            assert (await closing_of(here)) == 1012
            async with person_at(b.ws_port, user="leaving") as here_again:
                ids = {(await here_again.question())["request_id"] for _ in questions}
                assert ids == {each["request_id"] for each in questions.values()}
            async with caller_at(b.mcp_port, session=session) as caller:
                response = await caller.resume(first_event)
                assert await there.answer(questions["handshake"], "resumed") == "accepted"
                assert text_of((await response.result())["result"]) == "resumed"
            async with caller_at(b.mcp_port) as caller:
                assert await there.answer(questions["modern"], "collected") == "accepted"
                result = await caller.call("collect_answer", question_id=question_id)
                assert text_of(result) == "collected"
        await trio.to_thread.run_sync(a.process.wait)


async def closing_of(person: Any) -> int:
    """Return with which code a frontend's connection is closed."""
    try:
        while True:
            await person.frame("question_closed")
    except Exception as error:  # noqa: BLE001 - trio-websocket's own, which has the code
        return int(error.reason.code)  # type: ignore[attr-defined]


async def test_a_question_ends_in_time_though_its_gateway_was_killed(
    leaving: list[Instance],
) -> None:
    """Who was shown it elsewhere is told so; who asks again is, too."""
    a, b = leaving
    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user="orphan") as person:
            async with caller_at(a.mcp_port) as caller:
                arguments = {
                    "question": "?",
                    "audience": {"kind": "user", "name": "orphan"},
                    "timeout_seconds": 3,
                    "idempotency_key": "orphan",
                }
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
                question = await person.question()
                a.kill()
            ended = await person.frame("question_closed")
            assert (ended["request_id"], ended["reason"]) == (question["request_id"], "timed_out")
            async with caller_at(b.mcp_port) as caller:
                result = await caller.call("ask_user", **arguments)
            assert result["structuredContent"]["state"] == "timed_out"


async def test_what_a_killed_gateway_showed_alone_is_shown_by_another(
    leaving: list[Instance],
) -> None:
    """Delivery one: nobody else may show it while its holder lives; once it is dead, they do."""
    a, b = leaving
    with trio.fail_after(PATIENCE):
        async with person_at(a.ws_port, user="held") as here:
            async with caller_at(a.mcp_port) as caller:
                result = await caller.call(
                    "ask_user",
                    question="?",
                    audience={"kind": "user", "name": "held"},
                    delivery="one",
                    wait="return",
                )
            question_id = result["structuredContent"]["question_id"]
            await here.say(type="seen", request_id=(await here.question())["request_id"])
            async with person_at(b.ws_port, user="held") as there:
                a.kill()
                # After the lease, and a sweep.
                question = await there.question()
                assert question["request_id"] == question_id
                assert await there.answer(question, "inherited") == "accepted"


async def test_a_frozen_gateway_does_no_harm_when_it_goes_on(leaving: list[Instance]) -> None:
    """SIGSTOP for longer than its lease: others take over, its late writes lose.

    What was sent to it while it was frozen is answered too late, its frontends are
    counted again, and it hears of everything that happened.
    """
    a, b = leaving
    audience = {"kind": "user", "name": "zombie"}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(a.ws_port, user="zombie", frontend_id="frozen") as frozen,
            person_at(b.ws_port, user="zombie", frontend_id="awake") as awake,
            caller_at(a.mcp_port) as waiting,
        ):
            arguments = {"question": "all", "audience": audience}
            await waiting.send("tools/call", {"name": "ask_user", "arguments": arguments})
            shared = await frozen.question()
            assert (await awake.question())["request_id"] == shared["request_id"]
            async with caller_at(b.mcp_port) as caller:
                result = await caller.call(
                    "ask_user", question="one", audience=audience, delivery="one", wait="return"
                )
            one = result["structuredContent"]["question_id"]
            await awake.question()
            await awake.say(type="seen", request_id=one)
            a.freeze()
            try:
                await until(lambda: lists(b, {"awake"}), "it is taken for dead")
                # What is said to it now is read when it goes on.
                await frozen.say(
                    type="user_response", request_id=shared["request_id"], answer="from the dead"
                )
                assert await awake.answer(shared, "alive") == "accepted"
            finally:
                a.thaw()
            ack = await frozen.frame("response_ack")
            assert (ack["status"], ack["by"]["frontend_id"]) == ("duplicate", "awake")
            reply = (await (await waiting.response()).result())["result"]
            assert text_of(reply) == "alive"
            await until(lambda: lists(b, {"awake", "frozen"}), "its frontends are counted")
            assert await awake.answer({"request_id": one}, "kept") == "accepted"
            async with caller_at(a.mcp_port) as caller:
                assert text_of(await caller.call("collect_answer", question_id=one)) == "kept"


async def lists(instance: Instance, frontends: set[str]) -> bool:
    """Whether an instance lists these frontends, and no other ones of their user."""
    async with caller_at(instance.mcp_port) as caller:
        listed = (await caller.call("list_frontends"))["structuredContent"]["frontends"]
    return {each["frontend_id"] for each in listed if each["user"] == "zombie"} == frontends


async def test_a_gateway_without_its_store_lives_and_is_not_ready(tmp_path: Path) -> None:
    with (
        running_node(tmp_path) as node,
        running_instances(node.url, 1, "--redis-patience-seconds", "0.2") as (gateway,),
    ):
        with trio.fail_after(PATIENCE):
            assert await gateway.statuses() == (200, 200)
            await trio.to_thread.run_sync(node.kill)

            async def is_unready() -> bool:
                return await gateway.statuses() == (503, 200)

            await until(is_unready, "it is not ready")
            assert (await gateway.get("/health")).status_code == 503
            await trio.to_thread.run_sync(node.start)

            async def is_ready() -> bool:
                return await gateway.statuses() == (200, 200)

            await until(is_ready, "it is ready again")
