"""Sixteen mebibytes beside questions and answers, where settings allow them: nobody waits.

What goes out compressed, what web pages return, what is recorded, and what forms have in them.
Measured as in `tests.live.test_large_stalls`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from tests.live.metrics import counted
from tests.live.pages import LOOKUP, NAME
from tests.live.peer import Peer, assert_serves, frame, websocket
from tests.live.test_large import (
    LARGEST,
    META,
    PATIENCE,
    Person,
    ask,
    body_of,
    frontend_of,
    plainly,
)
from tests.live.test_large_stalls import book, post
from tests.live.watched import Watched, watching

pytestmark = pytest.mark.slow

_SIZE: Final = LARGEST - 4096
_DESCRIBED: Final = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {}}

# Made when they are wanted: they are large.
TEXTS: Final[dict[str, Callable[[], str]]] = {
    "prose": book,
    "newlines": lambda: "\n" * (_SIZE // 2),
    "controls": lambda: "\x01" * (_SIZE // 6),
    "emoji": lambda: "\U0001f600" * (_SIZE // 4),
    "blanks": lambda: " " * _SIZE,
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A gateway that allows texts of 16 MiB, and compresses streams."""
    yield from watching(tmp_path_factory, "--http-compressed-streams", "4")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One that records what is said."""
    yield from watching(tmp_path_factory, "--audit-to", "log", "--audit-content", "text")


def called(tool: str, arguments: dict[str, Any]) -> bytes:
    params = {"name": tool, "arguments": arguments, "_meta": _DESCRIBED}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message, ensure_ascii=False).encode()


def send(caller: Peer, tool: str, arguments: dict[str, Any]) -> None:
    """Call a tool, for a result that comes whole."""
    request = post(caller.port, called(tool, arguments))
    request = request.replace(b", text/event-stream", b"", 1)
    caller.send(request.replace(b"Mcp-Name: ask_user", b"Mcp-Name: %b" % tool.encode(), 1))


def said(peer: Peer, **message: Any) -> None:
    peer.send(frame(1, json.dumps(message, ensure_ascii=False).encode()))


def heard(peer: Peer, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while (message := json.loads(peer.frame_but_pings().payload))["type"] != kind:
        pass
    found: dict[str, Any] = message
    return found


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("shape", TEXTS)
def test_a_large_event_of_a_compressed_stream(watched: Watched, shape: str, coding: str) -> None:
    gateway, text = watched.gateway, TEXTS[shape]()
    with frontend_of(gateway, plainly) as frontend, Person(frontend, plainly):
        for _ in watched.tries(f"{shape} by {coding}"):
            body = body_of("All of it?", text)
            result = ask(gateway, body, Accept="text/event-stream", Accept_Encoding=coding)
            assert result["structuredContent"]["answer"] == text
    assert counted(gateway, "frontend_router_failures_total") == 0


@pytest.mark.parametrize("shape", TEXTS)
def test_a_large_question_and_answer_that_are_recorded(recording: Watched, shape: str) -> None:
    gateway, text = recording.gateway, TEXTS[shape]()
    with frontend_of(gateway, plainly) as frontend, Person(frontend, plainly):
        for _ in recording.tries(shape):
            ask(gateway, body_of("All of it?", text))
            ask(gateway, body_of(f"{text}?"))
    assert counted(gateway, "frontend_router_failures_total") == 0


def result_of(text: str) -> dict[str, Any]:
    return {"content": [], "structuredContent": {"state": text}}


@pytest.mark.parametrize("shape", TEXTS)
def test_a_large_result_of_a_tool_of_a_page(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, TEXTS[shape]()
    with websocket(gateway.ws_port) as page, Peer(gateway.mcp_port) as caller:
        said(page, type="connect")
        said(page, type="register_tools", namespace="shop", tools=[LOOKUP])
        heard(page, "tools_registered")
        for _ in watched.tries(shape):
            send(caller, NAME, {"order": 7})
            call = heard(page, "tool_call")
            said(page, type="tool_result", call_id=call["call_id"], result=result_of(text))
            assert heard(page, "tool_ack")["status"] == "invalid"
            result = json.loads(caller.answer().body)["result"]
            assert result["isError"]
            assert "longer than 1048576 bytes" in result["content"][0]["text"]
    assert_serves(gateway.mcp_port)


@pytest.mark.parametrize("shape", TEXTS)
def test_large_arguments_of_a_tool_of_a_page(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, TEXTS[shape]()
    free = {**LOOKUP, "inputSchema": {"type": "object"}}
    with websocket(gateway.ws_port) as page, Peer(gateway.mcp_port) as caller:
        said(page, type="connect")
        said(page, type="register_tools", namespace="shop", tools=[free])
        heard(page, "tools_registered")
        for _ in watched.tries(shape):
            send(caller, NAME, {"text": text})
            result = json.loads(caller.answer().body)["result"]
            assert "longer than 1048576 characters" in result["content"][0]["text"]
    assert_serves(gateway.mcp_port)


@pytest.mark.parametrize("shape", ["prose", "emoji"])
def test_a_large_form(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, TEXTS[shape]()
    schema = {"type": "object", "properties": {"words": {"type": "string", "minLength": 1}}}
    with websocket(gateway.ws_port) as page, Peer(gateway.mcp_port) as caller:
        said(page, type="connect")
        heard(page, "connect_ack")
        for _ in watched.tries(shape):
            send(caller, "ask_user", {"question": "?", "schema": schema})
            asked = heard(page, "ask_user")
            content = {"words": text}
            said(page, type="user_response", request_id=asked["request_id"], content=content)
            assert heard(page, "response_ack")["status"] == "accepted"
            result = json.loads(caller.answer().body)["result"]
            assert result["structuredContent"]["content"] == content
    assert_serves(gateway.mcp_port)


LINES: Final[dict[str, Callable[[], str]]] = {
    "lines": lambda: "\n" * (_SIZE // 2),
    "lines with words": lambda: "a\n" * (_SIZE // 3),
    "an object": lambda: json.dumps({"q1": "x" * (_SIZE - 400), "q2": "x"}),
    "numbers": lambda: "[" + "0," * (_SIZE // 3) + "0]\n1",
    "blanks": TEXTS["blanks"],
}


@pytest.mark.parametrize("shape", LINES)
def test_a_large_text_that_answers_several_questions(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, LINES[shape]()
    parts = [{"question": "One?"}, {"question": "Two?", "schema": {"type": "object"}}]
    with websocket(gateway.ws_port) as page, Peer(gateway.mcp_port) as caller:
        said(page, type="connect")
        heard(page, "connect_ack")
        arguments = {"question": "?", "questions": parts}
        for _ in watched.tries(shape):
            send(caller, "ask_user", arguments)
            asked = heard(page, "ask_user")
            said(page, type="user_response", request_id=asked["request_id"], answer=text)
            assert heard(page, "response_ack")["status"] == "invalid"
            said(page, type="user_response", request_id=asked["request_id"], rejected=True)
            caller.answer()
    assert_serves(gateway.mcp_port)


ARGUMENTS: Final[dict[str, Callable[[str], tuple[str, dict[str, Any]]]]] = {
    "an approval": lambda text: (
        "request_approval",
        {"tool": "pay", "reason": "Why not?", "arguments": {"text": text}},
    ),
    "a schema": lambda text: ("ask_user", {"question": "?", "schema": schema_with(text)}),
    "a schema of several": lambda text: (
        "ask_user",
        {"question": "?", "questions": [{"question": "?", "schema": schema_with(text)}]},
    ),
    "a choice": lambda text: ("ask_user", {"question": "?", "choices": [text]}),
}


def schema_with(text: str) -> dict[str, Any]:
    return {"type": "object", "description": text}


@pytest.mark.parametrize("shape", ["newlines", "emoji"])
@pytest.mark.parametrize("what", ARGUMENTS)
def test_large_arguments_that_are_refused(watched: Watched, what: str, shape: str) -> None:
    gateway = watched.gateway
    tool, arguments = ARGUMENTS[what](TEXTS[shape]())
    with websocket(gateway.ws_port) as page, Peer(gateway.mcp_port) as caller:
        # Somebody who would be shown it.
        said(page, type="connect")
        heard(page, "connect_ack")
        for _ in watched.tries(f"{what} of {shape}"):
            send(caller, tool, arguments)
            assert json.loads(caller.answer().body)["result"]["isError"]
    assert_serves(gateway.mcp_port)


def answered(client: httpx.Client, url: str, text: str) -> str:
    """Open a session and have a question answered with a text; return the question's id."""
    revision = "2025-03-26"
    about = {"name": "agent", "version": "1"}
    hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": about}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    client.headers["Mcp-Session-Id"] = client.post(url, json=message).headers["mcp-session-id"]
    client.headers["MCP-Protocol-Version"] = revision
    client.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    params = {"name": "ask_user", "arguments": {"question": "?", "context": text}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    (reply,) = replies(client.post(url, json=message))
    question_id: str = reply["result"]["structuredContent"]["question_id"]
    return question_id


def replies(response: httpx.Response) -> list[dict[str, Any]]:
    """Return what comes as events, or whole."""
    if response.headers["content-type"] == "text/event-stream":
        lines = response.text.split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    found = response.json()
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(("count", "size"), [(4, LARGEST - 4096), (60, 250_000)])
def test_a_batch_whose_replies_are_large_together(
    watched: Watched, count: int, size: int, accept: str
) -> None:
    gateway, text = watched.gateway, book()[:size]
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    both = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "gzip"}
    with (
        httpx.Client(timeout=PATIENCE, headers=both) as client,
        frontend_of(gateway, plainly) as frontend,
        Person(frontend, plainly),
    ):
        arguments = {"question_id": answered(client, url, text)}
        params = {"name": "collect_answer", "arguments": arguments}
        call = {"jsonrpc": "2.0", "method": "tools/call", "params": params}
        batch = [{**call, "id": number} for number in range(count)]
        client.headers["Accept"] = accept
        for _ in watched.tries(f"{count} of {size}"):
            came = replies(client.post(url, json=batch))
            assert {each["id"] for each in came} == set(range(count))
            assert all(len(each["result"]["content"][0]["text"]) == len(text) for each in came)
    assert counted(gateway, "frontend_router_slow_consumers_total") == 0
