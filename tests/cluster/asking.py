"""Asking at one of several gateways, and being put off by one whose store is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.cluster.instances import Instance
from tests.live.caller import Response, caller_at, text_of

#: What a machine is told that asks while the store is away.
AGAIN: Final = {"code": "unavailable", "retryable": True, "retry_after": 1}


@asynccontextmanager
async def asked(
    gateway: Instance, user: str, session: str = "", **more: Any
) -> AsyncIterator[Response]:
    """Ask; what is yielded is the response's beginning, which comes in any case."""
    arguments = {"question": "?", "audience": {"kind": "user", "name": user}, **more}
    async with caller_at(gateway.mcp_port, session=session) as caller:
        await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
        yield await caller.response()


async def put_off(gateway: Instance, user: str) -> str:
    """Ask, and be refused for now: for machines and for models. Returns what the model is told."""
    async with caller_at(gateway.mcp_port) as caller:
        # However long it takes, it is not told on a stream.
        caller.accept = "application/json"
        arguments = {"question": "?", "audience": {"kind": "user", "name": user}}
        await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
        response = await caller.response()
        assert (response.status, response.headers["retry-after"]) == (200, "1")
        reply = await response.result()
    assert reply["id"] == 1
    assert (reply["result"]["isError"], reply["result"]["structuredContent"]) == (True, AGAIN)
    return text_of(reply["result"])
