"""What one would write in Python instead of the gateway, for comparison under the same load.

The official MCP SDK on uvicorn, and `websockets`, in one asyncio loop. It keeps
everything in memory and has no limits, credentials or metrics. It speaks as the
reference in Go does, question for question.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
from collections.abc import Sequence
from typing import Any, Final

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_HOST: Final = "127.0.0.1"
_PING_SECONDS: Final = 30
_MAX_MESSAGE_BYTES: Final = 1 << 20
_DEFAULT_TIMEOUT_SECONDS: Final = 300.0


class Question:
    """One that somebody waits for, and the frontend that was shown it last."""

    def __init__(self, message: str, holder: ServerConnection | None) -> None:
        self.message = message
        self.holder = holder
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class Hub:
    """The frontends in rotation, and the open questions. One loop owns it, so nothing is locked."""

    def __init__(self) -> None:
        self._frontends: list[ServerConnection] = []
        self._turn = 0
        self._open: dict[str, Question] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._frontends)

    async def ask(self, text: str, timeout_seconds: float) -> str:
        """Return the first answer; however it ends, the question is forgotten then.

        Raises:
            TimeoutError: nobody answered in time.
        """
        request_id = str(next(self._numbers))
        shown = {"type": "ask_user", "request_id": request_id, "question": text}
        question = Question(json.dumps(shown), self._next())
        self._open[request_id] = question
        try:
            async with asyncio.timeout(timeout_seconds):
                await _show(question)
                return await question.answer
        finally:
            del self._open[request_id]

    async def attend(self, frontend: ServerConnection) -> None:
        """Serve a frontend, which counts from the upgrade, until it is gone."""
        self._frontends.append(frontend)
        await self._hand_over(None)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._listen(frontend)
        finally:
            self._frontends.remove(frontend)
            await self._hand_over(frontend)

    async def _listen(self, frontend: ServerConnection) -> None:
        async for data in frontend:
            message = _decoded(data)
            match message.get("type"):
                case "connect":
                    ack = {"type": "connect_ack", "status": "connected"}
                    await frontend.send(json.dumps(ack))
                case "user_response":
                    request_id = message.get("request_id")
                    if not self._answered(request_id, message.get("answer")):
                        told = {"type": "response_ack", "request_id": request_id}
                        await frontend.send(json.dumps({**told, "status": "unknown"}))
                case "disconnect":
                    return

    def _answered(self, request_id: Any, answer: Any) -> bool:
        """Return whether somebody waited for this answer: the first one wins."""
        question = self._open.get(request_id) if isinstance(request_id, str) else None
        if question is None or question.answer.done() or not isinstance(answer, str):
            return False
        question.answer.set_result(answer)
        return True

    def _next(self) -> ServerConnection | None:
        if not self._frontends:
            return None
        self._turn = (self._turn + 1) % len(self._frontends)
        return self._frontends[self._turn]

    async def _hand_over(self, holder: ServerConnection | None) -> None:
        """Give the questions of one holder to those whose turn it is, the oldest first."""
        left = [question for question in self._open.values() if question.holder is holder]
        # All have their new holder before the first is shown, which may take time.
        for question in left:
            question.holder = self._next()
        for question in left:
            await _show(question)


async def _show(question: Question) -> None:
    if question.holder is not None:
        # Who is gone is noticed where it is listened to, and its questions move on.
        with contextlib.suppress(ConnectionClosed):
            await question.holder.send(question.message)


def _decoded(data: str | bytes) -> dict[str, Any]:
    """Return a frontend's message, or an empty one for what is none, as Go's server ignores it."""
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def mcp_server(hub: Hub) -> MCPServer[Any]:
    """Return the MCP side: two tools, as the SDK's documentation shows it."""
    server: MCPServer[Any] = MCPServer("reference", version="1", log_level="WARNING")

    @server.tool(
        description="Ask a question to the user and receive their response",
        structured_output=False,
    )
    async def ask_user(
        question: str,
        context: Context[Any, Request],
        timeout_seconds: float = _DEFAULT_TIMEOUT_SECONDS,
    ) -> str:
        asking = asyncio.create_task(hub.ask(question, timeout_seconds))
        leaving = asyncio.create_task(_left(context.request_context.request))
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ToolError("the caller has left")
            return asking.result()
        except TimeoutError:
            raise ToolError("nobody answered in time") from None
        finally:
            asking.cancel()
            leaving.cancel()

    @server.tool(description="List who is connected", structured_output=False)
    async def list_frontends() -> str:
        return f"{len(hub)} frontends online"

    return server


async def _left(request: Request | None) -> None:
    """Return when the caller has left, which the SDK does not tell a tool of this revision."""
    assert request is not None
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def run(ws_port: int, mcp_port: int) -> None:
    """Serve on both ports until SIGTERM, which uvicorn takes."""
    hub = Hub()
    app = mcp_server(hub).streamable_http_app(stateless_http=True, json_response=True)
    config = uvicorn.Config(
        app, host=_HOST, port=mcp_port, log_level="warning", access_log=False, ws="none"
    )
    async with serve(
        hub.attend,
        _HOST,
        ws_port,
        # Nothing of ours is long enough to gain by it.
        compression=None,
        ping_interval=_PING_SECONDS,
        ping_timeout=_PING_SECONDS,
        max_size=_MAX_MESSAGE_BYTES,
    ):
        await uvicorn.Server(config).serve()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on the ports that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.reference.python.server", description=__doc__
    )
    parser.add_argument("--ws", type=int, default=8080, help="the port of frontends, at /ws")
    parser.add_argument("--mcp", type=int, default=8081, help="the port of callers, at /mcp")
    given = parser.parse_args(arguments)
    asyncio.run(run(given.ws, given.mcp))


if __name__ == "__main__":
    main()
