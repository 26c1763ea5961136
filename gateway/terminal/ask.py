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
import msgspec

from gateway.terminal import credential, interrupt
from gateway.terminal.text import plain

_REVISION: Final = "2026-07-28"
_META: Final = "io.modelcontextprotocol/"
_STATUS: Final = {"answered": 0, "timed_out": 3, "rejected": 4, "cancelled": 4}
_FAILED: Final = 1
_INTERRUPTED: Final = 130
_UNAUTHORIZED: Final = 401
_KINDS: Final = ("user", "group", "frontend")
_NOBODY: Final = ", 0 frontends online"
_EPILOG: Final = """\
The answer goes to standard output, everything else to standard error. Exit
status: 0 answered, 1 failed, 3 nobody answered in time, 4 refused or cancelled.

examples:
  frontend-router ask "Ship it?" --choice yes --choice no --timeout 60
  frontend-router ask "Which host?" --audience group:ops --context "$(cat plan.txt)"
  answer=$(frontend-router ask "New version?") && git tag "$answer"
"""


class AskError(Exception):
    """The question could not be asked or its answer not be read."""


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _State(msgspec.Struct):
    state: str = ""


class _Result(msgspec.Struct):
    content: list[_Part]
    structured: _State = msgspec.field(name="structuredContent", default_factory=_State)

    def text(self) -> str:
        return "\n".join(part.text for part in self.content if part.type == "text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("question", help="What to ask.")
    parser.add_argument("--choice", action="append", default=[], help="An answer to pick; repeat.")
    parser.add_argument("--context", default="", help="What people should know to answer.")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="How long to wait [300]."
    )
    parser.add_argument(
        "--audience",
        type=_audience,
        metavar="KIND:NAME",
        help="Who is asked: user:ann, group:ops or frontend:ID [everyone].",
    )
    parser.add_argument("--delivery", choices=("all", "one"), help="Ask everybody, or one by one.")
    parser.add_argument("--idempotency-key", metavar="KEY", help="Joins an earlier ask with it.")
    parser.add_argument("--json", action="store_true", help="Print the whole result as JSON.")
    credential.add_argument(parser)
    parser.add_argument("--url", default="http://127.0.0.1:8081/mcp", help="The gateway's MCP.")


def main(options: argparse.Namespace) -> int:
    """Ask, and print what comes back. Returns the exit status."""
    progress = _Progress()
    try:
        token = credential.credential(options)
        result = interrupt.run(_ask, options.url, token, _arguments(options), progress)
        known = msgspec.convert(result, _Result)
    except (AskError, credential.CredentialFileError) as error:
        return _complain(str(error), _FAILED)
    except msgspec.ValidationError as error:
        return _complain(f"this is no result of ask_user: {error}", _FAILED)
    except KeyboardInterrupt:
        # The connection is closed by now, which takes back a question without a key.
        kept = "the question stays open: ask again with the same key"
        return _complain(kept if options.idempotency_key else "taken back", _INTERRUPTED)
    finally:
        progress.clear()
    status = _STATUS.get(known.structured.state, _FAILED)
    is_shown = sys.stdout.isatty()
    if options.json:
        print(json.dumps(result, ensure_ascii=is_shown))
    elif status:
        _complain(known.text(), status)
    else:
        print(plain(known.text()) if is_shown else known.text())
    return status


def _complain(text: str, status: int) -> int:
    _tell(f"frontend-router: {plain(text)}\n")
    return status


def _tell(text: str) -> None:
    # There is none when it was closed (2>&-); then nothing may land in the answer instead.
    if sys.stderr is not None:
        print(text, end="", file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"takes a number of seconds above 0, not {text!r}")
    return seconds


def _audience(text: str) -> dict[str, str]:
    kind, _, name = text.partition(":")
    if text == "everyone":
        return {"kind": "everyone"}
    if kind not in _KINDS or not name:
        raise argparse.ArgumentTypeError(
            f"takes user:NAME, group:NAME, frontend:ID or everyone, not {text!r}"
        )
    return {"kind": kind, "name": name}


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the tool's arguments that were given."""
    given = {
        "choices": options.choice,
        "context": options.context,
        "timeout_seconds": options.timeout,
        "audience": options.audience,
        "delivery": options.delivery,
        "idempotency_key": options.idempotency_key,
    }
    return {"question": options.question} | {name: value for name, value in given.items() if value}


async def _ask(url: str, token: str, arguments: dict[str, Any], progress: _Progress) -> Any:
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
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "ask_user",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # The gateway gives a sign of life every 15 seconds; silence is a broken line.
    timeout = httpx.Timeout(10, read=60)
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
            client.stream("POST", url, content=json.dumps(message), headers=headers) as response,
        ):
            if response.status_code == _UNAUTHORIZED and not token:
                raise AskError(
                    f"{url} wants a credential: name a file that has an API key or access token "
                    f"by --token-file, or put it into {credential.VARIABLE}"
                )
            return await _read(response, progress)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise AskError(
            f"no gateway answers at {url}; start one with frontend-router serve, or name "
            "another with --url"
        ) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise AskError(f"--url takes an address such as http://host:8081/mcp, not {url}") from None
    except httpx.HTTPError as error:
        raise AskError(f"the connection broke ({error or type(error).__name__}); ask again") from (
            None
        )


async def _read(response: httpx.Response, progress: _Progress) -> Any:
    try:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            async for message in _messages(response):
                if "method" not in message:
                    return _result(message)
                progress.show(message)
            raise AskError("the gateway ended the connection without an answer; ask again")
        body = json.loads(await response.aread())
        if isinstance(body.get("error"), str):
            raise AskError(f"{body['error']} (HTTP {response.status_code})")
        return _result(body)
    except (ValueError, TypeError, KeyError, AttributeError):
        # Not JSON, or JSON of another shape than JSON-RPC's.
        raise AskError(f"{response.url} is no gateway: HTTP {response.status_code}") from None


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
                # A priming event carries an id and nothing else.
                if text.strip():
                    yield json.loads(text)


def _result(message: dict[str, Any]) -> Any:
    error = message.get("error")
    if error is not None:
        raise AskError(error["message"] if isinstance(error, dict) else str(error))
    return message["result"]


class _Progress:
    """Who is waited for: a line that renews itself on a terminal, lines of a log elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown = ""

    def show(self, message: dict[str, Any]) -> None:
        """Show what a progress notification says, if it says something new."""
        text = message.get("params", {}).get("message")
        if not isinstance(text, str) or text in ("", self._shown):
            return
        self._shown = text
        if text.endswith(_NOBODY):
            text += ": open the inbox"
        line = plain(text).replace("\n", " ")
        _tell(f"\r\x1b[2K{line}" if self._is_terminal else f"frontend-router: {line}\n")

    def clear(self) -> None:
        """Leave a terminal's line as it was before."""
        if self._shown and self._is_terminal:
            _tell("\r\x1b[2K")
