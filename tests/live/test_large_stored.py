"""Sixteen mebibytes in Redis: written, read and told again, and the loop waits for none of it.

Measured as in `tests.live.test_large_stalls`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from haproxy.redis_cluster import RedisNode
from tests.live.caller import HANDSHAKE, MODERN, WITH_TASKS
from tests.live.metrics import counted
from tests.live.test_large import (
    LARGEST,
    MESSAGE,
    META,
    PATIENCE,
    Person,
    ask,
    body_of,
    frontend_of,
    in_fragments,
)
from tests.live.test_large_stalls import book
from tests.live.watched import Watched, watching

pytestmark = pytest.mark.slow

# As long in JSON as may come in one message.
SHAPES: Final[dict[str, Callable[[], str]]] = {
    "prose": book,
    "escapes": lambda: '\\"\n' * (LARGEST // 6),
    "three bytes": lambda: "\u2192" * (LARGEST // 3),
    "a short text": lambda: "Yes",
}


@pytest.fixture(scope="module")
def watched(redis_node: RedisNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A gateway on Redis whose settings allow texts of 16 MiB, and which records them."""
    flags = ("--store", redis_node.url, "--audit-to", "both", "--audit-content", "text")
    yield from watching(tmp_path_factory, *flags, outbox=8 * MESSAGE)


def request(watched: Watched, method: str, params: dict[str, Any]) -> Any:
    """Send a request of the modern revision; return its result."""
    described = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    params = {**params, "_meta": {**described, **params.get("_meta", {})}}
    (named,) = [params[key] for key in ("name", "uri", "taskId") if key in params]
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
        "Mcp-Name": named,
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    url = f"http://127.0.0.1:{watched.gateway.mcp_port}/mcp"
    text = httpx.post(url, json=message, headers=headers, timeout=PATIENCE).text
    if text.startswith((":", "event", "id")):
        text = [line for line in text.split("\n") if line.startswith("data: {")][-1][6:]
    return json.loads(text)["result"]


def open_session(url: str) -> dict[str, str]:
    """Shake hands; return the headers of a session's requests."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": HANDSHAKE}
    introduction = {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": introduction}
    session = httpx.post(url, json=message, headers=headers).headers["mcp-session-id"]
    return {**headers, "Mcp-Session-Id": session}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stored_question_and_all_that_is_told_of_it(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, SHAPES[shape]()
    with frontend_of(gateway, in_fragments) as frontend, Person(frontend, in_fragments):
        for _ in watched.tries(f"{shape}: asked and answered"):
            state = ask(gateway, body_of("All of it?", text))["structuredContent"]
            assert state["answer"] == text
    question_id = state["question_id"]
    for _ in watched.tries(f"{shape}: collected"):
        arguments = {"question_id": question_id}
        params = {"name": "collect_answer", "arguments": arguments}
        result = request(watched, "tools/call", params)
        assert result["structuredContent"]["answer"] == text
    for _ in watched.tries(f"{shape}: read"):
        result = request(watched, "resources/read", {"uri": f"question://{question_id}"})
        assert json.loads(result["contents"][0]["text"])["answer"] == text
    for _ in watched.tries(f"{shape}: a task"):
        task = request(watched, "tasks/get", {"taskId": f"question-{question_id}", **WITH_TASKS})
        assert task["result"]["structuredContent"]["answer"] == text
    assert counted(gateway, "frontend_router_failures_total") == 0
    assert counted(gateway, "frontend_router_large_waiting", how="storing") == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_that_broke_is_resumed_for_a_large_answer(watched: Watched, shape: str) -> None:
    gateway, text = watched.gateway, SHAPES[shape]()
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    headers = open_session(url)
    arguments = {"question": "All of it?", "context": text}
    params = {"name": "ask_user", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    for _ in watched.tries(f"{shape}: resumed"):
        with httpx.stream("POST", url, json=message, headers=headers, timeout=PATIENCE) as stream:
            line = next(line for line in stream.iter_lines() if line.startswith("id: "))
        with frontend_of(gateway, in_fragments) as frontend, Person(frontend, in_fragments):
            resuming = {**headers, "Last-Event-ID": line[4:]}
            answer = httpx.get(url, headers=resuming, timeout=PATIENCE).text
        data = next(line for line in answer.split("\n") if line.startswith("data: {"))
        assert json.loads(data[6:])["result"]["structuredContent"]["answer"] == text
    assert counted(gateway, "frontend_router_failures_total") == 0
