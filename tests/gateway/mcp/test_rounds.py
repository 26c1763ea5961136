"""Results that ask the caller for something first."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp import rounds
from gateway.mcp.call import Call
from gateway.mcp.registry import Registry
from gateway.mcp.results import Encoded, ToolResult, text
from tests.gateway.mcp.recording import META, Port, Recorder

DECLARED: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}
WANTED = {
    "name": rounds.elicitation("Who?", {"name": {"type": "string"}}, "name"),
    "capital": rounds.sampling("Capital?", 10),
    "roots": rounds.roots(),
}


async def _ask(call: Call, arguments: dict[str, Any]) -> ToolResult | Encoded:
    given = rounds.responses(call)
    if "name" in given:
        return text(f"{rounds.accepted(given['name'])}")
    wanted = {key: WANTED[key] for key in arguments.get("keys", ("name",))}
    return rounds.ask(call, wanted, arguments.get("state", ""))


def _declare(registry: Registry) -> None:
    registry.tool("ask", _ask, description="d")


@pytest.fixture
def port() -> Port:
    return Port(declare=_declare)


def _call(port: Port, declared: object = DECLARED, **more: Any) -> Recorder:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": declared}
    return port.modern("tools/call", {"name": "ask", "_meta": meta, **more})


def test_a_result_asks_for_several_things_each_under_a_key(port: Port) -> None:
    response = _call(port, arguments={"keys": list(WANTED), "state": "s"})
    result = response.json["result"]
    assert response.status == 200
    assert result["resultType"] == "input_required"
    assert result["requestState"] == "s"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "frontend-router"
    assert result["inputRequests"] == {
        "name": {
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Who?",
                "requestedSchema": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                },
            },
        },
        "capital": {
            "method": "sampling/createMessage",
            "params": {
                "messages": [{"role": "user", "content": {"type": "text", "text": "Capital?"}}],
                "maxTokens": 10,
            },
        },
        "roots": {"method": "roots/list"},
    }


@pytest.mark.parametrize(
    ("response", "accepted"),
    [
        ({"action": "accept", "content": {"name": "Ann"}}, "{'name': 'Ann'}"),
        ({"action": "accept"}, "None"),
        ({"action": "accept", "content": 5}, "None"),
        ({"action": "decline", "content": {"name": "Ann"}}, "None"),
        ({}, "None"),
    ],
)
def test_only_what_a_person_agreed_to_send_counts(
    port: Port, response: dict[str, Any], accepted: str
) -> None:
    reply = _call(port, inputResponses={"name": response, "extra": {}}).json
    assert reply["result"]["content"][0]["text"] == accepted


@pytest.mark.parametrize(
    "responses",
    [5, [], "x", {"name": 5}, {"name": None}, {str(number): {} for number in range(33)}],
)
def test_what_are_no_responses_is_refused(port: Port, responses: object) -> None:
    reply = _call(port, inputResponses=responses)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)


def test_a_caller_is_not_asked_for_what_it_cannot_do(port: Port) -> None:
    reply = _call(port, {"sampling": {}})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32021)
    assert reply.json["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}


def test_older_revisions_have_no_rounds(port: Port) -> None:
    session = port.initialize(capabilities=DECLARED)
    reply = port.in_session(session, "tools/call", {"name": "ask"}).json
    assert reply["error"]["code"] == -32600


def test_a_handler_that_asks_for_nothing_or_too_much_has_a_mistake(port: Port) -> None:
    assert _call(port, arguments={"keys": []}).json["error"]["code"] == -32603
    assert [type(error) for error in port.failures] == [ValueError]
