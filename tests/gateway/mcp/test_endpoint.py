"""The port as callers see it: what is served, what is refused, what ends when."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import codec
from gateway.mcp import jsonrpc
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.endpoint import Settings
from gateway.mcp.registry import Registry
from gateway.mcp.results import ReadResult, ToolResult, text
from gateway.quotas.settings import Quota
from pool.workers import Settings as WorkerSettings
from session import MemorySettings
from session.errors import NoReplyError, StoreUnavailableError
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import ANN, BOTH, META, MODERN, Held, Port, Screen, ask, request

HANDSHAKE = ("2025-03-26", "2025-06-18", "2025-11-25")

OFFERED = {
    "logging": {},
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
}


@pytest.fixture
def port() -> Port:
    return Port()


# -- finding the way


def test_other_paths_are_health_or_nothing(port: Port) -> None:
    assert port.send(b"", "GET", "/health").status == 200
    assert port.send(b"", "GET", "/nothing").status == 404
    assert port.send(b"{}", "POST", "/health").status == 404
    assert port.send(b"{}", "POST", "/mcp/").status == 404


def test_a_refusal_of_the_head_needs_no_body(port: Port) -> None:
    assert port.send(b"not read", accept="text/html").status == 406
    assert port.send(b"not read", content_type="text/plain").status == 415
    assert port.send(b"", "PUT").status == 405


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b'{"a":1} {"b":2}', -32700),
        (b"5", -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    ],
)
@pytest.mark.parametrize("version", ["", MODERN, "2025-11-25"])
def test_what_is_no_message_is_refused_in_every_era(
    port: Port, body: bytes, code: int, version: str
) -> None:
    response = port.send(body, mcp_protocol_version=version)
    assert response.status == 400
    assert response.json["error"]["code"] == code
    assert "id" not in response.json


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_a_compressed_body_is_one_that_came_smaller(port: Port, coding: bytes) -> None:
    ping = json.dumps(request("ping")).encode()
    session = port.initialize()
    headers = {"mcp_session_id": session, "content_encoding": coding.decode()}
    assert port.send(codec.encoded(ping, coding), **headers).json["result"] == {}
    for body, status in (
        (codec.encoded(b" " * 5000 + ping, coding), 413),
        (codec.encoded(ping, coding)[:-1], 400),
        (codec.encoded(ping, coding) + b"x", 400),
        (codec.encoded(codec.encoded(ping, coding), coding), 400),
        (b"", 400),
    ):
        refused = port.send(body, **headers)
        assert refused.status == status
        assert refused.json["error"]["message"]
    assert port.send(ping, **(headers | {"content_encoding": "br"})).status == 415


# -- the handshake era


@pytest.mark.parametrize("revision", HANDSHAKE)
def test_initialize_opens_a_session_of_the_revision_asked_for(port: Port, revision: str) -> None:
    response = port.post(
        request(
            "initialize",
            {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t"}},
        )
    )
    assert response.status == 200
    result = response.json["result"]
    assert result == {
        "protocolVersion": revision,
        "capabilities": OFFERED,
        "serverInfo": {"name": "frontend-router", "version": "1.2.3"},
    }
    session = response.headers["mcp-session-id"]
    assert str(UUID(session)) == session
    assert port.in_session(session, "ping").json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert port.calls[0] == ("initialize", "", "success")


@pytest.mark.parametrize("revision", ["2024-11-05", "2026-07-28", "1.0", ""])
def test_initialize_offers_the_latest_revision_instead_of_an_unknown_one(
    port: Port, revision: str
) -> None:
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t"}}
    response = port.post(request("initialize", params), mcp_protocol_version="2024-11-05")
    assert response.json["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": 5, "capabilities": {}, "clientInfo": {}},
        {"protocolVersion": "2025-11-25", "capabilities": [], "clientInfo": {}},
        {"protocolVersion": "2025-11-25", "capabilities": {}},
        {"protocolVersion": "x", "capabilities": {"a": "b" * 20_000}, "clientInfo": {}},
    ],
)
def test_an_introduction_that_says_too_little_or_too_much_opens_nothing(
    port: Port, params: dict[str, Any]
) -> None:
    response = port.post(request("initialize", params))
    assert response.json["error"]["code"] == -32602
    assert response.json["id"] == 1
    assert port.store.statistics().sessions == 0


def test_sessions_are_capped_with_an_error_that_says_what_to_do() -> None:
    port = Port(memory=MemorySettings(sessions=2))
    port.initialize()
    port.initialize()
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
    response = port.post(request("initialize", params))
    assert response.status == 503
    assert response.headers["retry-after"] == "1"
    assert "DELETE" in response.json["error"]["message"]


@pytest.mark.parametrize("method", ["ping", "tools/list", "logging/setLevel", "no/such"])
def test_a_request_without_a_session_is_400_and_with_a_wrong_one_404(
    port: Port, method: str
) -> None:
    missing = port.post(request(method), mcp_protocol_version="2025-11-25")
    assert (missing.status, missing.json["id"]) == (400, 1)
    assert "Mcp-Session-Id" in missing.json["error"]["message"]
    unknown = port.in_session("f" * 32, method)
    assert (unknown.status, unknown.json["id"]) == (404, 1)


@pytest.mark.parametrize(
    "other", [Principal("acme", "bob", scopes=SCOPES), Principal("other", "ann", scopes=SCOPES)]
)
def test_somebody_elses_session_looks_like_none(port: Port, other: Principal) -> None:
    session = port.initialize()
    port.principal = other
    assert port.in_session(session, "ping").status == 404
    assert port.listen(session).status == 404
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 404
    notified = port.post({"jsonrpc": "2.0", "method": "n"}, mcp_session_id=session)
    assert notified.status == 404
    port.principal = ANN
    assert port.in_session(session, "ping").status == 200


def test_the_version_header_of_a_session_must_be_one_that_is_served(port: Port) -> None:
    session = port.initialize("2025-06-18")
    assert port.in_session(session, "ping", mcp_protocol_version="2025-06-18").status == 200
    refused = port.in_session(session, "ping", mcp_protocol_version="1999-01-01")
    assert refused.status == 400
    assert refused.json["error"]["code"] == -32022
    notified = port.post(
        {"jsonrpc": "2.0", "method": "n"}, mcp_session_id=session, mcp_protocol_version="1999-01-01"
    )
    assert notified.status == 400


def test_notifications_and_responses_are_accepted_without_a_body(port: Port) -> None:
    session = port.initialize()
    for message in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/unheard/of", "params": {"x": 1}},
        {"jsonrpc": "2.0", "id": 5, "result": {}},
    ):
        response = port.post(message, mcp_session_id=session)
        assert (response.status, response.body) == (202, b"")


def test_an_unknown_method_is_an_error_that_keeps_the_id(port: Port) -> None:
    session = port.initialize()
    for method in ("server/discover", "subscriptions/listen", "no/such"):
        response = port.in_session(session, method, request_id="x")
        assert response.status == 200
        assert response.json["id"] == "x"
        assert response.json["error"]["code"] == -32601
    assert port.calls[-1] == ("unknown", "", "error")


def test_a_log_level_is_kept_in_the_session_and_must_be_one(port: Port) -> None:
    session = port.initialize()
    assert port.in_session(session, "logging/setLevel", {"level": "debug"}).json["result"] == {}
    wrong = port.in_session(session, "logging/setLevel", {"level": "loud"})
    assert wrong.json["error"]["code"] == -32602


def test_a_deleted_session_is_gone_with_what_it_waited_for(port: Port) -> None:
    screen = port.attach(Screen())
    session = port.initialize()
    listener = port.listen(session)
    waiting = port.in_session(session, "tools/call", ask())
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204
    assert port.in_session(session, "ping").status == 404
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 404
    assert waiting.complete
    assert listener.complete
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert port.is_idle()


def test_calls_of_one_session_are_capped() -> None:
    port = Port(Settings(session_calls=2))
    session, other = port.initialize(), port.initialize()
    for _ in range(2):
        assert not port.in_session(session, "tools/call", ask()).complete
    refused = port.in_session(session, "ping")
    assert refused.status == 429
    assert refused.json["id"] == 1
    assert port.in_session(other, "ping").status == 200


# -- the modern era


def test_discover_says_what_is_served(port: Port) -> None:
    response = port.modern("server/discover")
    assert response.status == 200
    assert response.json["result"] == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28", *reversed(HANDSHAKE)],
        "capabilities": OFFERED | {"extensions": {"io.modelcontextprotocol/tasks": {}}},
        "_meta": {
            "io.modelcontextprotocol/serverInfo": {"name": "frontend-router", "version": "1.2.3"}
        },
        "ttlMs": 60_000,
        "cacheScope": "public",
    }
    assert "mcp-session-id" not in response.headers


def test_session_and_event_id_headers_mean_nothing_in_the_modern_era(port: Port) -> None:
    response = port.modern("tools/list", mcp_session_id="x", last_event_id="y-1")
    assert response.status == 200
    assert "mcp-session-id" not in response.headers


@pytest.mark.parametrize(
    "method",
    [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "unknown/method",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
    ],
)
def test_a_method_the_modern_era_does_not_know_is_404(port: Port, method: str) -> None:
    response = port.modern(method, request_id="abc")
    assert response.status == 404
    assert response.json["error"]["code"] == -32601
    assert response.json["id"] == "abc"


def test_modern_notifications_are_acknowledged_and_other_things_refused(port: Port) -> None:
    headers = {"mcp_protocol_version": MODERN}
    assert port.post({"jsonrpc": "2.0", "method": "n"}, **headers).status == 202
    assert port.post({"jsonrpc": "2.0", "id": 1, "result": {}}, **headers).status == 400
    assert port.post([request("ping")], **headers).status == 400


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"mcp_protocol_version": ""}, 400, -32020),
        ({"mcp_protocol_version": "2025-11-25"}, 400, -32020),
        ({"mcp_protocol_version": "1900-01-01"}, 400, -32020),
        ({"mcp_method": ""}, 400, -32020),
        ({"mcp_method": "tools/List"}, 400, -32020),
    ],
)
def test_modern_headers_must_say_what_the_body_says(
    port: Port, headers: dict[str, str], status: int, code: int
) -> None:
    response = port.modern("tools/list", **headers)
    assert response.status == status
    assert response.json["error"]["code"] == code
    assert response.json["id"] == 1


def test_an_error_has_its_status_also_for_who_reads_streams_only(port: Port) -> None:
    response = port.modern("no/such", accept="text/event-stream")
    assert (response.status, response.json["error"]["code"]) == (404, -32601)


def test_an_unknown_revision_is_told_which_there_are(port: Port) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "1900-01-01"}
    response = port.modern("tools/list", {"_meta": meta}, mcp_protocol_version="1900-01-01")
    assert response.status == 400
    assert response.json["error"]["code"] == -32022
    assert response.json["error"]["data"] == {
        "supported": [MODERN, *reversed(HANDSHAKE)],
        "requested": "1900-01-01",
    }


# -- batches


def test_a_batch_is_answered_as_one(port: Port) -> None:
    session = port.initialize("2025-03-26")
    response = port.post(
        [
            request("ping", None, 1),
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            request("tools/list", None, "two"),
            request("no/such", None, 3),
            17,
        ],
        mcp_session_id=session,
    )
    assert response.status == 200
    replies = {str(reply.get("id")): reply for reply in response.json}
    assert replies["1"]["result"] == {}
    assert len(replies["two"]["result"]["tools"]) == 7
    assert replies["3"]["error"]["code"] == -32601
    assert replies["None"]["error"]["code"] == -32600
    assert port.is_idle()


def test_a_batch_of_what_needs_no_reply_is_accepted(port: Port) -> None:
    session = port.initialize("2025-03-26")
    response = port.post([{"jsonrpc": "2.0", "method": "n"}], mcp_session_id=session)
    assert (response.status, response.body) == (202, b"")


def test_a_batch_that_waits_becomes_a_stream_of_replies(port: Port) -> None:
    screen = port.attach(Screen())
    session = port.initialize("2025-03-26")
    response = port.post(
        [request("ping"), request("tools/call", ask(), 2), request("tools/call", ask(), 3)],
        mcp_session_id=session,
    )
    assert not response.streaming
    port.pass_time(0.2)
    assert [message["id"] for message in response.messages] == [1]
    port.answer(screen, "red", 1)
    port.answer(screen, "blue", 0)
    assert [message["id"] for message in response.messages] == [1, 3, 2]
    assert response.complete
    assert port.is_idle()


@pytest.mark.parametrize(
    ("revision", "batch", "words"),
    [
        ("2025-06-18", [request("ping")], "has no batches"),
        ("2025-11-25", [request("ping")], "has no batches"),
        ("2025-03-26", [], "must not be empty"),
        ("2025-03-26", [request("ping")] * 101, "may have 100"),
    ],
)
def test_batches_are_bounded_and_of_one_revision_only(
    port: Port, revision: str, batch: list[Any], words: str
) -> None:
    response = port.post(batch, mcp_session_id=port.initialize(revision))
    assert response.status == 400
    assert words in response.json["error"]["message"]


def test_initialize_never_comes_in_a_batch(port: Port) -> None:
    session = port.initialize("2025-03-26")
    params = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {}}
    response = port.post([request("initialize", params)], mcp_session_id=session)
    assert response.json[0]["error"]["code"] == -32600


def test_a_batch_without_a_session_is_refused(port: Port) -> None:
    assert port.post([request("ping")]).status == 400


# -- streams that callers open


def test_a_session_can_listen_and_is_kept_alive(port: Port) -> None:
    session = port.initialize()
    stream = port.listen(session)
    assert stream.status == 200
    assert stream.content_type == b"text/event-stream"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.body == b": waiting\n\n"
    port.pass_time(31)
    assert stream.body.count(b": waiting\n\n") == 3
    stream.disconnect()
    port.pass_time(31)
    assert port.is_idle()
    assert port.endpoint.statistics().listeners == 0


def test_a_session_that_listens_is_not_idle() -> None:
    port = Port(memory=MemorySettings(session_idle_seconds=20))
    listening, idle = port.initialize(), port.initialize()
    port.listen(listening)
    port.pass_time(45)
    assert port.in_session(listening, "ping").status == 200
    assert port.in_session(idle, "ping").status == 404


def test_listeners_are_bounded_per_session_and_in_all() -> None:
    port = Port(Settings(session_listeners=1, listeners=2))
    first, second, third = (port.initialize() for _ in range(3))
    assert port.listen(first).streaming
    assert port.listen(first).status == 429
    assert port.listen(second).streaming
    assert port.listen(third).status == 503


def test_listeners_end_when_the_process_goes_away(port: Port) -> None:
    streams = [port.listen(port.initialize()) for _ in range(3)]
    port.endpoint.stop_listening()
    assert all(stream.complete for stream in streams)
    assert port.is_idle()


# -- failures


class _Broken:
    """Tools that fail."""

    async def fail(self, _call: Call, _arguments: dict[str, Any]) -> ToolResult:
        message = "secret detail"
        raise ValueError(message)

    async def unreachable(self, _call: Call, _arguments: dict[str, Any]) -> ToolResult:
        message = "Redis at 10.0.0.7:6379 does not accept the password"
        raise StoreUnavailableError(message)

    async def read(self, _call: Call, _uri: str, _values: dict[str, str]) -> ReadResult:
        raise NoReplyError("no reply from Redis at 10.0.0.7:6379")

    def declare(self, registry: Registry) -> None:
        registry.tool("fail", self.fail, description="Fails.")
        registry.tool("unreachable", self.unreachable, description="Cannot.")
        registry.resource("test://unreachable", "unreachable", self.read)


def test_a_tool_that_fails_is_an_internal_error_without_its_detail() -> None:
    port = Port(declare=_Broken().declare)
    session = port.initialize()
    response = port.in_session(session, "tools/call", {"name": "fail"})
    assert response.json["error"] == {"code": -32603, "message": "Internal error"}
    assert [type(failure) for failure in port.failures] == [ValueError]
    assert port.is_idle()


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
def test_a_tool_without_its_store_says_when_to_call_it_again(revision: str) -> None:
    """In its result, which a model sees, and in the header; and nothing of where the store is."""
    port = Port(declare=_Broken().declare)
    params = {"name": "unreachable"}
    if revision == "2026-07-28":
        response = port.modern("tools/call", params)
    else:
        response = port.in_session(port.initialize(revision), "tools/call", params)
    assert (response.status, response.headers["retry-after"]) == (200, "1")
    result = response.json["result"]
    assert result["isError"]
    again = {"code": "unavailable", "retryable": True, "retry_after": 1}
    assert result["structuredContent"] == again
    assert "try again in a moment" in result["content"][0]["text"]
    assert b"Redis" not in response.body
    assert port.is_idle()
    assert port.failures == []


def test_in_a_batch_it_is_said_once_in_the_header_and_by_each() -> None:
    port = Port(declare=_Broken().declare)
    session = port.initialize("2025-03-26")
    batch = [request("tools/call", {"name": "unreachable"}, number) for number in (1, 2)]
    response = port.post(batch, mcp_session_id=session)
    assert (response.status, response.headers["retry-after"]) == (200, "1")
    assert [each["result"]["isError"] for each in response.json] == [True, True]


def test_another_method_without_its_store_is_503() -> None:
    port = Port(declare=_Broken().declare)
    response = port.modern("resources/read", {"uri": "test://unreachable"}, request_id=7)
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert response.json["id"] == 7
    error = response.json["error"]
    assert error["code"] == jsonrpc.BUSY
    assert error["data"] == {"code": "unavailable", "retryable": True, "retry_after": 1}
    assert "outcome is unknown" in error["message"]
    assert b"Redis" not in response.body
    assert port.is_idle()


def test_a_session_that_cannot_be_stored_is_refused_under_the_id_of_its_request() -> None:
    port = Port(shared=True)
    port.shared.away = {"save_session"}
    about = {"name": "tester", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
    response = port.post(request("initialize", params, "mine"))
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert response.json["id"] == "mine"
    assert response.json["error"]["data"]["retryable"]
    assert b"it is away" not in response.body


def test_no_room_among_the_workers_is_said_at_once() -> None:
    """What has to wait for the store is refused; what need not is served."""
    port = Port(workers=WorkerSettings(queue=1, queue_per_lane=1), remote=True)
    waiting = port.in_session("s", "ping")
    for response in (
        port.in_session("s", "ping"),
        port.modern("tools/call", ask()),
        port.listen("s"),
        port.post({"jsonrpc": "2.0", "method": "n"}, mcp_session_id="s"),
        port.post([request("ping")], mcp_session_id="s"),
        port.send(b"", "DELETE", mcp_session_id="s"),
    ):
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
        assert "busy" in response.json["error"]["message"]
    assert port.modern("tools/list").status == 200
    assert not waiting.complete
    assert port.failures == []


async def test_a_store_across_a_network_is_waited_for_by_workers() -> None:
    port = Port(remote=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(port.workers.run)
        opened = port.post(
            request("initialize", {"protocolVersion": "x", "capabilities": {}, "clientInfo": {}})
        )
        await port.workers.drain()
        session = opened.headers["mcp-session-id"]
        screen = Screen()
        port.workers.start("", port.router.attach(screen))
        await port.workers.drain()
        waiting = [
            port.in_session(session, "tools/call", ask(question="0")),
            port.modern("tools/call", ask(question="1")),
            port.modern("tools/call", ask(question="2")),
        ]
        await port.workers.drain()
        questions = {question.text: question.id for question in screen.asked}
        waiting[2].disconnect()
        await port.workers.drain()
        assert screen.withdrawn == [(questions["2"], "cancelled")]
        for text_ in "01":
            port.workers.start("", _answer(port, screen, questions[text_]))
        await port.workers.drain()
        assert all(response.json["result"]["content"] for response in waiting[:2])
        assert port.is_idle()
        nursery.cancel_scope.cancel()


async def test_who_has_gone_when_its_session_is_found_listens_to_nothing() -> None:
    port = Port(remote=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(port.workers.run)
        introduction = {"protocolVersion": "x", "capabilities": {}, "clientInfo": {}}
        opened = port.post(request("initialize", introduction))
        await port.workers.drain()
        port.listen(opened.headers["mcp-session-id"]).disconnect()
        await port.workers.drain()
        assert port.endpoint.statistics().listeners == 0
        nursery.cancel_scope.cancel()


async def test_a_caller_that_leaves_while_its_question_is_stored_takes_it_back() -> None:
    port = Port(remote=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(port.workers.run)
        response = port.modern("tools/call", ask())
        response.disconnect()
        await port.workers.drain()
        assert port.store.statistics().pending == 0
        assert port.is_idle()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("at_end", [False, True])
def test_a_modern_caller_that_leaves_while_its_quota_is_asked_for_takes_its_question_back(
    *, at_end: bool
) -> None:
    port = Port(quotas=Quota({"bytes_per_minute": 1_000_000}, {}))
    assert port.quotas is not None
    screen = port.attach(Screen())
    held = Held(port.quotas._store, "take")
    response = port.modern("tools/call", ask())
    if at_end:
        response.at_end = True
    else:
        response.disconnect()
    held.go_on()
    assert screen.withdrawn == [(question.id, "cancelled") for question in screen.asked]
    assert port.store.statistics().pending == 0
    assert port.is_idle()


def test_a_caller_that_leaves_while_the_session_of_its_batch_is_found_has_left() -> None:
    port = Port(shared=True)
    screen = port.attach(Screen())
    session = port.initialize("2025-03-26")
    held = Held(port.shared, "find_session")
    response = port.post([request("tools/call", ask())], mcp_session_id=session)
    response.disconnect()
    held.go_on()
    # It has no stream to come back for, but its question stays.
    assert (len(screen.asked), screen.withdrawn) == (1, [])
    assert port.calls[-1] == ("tools/call", "ask_user", "left")
    port.pass_time(1)
    assert port.endpoint.statistics().active == 0
    assert port.endpoint.statistics().beating == 0


async def _answer(port: Port, screen: Screen, question_id: str) -> None:
    await port.router.answer(screen, question_id, answer="x")


# -- anything at all

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["jsonrpc", "id", "method", "params", "_meta", "name", "arguments", "x"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_METHODS = st.sampled_from(
    ["initialize", "ping", "tools/call", "tools/list", "server/discover", "resources/read", "x"]
)
_REQUESTS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": _METHODS},
    optional={"id": _JSON, "params": _JSON | st.dictionaries(st.text(max_size=8), _JSON)},
)
_BODIES = (
    st.binary(max_size=200)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | _REQUESTS.map(lambda value: json.dumps(value).encode())
    | st.lists(_REQUESTS, max_size=3).map(lambda value: json.dumps(value).encode())
)


@settings(max_examples=300, deadline=None)
@given(
    body=_BODIES,
    version=st.sampled_from(["", MODERN, *HANDSHAKE, "x"]),
    with_session=st.booleans(),
    method=st.sampled_from(["POST", "POST", "POST", "GET", "DELETE"]),
    mcp_method=_METHODS,
)
def test_any_bytes_get_some_response_and_break_nothing(
    body: bytes, version: str, with_session: bool, method: str, mcp_method: str
) -> None:
    port = Port()
    session = port.initialize("2025-03-26") if with_session else ""
    response = port.send(
        body,
        method,
        mcp_protocol_version=version,
        mcp_session_id=session,
        mcp_method=mcp_method,
        accept=BOTH,
    )
    port.pass_time(0.2)
    assert response.status in {200, 202, 204, 400, 404, 405}
    assert port.failures == []


def test_a_handler_that_finishes_twice_is_answered_once() -> None:
    calls: list[Call] = []

    async def later(call: Call, _arguments: dict[str, Any]) -> Later:
        calls.append(call)
        return LATER

    port = Port(declare=lambda registry: registry.tool("later", later, description="Later."))
    response = port.modern("tools/call", {"name": "later"})
    assert not response.complete
    calls[0].finish(text("first"))
    calls[0].finish(text("second"))
    assert response.json["result"]["content"][0]["text"] == "first"
    assert port.is_idle()


def test_initialize_with_the_id_of_an_old_session_opens_a_new_one(port: Port) -> None:
    old = port.initialize()
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}}
    response = port.in_session(old, "initialize", params)
    assert response.headers["mcp-session-id"] != old
