"""How long a list of the tools of pages takes: offered over real WebSockets, listed over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import time
from typing import Final, NamedTuple

from websockets.sync.client import ClientConnection, connect

from loadtest.places import Place, mcp_place
from loadtest.requests import MODERN, PLACE, template
from loadtest.server import Server

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
        place = mcp_place(server.mcp_port)
        family, address = place.socket_address()
        with socket.socket(family) as sock:
            sock.settimeout(_PATIENCE_SECONDS)
            sock.connect(address)
            seconds, failures = [], 0
            before = sum(server.cpu())
            for _ in range(times):
                began = time.perf_counter()
                body = _list(sock, place)
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


def _list(sock: socket.socket, place: Place) -> bytes:
    """Return all pages of the list. As little as possible of what it takes is ours."""
    body, cursor = b"", ""
    while True:
        params = {"cursor": cursor} if cursor else {}
        request = template(place, MODERN, "tools/list", params).fill(PLACE.encode())
        sock.sendall(request)
        page = _response(sock)
        body += page
        _, found, behind = page.partition(b'"nextCursor":"')
        if not found:
            return body
        cursor = behind[: behind.index(b'"')].decode()


def _response(sock: socket.socket) -> bytes:
    """Return the body of what is answered."""
    head, found, body = b"", b"", b""
    while not found:
        head, found, body = (head + _read(sock)).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _read(sock)
    return body


def _read(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 20)
    if not data:
        raise ConnectionError("the gateway closed the connection")
    return data
