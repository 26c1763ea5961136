"""The official Python SDK asks, in both eras, and trio-websocket answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.interop.person import person_at
from tests.interop.relay import Relay, relay_to
from tests.live.process import GatewayProcess, running_gateway

pytestmark = [
    # The SDK leaves generators of its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
BOTH_ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
# Nobody waits this long when all is well.
PATIENCE = 60


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway whose streams are kept alive often, so that tests see it."""
    with running_gateway(
        *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5"),
        *("--mcp-keep-alive-seconds", "0.4", "--mcp-retry-milliseconds", "50"),
    ) as process:
        yield process


def _client(port: int, mode: str) -> Client:
    return Client(f"http://127.0.0.1:{port}/mcp", mode=mode)


@asynccontextmanager
async def _client_through(relay: Relay, port: int, mode: str) -> AsyncIterator[Client]:
    """Connect through a relay, and name the gateway as if there was none."""
    async with httpx2.AsyncClient(headers={"Host": f"127.0.0.1:{port}"}, timeout=PATIENCE) as http:
        url = f"http://127.0.0.1:{relay.port}/mcp"
        transport: Any = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def _text(result: Any) -> str:
    text: str = result.content[0].text
    return text


@BOTH_ERAS
async def test_the_tools_are_listed(gateway: GatewayProcess, mode: str) -> None:
    with trio.fail_after(PATIENCE):
        async with _client(gateway.mcp_port, mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) >= {"ask_user", "collect_answer", "cancel_question"}
            expected = "Ask a question to the user and receive their response"
            assert tools["ask_user"].description == expected
            if mode == "legacy":
                await client.send_ping()
                assert client.protocol_version == "2025-11-25"
            else:
                assert client.protocol_version == "2026-07-28"


@BOTH_ERAS
async def test_an_answer_comes_back(gateway: GatewayProcess, mode: str) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port, user="ann", frontend_id=f"desk-{mode}") as person,
            _client(gateway.mcp_port, mode) as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                assert question["question"] == "Which colour?"
                assert await person.answer(question, "blue") == "accepted"
                assert await person.answer(question, "red") == "duplicate"

            nursery.start_soon(answer)
            result = await client.call_tool("ask_user", {"question": "Which colour?"})
    assert _text(result) == "blue"
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["answered_by"]["frontend_id"] == f"desk-{mode}"


@BOTH_ERAS
async def test_a_long_wait_reports_progress_on_its_stream(
    gateway: GatewayProcess, mode: str
) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    enough = trio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        if len(told) >= 3:
            enough.set()

    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port) as person,
            _client(gateway.mcp_port, mode) as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                await enough.wait()
                await person.answer(question, "patience")

            nursery.start_soon(answer)
            arguments = {"question": "Slowly?", "timeout_seconds": 60}
            result = await client.call_tool("ask_user", arguments, progress_callback=progress)
    assert _text(result) == "patience"
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert {total for _, total, _ in told} == {60}
    assert told[0][2] == "waiting for a person, 1 frontend online"


@BOTH_ERAS
async def test_nobody_answers_in_time(gateway: GatewayProcess, mode: str) -> None:
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, _client(gateway.mcp_port, mode) as client:
            arguments = {"question": "Anybody?", "timeout_seconds": 0.5}
            result = await client.call_tool("ask_user", arguments)
            assert result.is_error
            assert _text(result).startswith("Nobody answered within 0.5 seconds.")
            question = await person.question()
            closed = await person.frame("question_closed")
            assert (closed["request_id"], closed["reason"]) == (question["request_id"], "timed_out")
            assert await person.answer(question, "late") == "too_late"


@BOTH_ERAS
async def test_a_caller_that_cancels_takes_its_question_back(
    gateway: GatewayProcess, mode: str
) -> None:
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, _client(gateway.mcp_port, mode) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.call_tool, "ask_user", {"question": "Never mind?"})
                question = await person.question()
                nursery.cancel_scope.cancel()
            closed = await person.frame("question_closed")
            assert closed["request_id"] == question["request_id"]
            assert await person.answer(question, "late") == "too_late"


@BOTH_ERAS
async def test_an_answer_is_collected_later(gateway: GatewayProcess, mode: str) -> None:
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, _client(gateway.mcp_port, mode) as client:
            arguments = {"question": "Later?", "wait": "return"}
            asked = await client.call_tool("ask_user", arguments)
            assert asked.structured_content is not None
            assert asked.structured_content["state"] == "open"
            question_id = asked.structured_content["question_id"]
            question = await person.question()
            assert question["request_id"] == question_id
            async with trio.open_nursery() as nursery:
                nursery.start_soon(person.answer, question, "now")
                collected = await client.call_tool(
                    "collect_answer", {"question_id": question_id, "wait_seconds": 10}
                )
            assert _text(collected) == "now"


async def test_a_broken_line_loses_neither_question_nor_answer_in_the_handshake_era(
    gateway: GatewayProcess,
) -> None:
    """The SDK resumes the stream by itself, with `Last-Event-ID`."""
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port) as person,
            relay_to(gateway.mcp_port) as relay,
            _client_through(relay, gateway.mcp_port, "legacy") as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                await relay.wait_until_carried(b"retry: 50")
                relay.cut()
                await person.answer(question, "resumed")

            nursery.start_soon(answer)
            result = await client.call_tool("ask_user", {"question": "Still there?"})
            assert _text(result) == "resumed"


async def test_an_identical_ask_gets_the_answer_after_a_broken_line_in_the_modern_era(
    gateway: GatewayProcess,
) -> None:
    """There is nothing to resume; the person is asked once all the same."""
    arguments = {"question": "Once?", "idempotency_key": "broken line"}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port) as person,
            relay_to(gateway.mcp_port) as relay,
            _client_through(relay, gateway.mcp_port, "2026-07-28") as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                await relay.wait_until_carried(b": waiting")
                relay.cut()
                await person.answer(question, "asked once")

            nursery.start_soon(answer)
            with pytest.raises(MCPError):
                await client.call_tool("ask_user", arguments)
            result = await client.call_tool("ask_user", arguments)
            assert _text(result) == "asked once"


@BOTH_ERAS
async def test_wrong_arguments_tell_a_model_what_to_do(gateway: GatewayProcess, mode: str) -> None:
    with trio.fail_after(PATIENCE):
        async with _client(gateway.mcp_port, mode) as client:
            result = await client.call_tool("ask_user", {"prompt": "?"})
            assert result.is_error
            assert "question (required)" in _text(result)
            with pytest.raises(MCPError, match="Unknown tool"):
                await client.call_tool("no_such_tool", {})
