"""Event streams that are compressed, read by a client that is not ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import trio

from tests.interop.person import person_at
from tests.live.caller import MODERN
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

PATIENCE = 60
MOST = 2
META = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway that compresses two streams at a time."""
    with running_gateway(*LEAVE_AT_ONCE, "--http-compressed-streams", str(MOST)) as gateway:
        yield gateway


def asked(client: httpx.AsyncClient, gateway: GatewayProcess, question: str, coding: str) -> Any:
    """Begin to ask; the context is the response, whose head has come."""
    described = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "ask_user",
            "arguments": {"question": question},
            "_meta": {**described, "progressToken": "p"},
        },
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": coding,
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "ask_user",
    }
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    return client.stream("POST", url, json=message, headers=headers)


async def messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield what events bring, each as soon as its last line can be read."""
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity"])
async def test_each_event_is_read_when_it_comes(gateway: GatewayProcess, coding: str) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port) as person,
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client,
            asked(client, gateway, f"Why {coding}?", coding) as response,
        ):
            said = response.headers.get("content-encoding", "identity")
            assert said == coding
            assert response.headers["content-type"] == "text/event-stream"
            events = messages(response)
            # Nobody has answered: this can only be read because it was flushed.
            progress = await anext(events)
            assert progress["method"] == "notifications/progress"
            question = await person.question()
            assert await person.answer(question, "Because.") == "accepted"
            result = await anext(events)
            assert result["result"]["content"][0]["text"] == "Because."
            assert [left async for left in events] == []


async def test_more_streams_than_may_be_compressed_are_plain(gateway: GatewayProcess) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port) as person,
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client,
        ):
            # The second time there is room for as many again.
            for _ in range(2):
                async with (
                    asked(client, gateway, "One?", "gzip") as one,
                    asked(client, gateway, "Two?", "zstd") as two,
                    asked(client, gateway, "Three?", "gzip") as three,
                ):
                    crowd = (one, two, three)
                    said = [each.headers.get("content-encoding") for each in crowd]
                    assert said == ["gzip", "zstd", None]
                    for question in [await person.question() for _ in crowd]:
                        await person.answer(question, "Yes.")
                    for response in crowd:
                        assert [each async for each in messages(response)][-1]["id"] == 1
    for coding in ("gzip", "zstd"):
        labels = {"coding": coding, "direction": "out"}
        name = "frontend_router_coded_bytes_total"
        plain, coded = (counted(gateway, name, form=form, **labels) for form in ("plain", "coded"))
        assert 0 < coded < plain
