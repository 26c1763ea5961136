"""Everything we send, as the official types of each revision see it."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_types import methods

from gateway.mcp.call import Call
from gateway.mcp.registry import Registry
from gateway.mcp.results import ToolResult, text
from gateway.mcp.seals import Seals
from tests.conformance import reading
from tests.conformance.asking import Asking
from tests.gateway.mcp.recording import META, MODERN, Port, Recorder, Screen, ask

pytestmark = pytest.mark.slow

HANDSHAKE = ("2025-03-26", "2025-06-18", "2025-11-25")
DECLARED: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}
CAPABLE = {**META, "io.modelcontextprotocol/clientCapabilities": DECLARED, "progressToken": "p"}

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("tools/list", {}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "frontends://connected"}),
    ("resources/read", {"uri": "test://static-binary"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "ask_a_person", "arguments": {}}),
    ("prompts/get", {"name": "test_prompt_with_image"}),
    ("tools/call", {"name": "list_frontends"}),
    ("tools/call", ask(wait="return")),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
            "argument": {"name": "arg1", "value": "p"},
        },
    ),
]
#: What only the modern revision answers, and what only the others do.
MODERN_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("server/discover", {}),
    ("tools/call", {"name": "test_input_required_result_multiple_inputs"}),
    ("prompts/get", {"name": "test_input_required_result_prompt"}),
]
HANDSHAKE_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("ping", {}),
    ("logging/setLevel", {"level": "info"}),
    ("resources/subscribe", {"uri": "test://watched-resource"}),
    ("resources/unsubscribe", {"uri": "test://watched-resource"}),
]


async def _elicit(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    form = {"type": "object", "properties": {"a": {"type": "string", "title": "A"}}}
    await call.ask("elicitation/create", {"message": "m", "requestedSchema": form})
    return text("never")


async def _sample(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    content = {"type": "text", "text": "t"}
    messages = [{"role": "user", "content": content}]
    await call.ask("sampling/createMessage", {"messages": messages, "maxTokens": 5})
    return text("never")


async def _roots(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    await call.ask("roots/list", {})
    return text("never")


@pytest.fixture
def port() -> Port:
    def declare(registry: Registry) -> None:
        reading.declare(registry)
        Asking(Seals("types", lambda: 0.0)).declare(registry)
        registry.tool("elicit", _elicit, description="d")
        registry.tool("sample", _sample, description="d")
        registry.tool("roots", _roots, description="d")

    port = Port(declare=declare)
    port.attach(Screen())
    return port


def _check(revision: str, method: str, response: Recorder) -> None:
    methods.validate_server_result(method, revision, response.reply["result"])


@pytest.mark.parametrize(("method", "params"), [*REQUESTS, *MODERN_REQUESTS])
def test_the_modern_results_are_well_formed(
    port: Port, method: str, params: dict[str, Any]
) -> None:
    _check(MODERN, method, port.modern(method, {"_meta": CAPABLE, **params}))


@pytest.mark.parametrize("revision", HANDSHAKE)
@pytest.mark.parametrize(("method", "params"), [*REQUESTS, *HANDSHAKE_REQUESTS])
def test_the_handshake_results_are_well_formed(
    port: Port, revision: str, method: str, params: dict[str, Any]
) -> None:
    session = port.initialize(revision, capabilities=DECLARED)
    _check(revision, method, port.in_session(session, method, params))


@pytest.mark.parametrize("tool", ["elicit", "sample", "roots"])
def test_what_callers_are_asked_is_well_formed(port: Port, tool: str) -> None:
    session = port.initialize(capabilities=DECLARED)
    asked = port.in_session(session, "tools/call", {"name": tool}).messages[-1]
    methods.parse_server_request(asked["method"], "2025-11-25", asked.get("params"))


def test_what_listeners_are_told_is_well_formed(port: Port) -> None:
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["test://watched-resource"],
    }
    modern = port.modern("subscriptions/listen", {"_meta": CAPABLE, "notifications": wanted})
    session = port.initialize()
    port.in_session(session, "resources/subscribe", {"uri": "test://watched-resource"})
    old = port.listen(session)
    port.registry.tools.remove("roots")
    port.registry.prompts.remove("test_simple_prompt")
    port.registry.resources.remove("test://static-text")
    port.endpoint._subscriptions.updated("test://watched-resource")
    port.pass_time(1)
    port.endpoint.stop_listening()
    for revision, listener, count in ((MODERN, modern, 5), ("2025-11-25", old, 5)):
        told = [each for each in listener.messages if "method" in each]
        assert len(told) == count
        for each in told:
            methods.parse_server_notification(each["method"], revision, each["params"])
    _check(MODERN, "subscriptions/listen", modern)


def test_what_is_told_while_one_waits_is_well_formed(port: Port) -> None:
    response = port.modern("tools/call", {"_meta": CAPABLE, **ask()})
    port.pass_time(20)
    (first, *_) = response.messages
    methods.parse_server_notification(first["method"], MODERN, first["params"])
