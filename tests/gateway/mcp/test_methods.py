"""Lists, resources and prompts in both eras; tools have a file of their own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.registry import Registry
from gateway.mcp.results import (
    PromptMessage,
    PromptResult,
    ReadResult,
    ResourceContents,
    TextContent,
    ToolResult,
    text,
)
from tests.gateway.mcp.recording import Port, Recorder


async def _read(_call: Call, uri: str, values: dict[str, str]) -> ReadResult:
    return ReadResult((ResourceContents(uri, "text/plain", repr(values)),))


async def _prompt(_call: Call, arguments: dict[str, str]) -> PromptResult:
    return PromptResult((PromptMessage("user", TextContent(f"Say {arguments['word']}.")),))


async def _echo(call: Call, arguments: dict[str, Any]) -> ToolResult:
    return text(f"{call.caller_name} {sorted(call.capabilities)} {arguments}")


def _declare(registry: Registry) -> None:
    registry.resource("test://fixed", "fixed", _read)
    registry.template("test://item/{id}", "item", _read)
    registry.prompt(
        "say", _prompt, description="d", arguments=({"name": "word", "required": True},)
    )
    registry.tool("echo", _echo, description="d")


@pytest.fixture
def port() -> Port:
    return Port(declare=_declare)


def _both(port: Port, method: str, params: Any = None) -> tuple[Recorder, Recorder]:
    session = port.initialize()
    return port.in_session(session, method, params), port.modern(method, params)


def test_what_is_declared_is_offered(port: Port) -> None:
    capabilities: dict[str, Any] = {
        "logging": {},
        "tools": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
        "prompts": {"listChanged": True},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
    assert port.modern("server/discover").json["result"]["capabilities"] == capabilities


@pytest.mark.parametrize(
    ("method", "member", "key"),
    [
        ("tools/list", "tools", "inputSchema"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
        ("prompts/list", "prompts", "arguments"),
    ],
)
def test_lists_are_the_same_in_both_eras_but_for_the_hints(
    port: Port, method: str, member: str, key: str
) -> None:
    old, new = _both(port, method)
    assert set(old.json["result"]) == {member}
    assert set(new.json["result"]) == {member, "resultType", "_meta", "ttlMs", "cacheScope"}
    assert old.json["result"][member] == new.json["result"][member]
    assert key in old.json["result"][member][0]


@pytest.mark.parametrize("cursor", ["nonsense", 5, {}])
def test_a_wrong_cursor_is_invalid(port: Port, cursor: object) -> None:
    for response in _both(port, "tools/list", {"cursor": cursor}):
        assert response.json["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("uri", "said"), [("test://fixed", "{}"), ("test://item/12", "{'id': '12'}")]
)
def test_a_resource_is_read_by_its_uri(port: Port, uri: str, said: str) -> None:
    for response in _both(port, "resources/read", {"uri": uri}):
        contents = response.json["result"]["contents"]
        assert contents == [{"uri": uri, "mimeType": "text/plain", "text": said}]


def test_a_resource_that_is_not_there_has_the_code_of_its_era(port: Port) -> None:
    old, new = _both(port, "resources/read", {"uri": "test://none"})
    assert (old.status, old.json["error"]["code"]) == (200, -32002)
    assert (new.status, new.json["error"]["code"]) == (400, -32602)
    for response in (old, new):
        assert response.json["error"]["data"] == {"uri": "test://none"}


def test_a_prompt_is_filled_in(port: Port) -> None:
    for response in _both(port, "prompts/get", {"name": "say", "arguments": {"word": "hi"}}):
        assert response.json["result"]["messages"] == [
            {"role": "user", "content": {"type": "text", "text": "Say hi."}}
        ]


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("prompts/get", {"name": "none"}, "Unknown prompt"),
        ("prompts/get", {}, "needs name"),
        ("prompts/get", {"name": "say"}, "Missing arguments: word"),
        ("prompts/get", {"name": "say", "arguments": {"word": 5}}, "must be strings"),
        ("prompts/get", {"name": "say", "arguments": []}, "must be strings"),
        ("resources/read", {}, "needs uri"),
        ("resources/read", {"uri": 5}, "needs uri"),
    ],
)
def test_wrong_parameters_are_invalid(
    port: Port, method: str, params: dict[str, Any], words: str
) -> None:
    for response in _both(port, method, params):
        assert response.json["error"]["code"] == -32602
        assert words in response.json["error"]["message"]


@pytest.mark.parametrize(
    "method",
    ["resources/list", "resources/templates/list", "resources/read", "prompts/list", "prompts/get"],
)
def test_what_is_not_offered_is_not_there(method: str) -> None:
    params = {"name": "x"} if method == "prompts/get" else {"uri": "x"}
    old, new = _both(Port(bare=True), method, params)
    assert (old.status, old.json["error"]["code"]) == (200, -32601)
    assert (new.status, new.json["error"]["code"]) == (404, -32601)


def test_a_tool_without_typed_arguments_gets_them_as_they_came(port: Port) -> None:
    for response in _both(port, "tools/call", {"name": "echo", "arguments": {"a": [1]}}):
        assert response.json["result"]["content"][0]["text"] == "tester [] {'a': [1]}"
    without = port.modern("tools/call", {"name": "echo"})
    assert without.json["result"]["content"][0]["text"] == "tester [] {}"


def test_metadata_of_others_in_parameters_is_left_alone(port: Port) -> None:
    params = {"name": "echo", "_meta": {"traceparent": "00-x", "com.example/x": 1}, "task": {}}
    session = port.initialize()
    assert port.in_session(session, "tools/call", params).status == 200
