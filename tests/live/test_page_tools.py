"""Tools of web pages, offered at one gateway and called at the other: on one Redis, and alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from tests.interop.person import person_at
from tests.live.caller import Caller, caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.credentials import new_key
from tests.live.pages import LOOKUP, NAME, finish, names, offer, page_at, until_offered
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# Nobody waits this long when all is well.
PATIENCE = 60
FLAGS = (*LEAVE_AT_ONCE, "--mcp-json-seconds", "10", "--page-tools-return-seconds", "5")
SHIPPED = {"state": "shipped"}


class Pair(NamedTuple):
    """Where pages are, and where callers are."""

    pages: GatewayProcess
    callers: GatewayProcess


@pytest.fixture(scope="module")
def alone() -> Iterator[Pair]:
    """One gateway for both."""
    with running_gateway(*FLAGS) as gateway:
        yield Pair(gateway, gateway)


@pytest.fixture(scope="module")
def apart(redis_node: RedisNode) -> Iterator[Pair]:
    """One for pages and one for callers, with a Redis between them."""
    flags = ("--store", redis_node.url, *FLAGS)
    with running_gateway(*flags) as pages, running_gateway(*flags) as callers:
        yield Pair(pages, callers)


@pytest.fixture(params=["alone", "apart"])
def pair(request: pytest.FixtureRequest) -> Pair:
    gateways: Pair = request.getfixturevalue(request.param)
    return gateways


@asynccontextmanager
async def calling(pair: Pair, tool: str = NAME, **params: Any) -> AsyncIterator[Caller]:
    """Send a call, once the tool is offered where the caller is."""
    async with caller_at(pair.callers.mcp_port) as caller:
        await until_offered(caller, tool)
        arguments = params.pop("arguments", {"order": 7})
        await caller.send("tools/call", {"name": tool, "arguments": arguments, **params})
        yield caller


async def result_of(caller: Caller) -> dict[str, Any]:
    reply = await (await caller.response()).result()
    result: dict[str, Any] = reply["result"]
    return result


async def test_a_tool_is_offered_called_and_gone_with_its_last_page(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with caller_at(pair.callers.mcp_port) as caller:
            async with page_at(pair.pages.ws_port, frontend_id="first") as page:
                await until_offered(caller, NAME)
                async with page_at(pair.callers.ws_port):
                    await until_offered(caller, NAME)
                await caller.send(
                    "tools/call",
                    {"name": NAME, "arguments": {"order": 7, "_target": {"frontend_id": "first"}}},
                )
                call = await page.frame("tool_call")
                assert (call["tool"], call["arguments"]) == (NAME, {"order": 7})
                assert await finish(page, call, structuredContent=SHIPPED) == "accepted"
                result = (await (await caller.response()).result())["result"]
                assert result["structuredContent"] == SHIPPED
                assert text_of(result) == '{"state":"shipped"}'
            await until_offered(caller)
            gone = await caller.call(NAME, order=7)
            assert "Unknown tool" in gone["message"]


async def test_a_page_that_comes_back_is_called_again_under_the_same_id(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            page_at(pair.pages.ws_port, frontend_id="shop-1") as page,
            calling(pair) as caller,
        ):
            call = await page.frame("tool_call")
            await page.leave()
            # It reloads, and comes back at the other gateway.
            async with person_at(pair.callers.ws_port, frontend_id="shop-1") as again:
                await again.say(type="register_tools", namespace="shop", tools=[LOOKUP])
                called = await again.frame("tool_call")
                assert called["call_id"] == call["call_id"]
                assert called["arguments"] == call["arguments"]
                assert await finish(again, called, structuredContent=SHIPPED) == "accepted"
                # What it sends once more is no second result.
                assert await finish(again, called, structuredContent={"state": "?"}) == "duplicate"
            assert (await result_of(caller))["structuredContent"] == SHIPPED


async def test_a_result_is_taken_from_the_frontend_wherever_it_is(pair: Pair) -> None:
    """Also before it has said which tools it offers: it has the result of before its reload."""
    with trio.fail_after(PATIENCE):
        async with (
            page_at(pair.pages.ws_port, frontend_id="shop-2") as page,
            calling(pair) as caller,
        ):
            call = await page.frame("tool_call")
            await page.leave()
            async with person_at(pair.callers.ws_port, frontend_id="stranger") as stranger:
                assert await finish(stranger, call, content=[]) == "unknown"
            async with person_at(pair.callers.ws_port, frontend_id="shop-2") as again:
                assert await finish(again, call, structuredContent=SHIPPED) == "accepted"
            assert (await result_of(caller))["structuredContent"] == SHIPPED


async def test_a_call_whose_page_does_not_come_back_ends(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with page_at(pair.pages.ws_port) as page, calling(pair) as caller:
            await page.frame("tool_call")
            await page.leave()
            result = await result_of(caller)
            assert result["isError"]
            assert "the page that was called has gone" in text_of(result)


async def test_a_page_has_until_the_deadline_that_its_caller_gives(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        meta = {"frontend-router/timeout_seconds": 3}
        async with page_at(pair.pages.ws_port) as page, calling(pair, _meta=meta) as caller:
            call = await page.frame("tool_call")
            cancel = await page.frame("tool_cancel")
            assert (cancel["call_id"], cancel["reason"]) == (call["call_id"], "timed_out")
            result = await result_of(caller)
            assert result["isError"]
            assert "did not return within 3 seconds" in text_of(result)
            assert await finish(page, call, structuredContent=SHIPPED) == "too_late"


async def test_a_caller_that_gives_up_cancels_the_call(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with page_at(pair.pages.ws_port) as page:
            async with calling(pair):
                call = await page.frame("tool_call")
            cancel = await page.frame("tool_cancel")
            assert (cancel["call_id"], cancel["reason"]) == (call["call_id"], "cancelled")


async def test_progress_of_a_page_reaches_the_caller(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        meta = {"progressToken": "p"}
        async with page_at(pair.pages.ws_port) as page, calling(pair, _meta=meta) as caller:
            call = await page.frame("tool_call")
            said = {"call_id": call["call_id"], "progress": 1, "total": 2, "message": "half"}
            # Too much of it is left out, so it is said until it is heard.
            heard = trio.Event()

            async def say() -> None:
                while not heard.is_set():
                    said["progress"] += 0.001
                    await page.say(type="tool_progress", **said)
                    with trio.move_on_after(0.1):
                        await heard.wait()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                response = await caller.response()
                message: Any = None
                while message is None or message["params"].get("message") != "half":
                    _, message = await response.event()
                heard.set()
            assert message["method"] == "notifications/progress"
            assert message["params"]["total"] == 2
            await finish(page, call, structuredContent=SHIPPED)
            assert (await response.result())["result"]["structuredContent"] == SHIPPED


async def test_arguments_and_results_that_break_the_schemas_are_told_to_who_can_mend_them(
    pair: Pair,
) -> None:
    with trio.fail_after(PATIENCE):
        async with page_at(pair.pages.ws_port) as page:
            async with caller_at(pair.callers.mcp_port) as caller:
                await until_offered(caller, NAME)
                wrong = await caller.call(NAME, order="seven")
                assert wrong["isError"]
                assert 'order: "seven" is not of type "integer"' in text_of(wrong)
                surplus = await caller.call(NAME, order=1, colour="red")
                assert "colour" in text_of(surplus)
            async with calling(pair) as caller:
                call = await page.frame("tool_call")
                assert call["arguments"] == {"order": 7}
                assert await finish(page, call, structuredContent={"status": 1}) == "invalid"
                result = await result_of(caller)
                assert result["isError"]
                assert '"state" is a required property' in text_of(result)


async def test_the_caller_says_which_page_it_means(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            page_at(pair.pages.ws_port, user="ann", frontend_id="of-ann") as anns,
            page_at(pair.callers.ws_port, user="bob", frontend_id="of-bob") as bobs,
            caller_at(pair.callers.mcp_port) as caller,
        ):
            for target, page in (
                ({"user": "ann"}, anns),
                ({"user": "bob"}, bobs),
                ({"frontend_id": "of-ann"}, anns),
            ):
                arguments = {"order": 1, "_target": target}
                # Where the caller is, the page that came last may not be known yet.
                while True:
                    await caller.send("tools/call", {"name": NAME, "arguments": arguments})
                    called = trio.Event()
                    reply: list[dict[str, Any]] = []

                    async def hear(page: Any, called: trio.Event) -> None:
                        call = await page.frame("tool_call")
                        called.set()
                        await finish(page, call, structuredContent=SHIPPED)

                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(hear, page, called)
                        reply = [await (await caller.response()).result()]
                        nursery.cancel_scope.cancel()
                    if called.is_set():
                        break
                assert reply[0]["result"]["structuredContent"] == SHIPPED
            nobody = await caller.call(NAME, order=1, _target={"user": "eve"})
            assert nobody["isError"]
            assert "No page of user 'eve' offers shop.lookup. Pages that do: ann, bob." in text_of(
                nobody
            )


async def test_a_call_survives_the_stream_of_its_caller_and_is_asked_twice_once(
    pair: Pair,
) -> None:
    with trio.fail_after(PATIENCE):
        meta = {"frontend-router/idempotency_key": "order-7"}
        params = {"name": NAME, "arguments": {"order": 7}, "_meta": meta}
        session = await open_session(pair.callers.mcp_port)
        async with page_at(pair.pages.ws_port) as page:
            async with caller_at(pair.callers.mcp_port, session=session) as caller:
                await until_offered(caller, NAME)
                await caller.send("tools/call", params)
                call = await page.frame("tool_call")
            async with caller_at(pair.callers.mcp_port, session=session) as caller:
                await caller.send("tools/call", params)
                await finish(page, call, structuredContent=SHIPPED)
                assert (await result_of(caller))["structuredContent"] == SHIPPED
                await caller.send("tools/call", params)
                assert (await result_of(caller))["structuredContent"] == SHIPPED


async def test_a_call_is_nothing_that_people_or_agents_see_as_a_question(pair: Pair) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            person_at(pair.pages.ws_port, frontend_id="inbox") as inbox,
            page_at(pair.pages.ws_port, frontend_id="shop-3") as page,
            calling(pair) as calling_one,
            caller_at(pair.callers.mcp_port) as caller,
        ):
            call = await page.frame("tool_call")
            for tool in ("collect_answer", "cancel_question"):
                found = await caller.call(tool, question_id=call["call_id"])
                assert found["isError"]
                assert "There is no question" in text_of(found)
            await caller.send("resources/read", {"uri": f"question://{call['call_id']}"})
            reply = await (await caller.response()).result()
            assert reply["error"]["message"] in ("Resource not found", _MISMATCH)
            await page.say(type="user_response", request_id=call["call_id"], answer="yes")
            assert (await page.frame("response_ack"))["status"] == "invalid"
            await inbox.say(type="user_response", request_id=call["call_id"], answer="yes")
            assert (await inbox.frame("response_ack"))["status"] == "unknown"
            # What it is shown next is a question, so the call was not among what it was shown.
            await caller.call("ask_user", question="Which?", wait="return", timeout_seconds=5)
            assert (await inbox.question())["question"] == "Which?"
            await finish(page, call, structuredContent=SHIPPED)
            assert (await result_of(calling_one))["structuredContent"] == SHIPPED


_MISMATCH = "Header mismatch: Mcp-Name is missing or malformed."


@pytest.mark.parametrize("is_apart", [False, True], ids=["alone", "apart"])
async def test_callers_hear_that_the_list_is_another(
    redis_node: RedisNode, tmp_path: Path, is_apart: bool
) -> None:
    # A tenant of its own: of tools of the tests before nothing is to be told any more.
    keys = str(tmp_path / "keys.json")
    page_key = new_key(keys, "news", "ann", "answer", "tools")
    agent = new_key(keys, "news", "ci", "tools")
    flags = (*FLAGS, "--auth-keys", keys, *(("--store", redis_node.url) if is_apart else ()))
    with ExitStack() as stack:
        pages = stack.enter_context(running_gateway(*flags))
        callers = stack.enter_context(running_gateway(*flags)) if is_apart else pages
        with trio.fail_after(PATIENCE):
            async with (
                caller_at(callers.mcp_port, credential=agent) as caller,
                caller_at(callers.mcp_port, credential=agent) as other,
            ):
                assert await names(other) == []
                wanted = {"notifications": {"toolsListChanged": True}}
                await caller.send("subscriptions/listen", wanted)
                response = await caller.response()
                _, told = await response.event()
                assert told is not None
                assert told["method"] == "notifications/subscriptions/acknowledged"

                async def told_of(*offered: str) -> None:
                    while True:
                        _, told = await response.event()
                        assert told is not None
                        assert told["method"] == "notifications/tools/list_changed"
                        if await names(other) == list(offered):
                            return

                async with page_at(pages.ws_port, token=page_key):
                    await told_of(NAME)
                await told_of()


async def test_tenants_and_scopes_keep_tools_apart(tmp_path: Path) -> None:
    keys = str(tmp_path / "keys.json")
    page_key = new_key(keys, "acme", "ann", "answer", "tools")
    no_tools = new_key(keys, "acme", "bob", "answer", "ask")
    agent = new_key(keys, "acme", "ci", "tools")
    stranger = new_key(keys, "other", "ci", "tools")
    with running_gateway(*FLAGS, "--auth-keys", keys, "--quotas-registered-tools", "2") as gateway:
        port = gateway.mcp_port
        with trio.fail_after(PATIENCE):
            async with page_at(gateway.ws_port, token=page_key):
                async with caller_at(port, credential=agent) as caller:
                    assert await names(caller) == [NAME]
                async with caller_at(port, credential=stranger) as caller:
                    assert await names(caller) == []
                    assert "Unknown tool" in (await caller.call(NAME, order=1))["message"]
                async with caller_at(port, credential=no_tools) as caller:
                    assert await names(caller) == []
                    refused = await caller.call(NAME, order=1)
                    assert refused["data"] == {"scope": "tools"}
                async with person_at(gateway.ws_port, token=no_tools) as page:
                    await page.say(type="register_tools", namespace="shop", tools=[LOOKUP])
                    assert (await page.frame("error"))["code"] == "forbidden"
                async with person_at(gateway.ws_port, token=page_key) as page:
                    two = [{**LOOKUP, "name": name} for name in ("one", "two")]
                    await page.say(type="register_tools", namespace="shop", tools=two)
                    error = await page.frame("error")
                    assert (error["code"], error["retryable"]) == ("over_quota", True)
                    assert "registered_tools" in error["message"]
                    assert await offer(page, two[0])
    assert not [line for line in gateway.log if "unhandled" in line]
