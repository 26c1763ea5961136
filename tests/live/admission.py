"""Credentials as people get them, and what becomes of those who show one to a gateway."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gateway import cli
from tests.interop.person import Person
from tests.live.caller import MODERN

#: Nobody waits this long when all is well; and it is how soon a revocation must count.
PATIENCE: Final = 60
_META: Final = "io.modelcontextprotocol/"
LIST_TOOLS: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/list",
    "params": {
        "_meta": {f"{_META}protocolVersion": MODERN, f"{_META}clientCapabilities": {}},
    },
}


def run_key(*arguments: str) -> str:
    """Run ``frontend-router key``, here, as a process takes a while to start."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert cli.main(["key", *arguments]) == 0
    return said.getvalue().strip()


def new_key(where: tuple[str, str], subject: str, *scopes: str, tenant: str = "acme") -> str:
    """Make an API key in the file or store that ``where`` names."""
    said = [word for scope in scopes for word in ("--scope", scope)]
    return run_key("create", "--tenant", tenant, "--subject", subject, *said, *where)


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


async def request(
    port: int, path: str, method: str = "GET", *, headers: Any = None, **more: Any
) -> httpx.Response:
    """Send one request on a connection of its own."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        url = f"http://127.0.0.1:{port}{path}"
        return await client.request(method, url, headers=headers, **more)


async def as_caller(port: int, credential: str, **more: str) -> httpx.Response:
    """Ask an MCP port for its tools."""
    fields = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/list",
        **(bearer(credential) if credential else {}),
        **more,
    }
    return await request(port, "/mcp", "POST", headers=fields, json=LIST_TOOLS)


async def as_frontend(
    port: int,
    credential: str = "",
    *,
    subprotocols: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> str:
    """Open a frontend; return what came of it: who it is, a close code, or an HTTP status."""
    try:
        async with connect(
            f"ws://127.0.0.1:{port}/ws",
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers=headers or {},
            proxy=None,
        ) as connection:
            introduction = {"type": "connect"} | ({"token": credential} if credential else {})
            await connection.send(json.dumps(introduction))
            while True:
                frame = json.loads(await connection.recv())
                if frame["type"] == "connect_ack":
                    return "welcome"
                if frame.get("retryable"):
                    return str(frame["code"])
    except InvalidStatus as rejected:
        return f"HTTP {rejected.response.status_code}"
    except ConnectionClosed as closed:
        return f"close {closed.rcvd.code if closed.rcvd else 1006}"


class _Messages:
    """A connection of websockets, to be used as one of trio-websocket.

    The latter leaves its socket open when the gateway is the first to close.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def get_message(self) -> str | bytes:
        return await self._connection.recv()

    async def send_message(self, text: str) -> None:
        await self._connection.send(text)

    async def aclose(self) -> None:
        await self._connection.aclose()


@asynccontextmanager
async def frontend_at(port: int, credential: str, **introduction: Any) -> AsyncIterator[Person]:
    """Open a frontend that says who it is in its first message."""
    async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as connection:
        messages: Any = _Messages(connection)
        person = Person(messages)
        await person.say(type="connect", token=credential, **introduction)
        await person.frame("connect_ack")
        yield person


async def new_ticket(port: int, credential: str) -> httpx.Response:
    """Ask for a ticket."""
    return await request(port, "/ticket", "POST", headers=bearer(credential))


def offering(ticket: str) -> tuple[str, str]:
    """Return the subprotocols that a page offers with its ticket."""
    return ("frontend-router.v1", f"frontend-router.ticket.{ticket}")


async def until(look: Callable[[], Awaitable[Any]], *wanted: Any) -> list[Any]:
    """Look again and again until one of these is seen; return what was seen before."""
    seen = []
    with trio.fail_after(PATIENCE):
        while (found := await look()) not in wanted:
            seen.append(found)
    return seen
