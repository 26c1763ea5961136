"""What a caller must declare before it is asked for anything."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp import capabilities
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.jsonrpc import RpcError
from tests.gateway.mcp.recording import META, Port

SAMPLING = ("sampling/createMessage", {"maxTokens": 1})
FORM = ("elicitation/create", {"mode": "form"})
URL = ("elicitation/create", {"mode": "url"})
ROOTS: tuple[str, dict[str, Any]] = ("roots/list", {})


def _call(declared: object) -> Call:
    calls: list[Call] = []

    async def take(call: Call, _arguments: dict[str, Any]) -> Later:
        calls.append(call)
        return LATER

    port = Port(declare=lambda registry: registry.tool("take", take, description="d"))
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": declared}
    port.modern("tools/call", {"name": "take", "_meta": meta})
    return calls[0]


@pytest.mark.parametrize(
    ("declared", "request_", "expected"),
    [
        ({}, SAMPLING, False),
        ({"sampling": {}}, SAMPLING, True),
        ({"sampling": None}, SAMPLING, False),
        ({"sampling": True}, SAMPLING, False),
        ({"roots": {"listChanged": True}}, ROOTS, True),
        ({"elicitation": {}}, FORM, True),
        ({"elicitation": {"form": {}}}, FORM, True),
        ({"elicitation": {"url": {}}}, FORM, False),
        ({"elicitation": {"url": {}}}, URL, True),
        ({"elicitation": {}}, URL, False),
        ({"elicitation": {"form": {}}}, URL, False),
        ({"elicitation": {}}, ("elicitation/create", {}), True),
    ],
)
def test_a_caller_can_be_asked_what_it_declares(
    declared: object, request_: tuple[str, dict[str, Any]], expected: bool
) -> None:
    assert capabilities.declares(_call(declared), *request_) is expected


def test_all_that_is_missing_is_named_at_once() -> None:
    call = _call({"roots": {}})
    with pytest.raises(RpcError) as caught:
        capabilities.require(call, (SAMPLING, URL, ROOTS))
    assert caught.value.code == -32021
    assert caught.value.data == {
        "requiredCapabilities": {"sampling": {}, "elicitation": {"url": {}}}
    }
    capabilities.require(call, (ROOTS,))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, False),
        ({"extensions": {}}, False),
        ({"extensions": []}, False),
        ({"extensions": {capabilities.TASKS: None}}, False),
        ({"extensions": {capabilities.TASKS: {}}}, True),
    ],
)
def test_tasks_are_declared_by_an_object(declared: object, expected: bool) -> None:
    call = _call(declared)
    assert capabilities.has_tasks(call) is expected
    if expected:
        capabilities.require_tasks(call)
        return
    with pytest.raises(RpcError) as caught:
        capabilities.require_tasks(call)
    assert caught.value.code == -32021
    assert caught.value.data == {"requiredCapabilities": {"extensions": {capabilities.TASKS: {}}}}
