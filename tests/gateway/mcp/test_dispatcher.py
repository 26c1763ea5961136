"""Every call is answered exactly once; the cases are in `test_endpoint`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.endpoint import Settings
from gateway.mcp.registry import Registry
from gateway.mcp.results import ToolResult, text
from tests.gateway.mcp.recording import Port, Screen, ask

SCHEMA = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}


async def _where(_call: Call, arguments: dict[str, Any]) -> ToolResult:
    return text(str(arguments.get("region")))


def _declare(registry: Registry) -> None:
    registry.tool("where", _where, description="d", input_schema=SCHEMA)


@pytest.mark.parametrize(
    ("arguments", "header", "code"),
    [
        ({"region": "eu"}, "eu", None),
        ({}, "", None),
        ({"region": "eu"}, "", -32020),
        ({"region": "eu"}, "us", -32020),
        ({}, "eu", -32020),
        ([], "eu", -32020),
        ([], "", -32602),
    ],
)
def test_a_mirrored_argument_is_compared_with_its_header(
    arguments: Any, header: str, code: int | None
) -> None:
    port = Port(declare=_declare)
    params = {"name": "where", "arguments": arguments}
    response = port.modern("tools/call", params, mcp_param_region=header)
    if code is None:
        assert response.json["result"]["content"][0]["text"] == str(arguments.get("region"))
    else:
        assert (response.status, response.json["error"]["code"]) == (400, code)


def test_older_revisions_know_no_mirrored_arguments() -> None:
    port = Port(declare=_declare)
    params = {"name": "where", "arguments": {"region": "eu"}}
    assert port.in_session(port.initialize(), "tools/call", params).json["result"]


def test_other_tools_need_no_such_header() -> None:
    port = Port(declare=_declare)
    assert port.modern("tools/call", {"name": "list_frontends"}).json["result"]
    assert port.modern("tools/call", {"name": "none"}).json["error"]["code"] == -32602


def test_a_resumed_stream_counts_as_a_call_of_its_session() -> None:
    port = Port(Settings(session_calls=1))
    port.attach(Screen())
    session = port.initialize()
    broken = port.in_session(session, "tools/call", ask())
    port.pass_time(0.2)
    event_id = broken.events[0]["id"]
    broken.disconnect()
    other = port.in_session(session, "tools/call", ask())
    refused = port.listen(session, last_event_id=event_id)
    assert refused.reply["error"]["code"] == -31000
    other.disconnect()
    assert not port.listen(session, last_event_id=event_id).complete
