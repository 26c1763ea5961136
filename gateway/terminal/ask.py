"""``frontend-router ask``: a caller at the command line.

It speaks MCP 2026-07-28 to a gateway, waits, and prints the answer. It refuses
to retry by itself: with ``--idempotency-key`` the same command asks again
without asking people twice.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import trio

_REVISION: Final = "2026-07-28"
_META: Final = "io.modelcontextprotocol/"
_STATUS: Final = {"answered": 0, "timed_out": 3, "rejected": 4, "cancelled": 4}
_FAILED: Final = 1
_INTERRUPTED: Final = 130


class AskError(Exception):
    """The question could not be asked or its answer not be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "The answer goes to standard output. Exit status: 0 answered, 1 failed, 3 nobody "
        "answered in time, 4 refused or cancelled."
    )
    parser.add_argument("question", help="What to ask.")
    parser.add_argument("--choice", action="append", default=[], help="An answer to pick; repeat.")
    parser.add_argument("--context", default="", help="What people should know to answer.")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="How long to wait [300]."
    )
    parser.add_argument("--audience", metavar="KIND:NAME", help="user:ann, group:ops, frontend:id.")
    parser.add_argument("--delivery", choices=("all", "one"), help="Ask everybody, or one by one.")
    parser.add_argument("--idempotency-key", metavar="KEY", help="Joins an earlier ask with it.")
    parser.add_argument("--json", action="store_true", help="Print the whole result as JSON.")
    parser.add_argument("--url", default="http://127.0.0.1:8081/mcp", help="The gateway's MCP.")


def main(options: argparse.Namespace) -> int:
    """Ask, and print what comes back. Returns the exit status."""
    try:
        result = trio.run(_ask, options.url, _arguments(options))
    except AskError as error:
        print(f"frontend-router: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        # Closing the connection has taken the question back.
        print("frontend-router: taken back", file=sys.stderr)
        return _INTERRUPTED
    state = result.get("structuredContent", {}).get("state", "")
    text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    elif state == "answered":
        print(text)
    else:
        print(f"frontend-router: {text}", file=sys.stderr)
    return _STATUS.get(state, _FAILED)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"takes a number of seconds, not {text!r}")
    return seconds


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the tool's arguments that were given."""
    arguments: dict[str, Any] = {"question": options.question}
    if options.choice:
        arguments["choices"] = options.choice
    if options.context:
        arguments["context"] = options.context
    if options.timeout is not None:
        arguments["timeout_seconds"] = options.timeout
    if options.delivery:
        arguments["delivery"] = options.delivery
    if options.idempotency_key:
        arguments["idempotency_key"] = options.idempotency_key
    if options.audience:
        kind, colon, name = options.audience.partition(":")
        if not colon or not name:
            raise AskError(f"--audience takes KIND:NAME such as user:ann, not {options.audience!r}")
        arguments["audience"] = {"kind": kind, "name": name}
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Python keeps a byte that is not UTF-8 as half a surrogate pair.
        raise AskError("what was typed is not UTF-8; set the terminal to it") from None
    return arguments


async def _ask(url: str, arguments: dict[str, Any]) -> dict[str, Any]:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "ask_user",
            "arguments": arguments,
            "_meta": {
                f"{_META}protocolVersion": _REVISION,
                f"{_META}clientCapabilities": {},
                f"{_META}clientInfo": {"name": "frontend-router ask", "version": "1"},
                "progressToken": "terminal",
            },
        },
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "ask_user",
    }
    # The gateway gives a sign of life every 15 seconds; silence is a broken line.
    timeout = httpx.Timeout(10, read=60)
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
            client.stream("POST", url, json=message, headers=headers) as response,
        ):
            return await _read(response)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise AskError(f"--url {url} cannot be used: {error}") from None
    except httpx.ConnectError:
        raise AskError(
            f"no gateway answers at {url}; start one with frontend-router serve, or name "
            "another with --url"
        ) from None
    except httpx.HTTPError as error:
        raise AskError(f"the connection broke ({error}); ask again") from None


async def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            return _result(json.loads(await response.aread()))
        async for message in _messages(response):
            if "method" in message:
                _show_progress(message)
            else:
                return _result(message)
    except (ValueError, KeyError, TypeError):
        raise AskError(f"this is no gateway: HTTP {response.status_code}") from None
    raise AskError("the gateway ended the connection without an answer; ask again")


async def _messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield what each event carries (WHATWG HTML, server-sent events; lines end as ours do)."""
    data: list[bytes] = []
    unended = b""
    async for chunk in response.aiter_bytes():
        # Not by httpx's lines: those end at U+2028 and the like, which an answer may contain.
        *lines, unended = (unended + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line.rstrip(b"\r") and data:
                text = b"\n".join(data)
                data = []
                if text.strip():
                    yield json.loads(text)


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if "error" in message:
        error = message["error"]
        raise AskError(error["message"] if isinstance(error, dict) else str(error))
    result: dict[str, Any] = message["result"]
    if not isinstance(result["content"], list):
        raise TypeError(result)
    return result


def _show_progress(message: dict[str, Any]) -> None:
    text = message.get("params", {}).get("message", "")
    if text and sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
        if "answered" in text:
            print(file=sys.stderr)
