"""A web page with tools, over trio-websocket: it offers them and returns what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.interop.person import Person, person_at
from tests.live.caller import Caller

LOOKUP: dict[str, Any] = {
    "name": "lookup",
    "description": "Looks an order up",
    "inputSchema": {
        "type": "object",
        "properties": {"order": {"type": "integer"}},
        "required": ["order"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {"state": {"type": "string"}},
        "required": ["state"],
    },
}
NAME = "shop.lookup"
_LOOK_AGAIN_SECONDS = 0.02


async def offer(page: Person, *tools: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    """Offer tools; return what became of that."""
    await page.say(type="register_tools", namespace=namespace, tools=list(tools or (LOOKUP,)))
    return await page.frame("tools_registered")


@asynccontextmanager
async def page_at(ws_port: int, *tools: dict[str, Any], **connect: Any) -> AsyncIterator[Person]:
    """Open a page that offers tools, by default one that looks orders up."""
    async with person_at(ws_port, **connect) as page:
        await offer(page, *tools)
        yield page


async def finish(page: Person, call: dict[str, Any], **result: Any) -> str:
    """Return a result; say what became of it."""
    await page.say(type="tool_result", call_id=call["call_id"], result=result)
    ack = await page.frame("tool_ack")
    assert ack["call_id"] == call["call_id"]
    status: str = ack["status"]
    return status


async def names(caller: Caller) -> list[str]:
    """Return the tools of pages that a caller is offered."""
    await caller.send("tools/list", {})
    reply = await (await caller.response()).result()
    return [tool["name"] for tool in reply["result"]["tools"] if "." in tool["name"]]


async def until_offered(caller: Caller, *wanted: str) -> None:
    """Look at the list until it has these tools of pages, and no others."""
    while await names(caller) != list(wanted):  # noqa: ASYNC110 - asks a process from outside
        await trio.sleep(_LOOK_AGAIN_SECONDS)
