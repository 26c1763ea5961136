"""How long a list of the tools of pages takes: offered over real WebSockets, listed over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import time
from typing import Any, Final, NamedTuple

from websockets.sync.client import ClientConnection, connect

from loadtest.server import Server

_REVISION: Final = "2026-07-28"
_PER_PAGE: Final = 50
_PATIENCE_SECONDS: Final = 30.0
_SCHEMA: Final = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["item"],
}


class ListTimes(NamedTuple):
    """What one list took, in seconds, and how many were not what they should be.

    ``cpu`` is the gateway's own time, which others on the machine do not lengthen.
    """

    cpu: float
    p50: float
    failures: int


def measure(server: Server, tools: int, times: int) -> ListTimes:
    """Have pages offer so many tools, and list them so many times, one after the other."""
    with contextlib.ExitStack() as pages:
        for first in range(0, tools, _PER_PAGE):
            page = pages.enter_context(connect(f"ws://127.0.0.1:{server.ws_port}/ws"))
            _offer(page, range(first, min(first + _PER_PAGE, tools)))
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.mcp_port, timeout=_PATIENCE_SECONDS
        )
        with contextlib.closing(connection):
            seconds, failures = [], 0
            before = sum(server.cpu())
            for _ in range(times):
                began = time.perf_counter()
                body = _list(connection)
                seconds.append(time.perf_counter() - began)
                failures += body.count(b'"name":"bench.') != tools
            cpu = (sum(server.cpu()) - before) / times
    return ListTimes(cpu, statistics.median(seconds), failures)


def _offer(page: ClientConnection, numbers: range) -> None:
    said = [
        {
            "name": f"tool-{number}",
            "description": f"Does what the tool number {number} of a page does",
            "inputSchema": _SCHEMA,
        }
        for number in numbers
    ]
    page.send(json.dumps({"type": "connect"}))
    page.send(json.dumps({"type": "register_tools", "namespace": "bench", "tools": said}))
    while json.loads(page.recv(timeout=_PATIENCE_SECONDS))["type"] != "tools_registered":
        pass


def _list(connection: http.client.HTTPConnection) -> bytes:
    """Return all pages of the list."""
    body, cursor = b"", None
    while True:
        page = _page(connection, cursor)
        body += page
        cursor = json.loads(page)["result"].get("nextCursor") if b'"nextCursor"' in page else None
        if cursor is None:
            return body


def _page(connection: http.client.HTTPConnection, cursor: str | None) -> bytes:
    meta = "io.modelcontextprotocol/"
    params: dict[str, Any] = {
        "_meta": {f"{meta}protocolVersion": _REVISION, f"{meta}clientCapabilities": {}}
    }
    if cursor is not None:
        params["cursor"] = cursor
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _REVISION,
        "Mcp-Method": "tools/list",
    }
    connection.request("POST", "/mcp", json.dumps(message), headers)
    return connection.getresponse().read()
