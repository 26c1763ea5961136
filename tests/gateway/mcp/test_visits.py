"""What comes with a session and is no request; more of it is in `test_endpoint`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.results import ToolResult, text
from gateway.quotas.settings import Quota
from session.errors import StoreUnavailableError
from tests.gateway.mcp.recording import Held, Port, Recorder, Screen, ask, request


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


def _gone(stream: Recorder) -> None:
    stream.disconnect()


def _at_end(stream: Recorder) -> None:
    stream.at_end = True


@pytest.mark.parametrize("leave", [_gone, _at_end])
def test_who_leaves_while_its_quota_is_asked_for_listens_to_nothing(
    leave: Callable[[Recorder], None],
) -> None:
    port = Port(quotas=Quota({"streams": 2}, {}))
    assert port.quotas is not None
    session = port.initialize()
    held = Held(port.quotas._store, "lease")
    stream = port.listen(session)
    leave(stream)
    held.go_on()
    assert port.endpoint.statistics().listeners == 0
    assert [own.slots["streams"].used for own in port.quotas.roster.holdings()] == [0]
    assert port.is_idle()
    assert port.failures == []


def test_what_is_told_is_not_told_to_a_stream_whose_caller_has_left() -> None:
    port = Port(quotas=Quota({"streams": 9}, {}))
    assert port.quotas is not None
    session = port.initialize()
    held = Held(port.quotas._store, "lease")
    streams = [port.listen(session)]
    held.go_on()
    (own,) = port.quotas.roster.holdings()
    own.slots["streams"].grant(1)
    held = Held(port.quotas._store, "lease")
    streams.append(port.listen(session))
    streams[1].at_end = True
    held.go_on()
    port.registry.tool("new", _roots, description="d")
    port.pass_time(0.2)
    assert [each["method"] for each in streams[0].messages] == ["notifications/tools/list_changed"]


def test_a_session_has_ended_though_its_quota_cannot_be_told() -> None:
    port = Port(quotas=Quota({"sessions": 1}, {}))
    assert port.quotas is not None
    screen = port.attach(Screen())
    session = port.initialize()
    call = port.in_session(session, "tools/call", ask())
    stream = port.listen(session)
    quotas: Any = port.quotas._store
    told, quotas.end_session = quotas.end_session, _away
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204
    assert (call.is_open, stream.is_open) == (False, False)
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert port.announced == [session]
    assert port.is_idle()
    # Whoever begins another one is not told that there is one too many.
    quotas.end_session = told
    assert port.initialize() != session


async def _away(*_what: object) -> None:
    raise StoreUnavailableError("away")
