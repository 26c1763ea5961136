"""An agent over plain HTTP: it says what it means and sees every byte that comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
#: Members of a modern request whose caller knows tasks.
WITH_TASKS: dict[str, Any] = {
    "_meta": {
        "io.modelcontextprotocol/clientCapabilities": {
            "extensions": {"io.modelcontextprotocol/tasks": {}}
        }
    }
}


class Response:
    """One HTTP response, as it comes in."""

    def __init__(self, stream: trio.SocketStream, received: bytes) -> None:
        self._stream = stream
        self._received = received
        self._text = b""
        self._ended = False
        self.status = 0
        self.headers: dict[str, str] = {}

    async def read_head(self) -> None:
        while b"\r\n\r\n" not in self._received:
            await self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }

    async def rest(self) -> bytes:
        """Read to its end, which may come later than what counts; return what came behind it."""
        if self.headers.get("transfer-encoding") == "chunked":
            while not self._ended:
                await self._chunk()
        elif "content-length" in self.headers:
            self._received = self._received[len(await self.body()) :]
        return self._received

    async def body(self) -> bytes:
        """Return a body that came by length."""
        size = int(self.headers["content-length"])
        while len(self._received) < size:
            await self._more()
        return self._received[:size]

    async def event(self) -> tuple[str, dict[str, Any] | None]:
        """Return the id and the message of the next event; comments are passed over."""
        while True:
            while b"\n\n" not in self._text:
                piece = await self._chunk()
                if not piece:
                    raise EOFError("the stream ended without a response")
                self._text += piece
            event, _, self._text = self._text.partition(b"\n\n")
            lines = event.decode().split("\n")
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            if "data" in fields or "id" in fields:
                data = fields.get("data", "")
                return fields.get("id", ""), json.loads(data) if data else None

    async def result(self) -> dict[str, Any]:
        """Return the JSON-RPC response, whichever way it comes."""
        if self.headers["content-type"] == "application/json":
            reply: dict[str, Any] = json.loads(await self.body())
            return reply
        while True:
            _, message = await self.event()
            if message is not None and "id" in message:
                return message

    async def _chunk(self) -> bytes:
        while b"\r\n" not in self._received:
            await self._more()
        size, _, self._received = self._received.partition(b"\r\n")
        length = int(size, 16)
        while len(self._received) < length + 2:
            await self._more()
        piece, self._received = self._received[:length], self._received[length + 2 :]
        self._ended = not length
        return piece

    async def _more(self) -> None:
        data = await self._stream.receive_some(65536)
        if not data:
            raise EOFError("the gateway closed in the middle of a response")
        self._received += data


class Caller:
    """One connection of an agent, in one era; requests follow one another."""

    def __init__(
        self, stream: trio.SocketStream, port: int, session: str, credential: str = ""
    ) -> None:
        self.stream = stream
        self._port = port
        self.session = session
        self.credential = credential
        #: Who takes no event streams is always answered at once and whole.
        self.accept = "application/json, text/event-stream"
        self._last: Response | None = None

    async def send(self, method: str, params: dict[str, Any], request_id: Any = 1) -> None:
        """Send a request and do not wait for anything."""
        fields = {"Host": f"127.0.0.1:{self._port}", "Content-Type": "application/json"}
        fields["Accept"] = self.accept
        if self.credential:
            fields["Authorization"] = f"Bearer {self.credential}"
        if self.session:
            fields |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": HANDSHAKE}
        elif method != "initialize":
            fields |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            named = [params[key] for key in ("name", "uri", "taskId") if key in params]
            if named:
                fields["Mcp-Name"] = named[0]
            meta = "io.modelcontextprotocol/"
            described = {f"{meta}protocolVersion": MODERN, f"{meta}clientCapabilities": {}}
            params = {**params, "_meta": {**described, **params.get("_meta", {})}}
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        body = json.dumps(message).encode()
        fields["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.stream.send_all(f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def response(self) -> Response:
        """Return the next response, when its head is there; the one before is over then."""
        self._last = response = Response(
            self.stream, await self._last.rest() if self._last else b""
        )
        await response.read_head()
        return response

    async def call(self, tool: str, request_id: Any = 1, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result, or the JSON-RPC error's object."""
        await self.send("tools/call", {"name": tool, "arguments": arguments}, request_id)
        reply = await (await self.response()).result()
        assert reply["id"] == request_id
        result: dict[str, Any] = reply.get("result") or reply["error"]
        return result

    async def resume(self, event_id: str) -> Response:
        """Ask for what came after an event of a stream that broke."""
        shown = f"Authorization: Bearer {self.credential}\r\n" if self.credential else ""
        await self.stream.send_all(
            f"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAccept: text/event-stream\r\n"
            f"{shown}"
            f"Mcp-Session-Id: {self.session}\r\nMCP-Protocol-Version: {HANDSHAKE}\r\n"
            f"Last-Event-ID: {event_id}\r\n\r\n".encode()
        )
        return await self.response()


@asynccontextmanager
async def caller_at(port: int, *, session: str = "", credential: str = "") -> AsyncIterator[Caller]:
    """Open a connection; without a session it speaks the modern revision."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        yield Caller(stream, port, session, credential)
    finally:
        with trio.CancelScope(shield=True):
            await stream.aclose()


async def open_session(
    port: int, *, credential: str = "", capabilities: dict[str, Any] | None = None
) -> str:
    """Shake hands; return the session's id."""
    async with caller_at(port, credential=credential) as caller:
        introduction = {
            "protocolVersion": HANDSHAKE,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        await caller.send("initialize", introduction)
        response = await caller.response()
        assert response.status == 200
        return response.headers["mcp-session-id"]


def text_of(result: dict[str, Any]) -> str:
    """Return the text a tool's result holds."""
    text: str = result["content"][0]["text"]
    return text
