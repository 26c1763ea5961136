"""What comes with a session and is no request; more of it is in `test_endpoint`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.results import ToolResult, text
from tests.gateway.mcp.recording import Port, request


async def _roots(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    said = await call.ask("roots/list", {})
    return text(f"{len(said['roots'])} roots")


@pytest.fixture
def port() -> Port:
    return Port(declare=lambda registry: registry.tool("roots", _roots, description="d"))


def test_a_response_may_be_part_of_a_batch(port: Port) -> None:
    session = port.initialize("2025-03-26", capabilities={"roots": {}})
    asked = port.in_session(session, "tools/call", {"name": "roots"}, request_id=2)
    inquiry = asked.messages[0]
    response = {"jsonrpc": "2.0", "id": inquiry["id"], "result": {"roots": []}}
    reply = port.post([response, request("ping", None, 3)], mcp_session_id=session)
    assert [each["id"] for each in reply.json] == [3]
    assert asked.reply["result"]["content"][0]["text"] == "0 roots"


def test_a_batch_of_responses_alone_is_accepted(port: Port) -> None:
    session = port.initialize("2025-03-26")
    reply = port.post([{"jsonrpc": "2.0", "id": 1, "result": {}}], mcp_session_id=session)
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_session_is_not_found(port: Port, method: str) -> None:
    reply = port.send(b"", method, mcp_session_id="none")
    assert (reply.status, reply.json["error"]["code"]) == (404, -32600)


def test_a_response_needs_a_session(port: Port) -> None:
    reply = port.post({"jsonrpc": "2.0", "id": 1, "result": {}})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32600)
