"""Who else is there in the tests of the page: agents over plain HTTP, and sites of strangers.

An agent is a `POST` of MCP 2026-07-28 that waits for its response.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any, Final, final

from tests.live.process import Ports

_REVISION: Final = "2026-07-28"
# A loaded machine is slow; nobody waits this long when all is well.
_PATIENCE_SECONDS: Final = 60


class RefusedError(Exception):
    """The gateway answered a call with an error."""


@final
class Agent:
    """A caller. What it asked and nobody settled is taken back in the end."""

    def __init__(self, gateway: Ports, key: str = "") -> None:
        self._gateway = gateway
        self._key = key
        self._ids = itertools.count(1)
        self._asked: list[str] = []

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result, however long that takes."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": _REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "Release agent", "version": "1"},
        }
        body = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": meta},
        }
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "MCP-Protocol-Version": _REVISION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._gateway.mcp_port, timeout=_PATIENCE_SECONDS
        )
        with contextlib.closing(connection):
            connection.request("POST", "/mcp", json.dumps(body), headers)
            response = json.loads(connection.getresponse().read())
        if "result" not in response:
            raise RefusedError(str(response))
        result: dict[str, Any] = response["result"]
        return result

    def ask(self, question: str, **arguments: Any) -> str:
        """Ask without waiting; return the question's id."""
        result = self.call("ask_user", question=question, wait="return", **arguments)
        question_id: str = result["structuredContent"]["question_id"]
        self._asked.append(question_id)
        return question_id

    def outcome(self, question_id: str) -> dict[str, Any]:
        """Return what became of a question, as soon as it is settled."""
        result = self.call(
            "collect_answer", question_id=question_id, wait_seconds=_PATIENCE_SECONDS / 2
        )
        content: dict[str, Any] = result["structuredContent"]
        return content

    def take_back(self, question_id: str) -> None:
        """Withdraw a question."""
        self.call("cancel_question", question_id=question_id, reason="No longer needed.")

    def leave(self) -> None:
        """Withdraw what is still open; a gateway that was started again has forgotten it."""
        for question_id in self._asked:
            with contextlib.suppress(RefusedError):
                self.take_back(question_id)


class _QuietHandler(http.server.BaseHTTPRequestHandler):
    """Serves one page for every path, without a word on the terminal."""

    def __init__(self, page: bytes, *arguments: Any) -> None:
        self._page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Serve the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._page)))
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as inherited
        """Say nothing."""


@contextlib.contextmanager
def open_site(page: str) -> Iterator[str]:
    """Serve a page at an origin of its own, which is returned."""
    handler = functools.partial(_QuietHandler, page.encode())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
