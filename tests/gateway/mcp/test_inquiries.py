"""A tool asks its own caller, on the stream of the call."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.mcp.call import Call
from gateway.mcp.endpoint import Settings
from gateway.mcp.responses import LONGEST
from gateway.mcp.results import ToolResult, text
from tests.gateway.mcp.recording import ANN, META, Port, Recorder, _now

DECLARED: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}


async def _sample(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    said = await call.ask("sampling/createMessage", {"maxTokens": 5})
    return text(f"said {said['model']}")


async def _roots(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    said = await call.ask("roots/list", {})
    return text(f"{len(said['roots'])} roots")


async def _twice(call: Call, _arguments: dict[str, Any]) -> ToolResult:
    call.ask("roots/list", {})
    await call.ask("roots/list", {})
    return text("never")


def _port(*, shared: bool = False, **limits: Any) -> Port:
    def declare(registry: Any) -> None:
        registry.tool("sample", _sample, description="d")
        registry.tool("roots", _roots, description="d")
        registry.tool("twice", _twice, description="d")

    return Port(Settings(**limits), declare=declare, shared=shared)


@pytest.fixture
def port() -> Port:
    return _port()


def _open(port: Port) -> str:
    return port.initialize(capabilities=DECLARED)


def _asked(response: Recorder) -> dict[str, Any]:
    """Return what the caller was asked last."""
    message: dict[str, Any] = response.messages[-1]
    assert "method" in message
    return message


def _respond(port: Port, session: str, inquiry_id: object, **said: Any) -> Recorder:
    return port.post({"jsonrpc": "2.0", "id": inquiry_id, **said}, mcp_session_id=session)


def _inquiries(port: Port) -> int:
    inquiries: Any = port.endpoint._conduct.inquiries
    return len(inquiries)


def test_a_caller_answers_by_a_post_of_its_own(port: Port) -> None:
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"}, request_id=7)
    asked = _asked(response)
    assert asked["method"] == "sampling/createMessage"
    assert asked["params"] == {"maxTokens": 5}
    said = _respond(port, session, asked["id"], result={"model": "m"})
    assert (said.status, said.body) == (202, b"")
    assert response.reply["id"] == 7
    assert response.reply["result"]["content"][0]["text"] == "said m"
    assert response.complete
    assert port.is_idle()
    assert _inquiries(port) == 0
    # A second response means nothing.
    assert _respond(port, session, asked["id"], result={"model": "x"}).status == 202


def test_a_request_without_parameters_has_no_member_for_them(port: Port) -> None:
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "roots"})
    asked = _asked(response)
    assert asked.keys() == {"jsonrpc", "id", "method"}
    _respond(port, session, asked["id"], result={"roots": [{"uri": "file:///a"}]})
    assert response.reply["result"]["content"][0]["text"] == "1 roots"


def test_another_session_cannot_answer(port: Port) -> None:
    session, other = _open(port), _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"})
    asked = _asked(response)
    assert _respond(port, other, asked["id"], result={"model": "evil"}).status == 202
    assert _respond(port, session, "guess", result={"model": "evil"}).status == 202
    assert _respond(port, session, 1, result={"model": "evil"}).status == 202
    assert not response.complete
    assert _inquiries(port) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"error": {"code": -1, "message": "No, thanks"}}, "No, thanks"),
        ({"error": {"code": -1}}, "no result object"),
        ({"error": "no"}, "no result object"),
        ({"result": [1]}, "no result object"),
        ({"error": {"message": "n" * 5000}}, "n" * 200),
    ],
)
def test_a_caller_that_refuses_is_told_so_in_the_reply(
    port: Port, said: dict[str, Any], words: str
) -> None:
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"})
    _respond(port, session, _asked(response)["id"], **said)
    error = response.reply["error"]
    assert error["code"] == -32600
    assert error["message"].endswith(words)
    assert port.is_idle()


def test_a_silent_caller_is_waited_for_so_long_only() -> None:
    port = _port(inquiry_seconds=2.0)
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"})
    asked = _asked(response)
    port.pass_time(1.9)
    assert not response.complete
    port.pass_time(0.3)
    cancelled, reply = response.messages[-2:]
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == asked["id"]
    assert reply["error"]["code"] == -31000
    assert port.is_idle()
    assert _inquiries(port) == 0


@pytest.mark.parametrize("how", ["cancelled", "disconnected", "session ended"])
def test_a_wait_ends_with_its_call(port: Port, how: str) -> None:
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"}, request_id=3)
    asked = _asked(response)
    if how == "cancelled":
        cancel = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": 3},
        }
        port.post(cancel, mcp_session_id=session)
    elif how == "disconnected":
        response.disconnect()
    else:
        port.send(b"", "DELETE", mcp_session_id=session)
    assert _inquiries(port) == 0
    assert port.is_idle()
    assert port.failures == []
    _respond(port, session, asked["id"], result={"model": "late"})
    assert all("result" not in message for message in response.messages)


def test_what_a_caller_does_not_declare_it_is_not_asked(port: Port) -> None:
    session = port.initialize(capabilities={"roots": {}})
    response = port.in_session(session, "tools/call", {"name": "sample"})
    error = response.json["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"sampling": {}}})


def test_the_modern_revision_has_no_such_requests(port: Port) -> None:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": DECLARED}
    response = port.modern("tools/call", {"name": "sample", "_meta": meta})
    assert response.json["error"]["code"] == -32600


def test_a_caller_that_reads_no_stream_cannot_be_asked(port: Port) -> None:
    session = _open(port)
    response = port.in_session(session, "tools/call", {"name": "sample"}, accept="application/json")
    assert response.json["error"]["code"] == -32600
    assert _inquiries(port) == 0


def test_there_are_so_many_and_no_more() -> None:
    port = _port(inquiries=1)
    session = _open(port)
    first = port.in_session(session, "tools/call", {"name": "sample"})
    second = port.in_session(session, "tools/call", {"name": "sample"}, request_id=2)
    assert second.reply["error"]["code"] == -31000
    _respond(port, session, _asked(first)["id"], result={"model": "m"})
    third = port.in_session(session, "tools/call", {"name": "sample"}, request_id=3)
    assert _asked(third)["method"] == "sampling/createMessage"


def test_a_call_asks_for_one_thing_at_a_time(port: Port) -> None:
    response = port.in_session(_open(port), "tools/call", {"name": "twice"})
    assert response.reply["error"]["code"] == -32603
    assert [type(error) for error in port.failures] == [RuntimeError]


# -- a response that comes to another instance


def _two() -> tuple[Port, Port, str]:
    """Return where a call is, where its caller's responses go, and its session."""
    here, there = _port(shared=True), _port(shared=True)
    session = _open(here)
    found = _now(here.store.find_session(session))
    _now(there.store.save_session(found))
    return here, there, session


def test_a_response_is_passed_on_to_the_instance_that_asked_and_taken_once() -> None:
    here, there, session = _two()
    response = here.in_session(session, "tools/call", {"name": "sample"})
    asked = _asked(response)
    said = _respond(there, session, asked["id"], result={"model": "m"})
    assert (said.status, said.body) == (202, b"")
    (passed_on,) = there.passed_on
    for _ in range(2):
        here.inquiries.heard(*passed_on)
    here.pass_time(0.1)
    assert response.reply["result"]["content"][0]["text"] == "said m"
    assert _inquiries(here) == 0
    assert here.passed_on == []
    assert here.failures == []


def test_a_response_is_not_passed_on_by_the_instance_that_asked() -> None:
    here, _, session = _two()
    asked = _asked(here.in_session(session, "tools/call", {"name": "sample"}))
    _respond(here, session, asked["id"], result={"model": "m"})
    assert here.passed_on == []


def test_a_refusal_is_passed_on_as_one() -> None:
    here, there, session = _two()
    response = here.in_session(session, "tools/call", {"name": "sample"})
    error = {"code": -1, "message": "No, thanks"}
    _respond(there, session, _asked(response)["id"], error=error)
    here.inquiries.heard(*there.passed_on[0])
    here.pass_time(0.1)
    assert "No, thanks" in response.reply["error"]["message"]


@pytest.mark.parametrize("who", ["session", "principal", "unreadable"])
def test_what_is_passed_on_is_not_taken_of_anybody_else(who: str) -> None:
    here, there, session = _two()
    response = here.in_session(session, "tools/call", {"name": "sample"})
    asked = _asked(response)
    if who == "session":
        session = _open(there)
    if who == "principal":
        there.principal = replace(ANN, subject="eve")
        found = _now(there.store.find_session(session))
        _now(there.store.save_session(replace(found, subject="eve")))
    _respond(there, session, asked["id"], result={"model": "evil"})
    (inquiry_id, data) = there.passed_on[0]
    here.inquiries.heard(inquiry_id, b"{}" if who == "unreadable" else data)
    here.pass_time(0.1)
    assert not response.complete
    assert _inquiries(here) == 1


def test_what_nobody_can_have_asked_is_passed_on_to_nobody() -> None:
    _, there, session = _two()
    for inquiry_id in ("guess", 1, "x" * 32):
        assert _respond(there, session, inquiry_id, result={"model": "x"}).status == 202
    assert there.passed_on == []
    # Nobody waits for this one, which nobody can know.
    assert _respond(there, session, "0" * 32, result={"model": "x"}).status == 202
    there.inquiries.heard(*there.passed_on[0])


def test_what_cannot_be_passed_on_is_refused_with_what_to_do() -> None:
    _, there, session = _two()
    there.can_pass_on = False
    refused = _respond(there, session, "0" * 32, result={"model": "x"})
    assert refused.status == 503
    assert "send it again" in refused.json["error"]["message"]
    there.can_pass_on = True
    refused = _respond(there, session, "0" * 32, result={"model": "x" * LONGEST})
    assert refused.status == 413
    assert "shorter" in refused.json["error"]["message"]


def test_in_a_batch_it_is_passed_on_or_refused_as_well() -> None:
    there = _port(shared=True)
    session = there.initialize("2025-03-26", capabilities=DECLARED)
    one = {"jsonrpc": "2.0", "id": "0" * 32, "result": {}}
    assert there.post([one, one], mcp_session_id=session).status == 202
    assert len(there.passed_on) == 2
    there.can_pass_on = False
    (refused,) = there.post([one], mcp_session_id=session).json
    assert (refused["id"], "send it again" in refused["error"]["message"]) == (None, True)
