"""A caller over its quota is told which, how much, and when to come back, on every wire."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.quotas.settings import Quota
from tests.gateway.mcp.recording import MODERN, Port, Recorder, Screen, ask, request


def port_with(**limits: float) -> Port:
    return Port(quotas=Quota(dict(limits), {}))


def call(port: Port, tool: str = "ask_user", **arguments: Any) -> Recorder:
    if tool == "ask_user":
        arguments = {"question": "Which colour?", **arguments}
    return port.modern("tools/call", {"name": tool, "arguments": arguments})


def refused(response: Recorder, quota: str, limit: float) -> dict[str, Any]:
    """Check that a response is a refusal for a quota; return its data."""
    assert response.status == 429
    error = response.json["error"]
    assert error["code"] == -31002
    assert quota in error["message"]
    data: dict[str, Any] = error["data"]
    assert (data["quota"], data["limit"]) == (quota, limit)
    assert data["retry_after"] > 0
    assert int(response.headers["retry-after"]) >= data["retry_after"]
    return data


def used(port: Port, kind: str) -> int:
    assert port.quotas is not None
    return sum(own.slots[kind].used for own in port.quotas.roster.holdings())


def test_an_ask_too_many_is_429_and_the_next_one_after_the_time_told_is_not() -> None:
    port = port_with(asks_per_second=2.0)
    for _ in range(2):
        assert not call(port).complete
    response = call(port)
    data = refused(response, "asks_per_second", 2.0)
    assert data["retry_after"] == pytest.approx(0.5)
    assert response.headers["ratelimit"] == '"asks_per_second";r=0;t=1'
    port.pass_time(0.5)
    assert not call(port).complete
    assert port.refused == ["asks_per_second"]
    assert port.failures == []


def test_a_session_of_the_handshake_era_hears_the_same() -> None:
    port = port_with(asks_per_second=1.0)
    session = port.initialize()
    assert not port.in_session(session, "tools/call", ask()).complete
    refused(port.in_session(session, "tools/call", ask()), "asks_per_second", 1.0)


def test_in_a_batch_each_is_refused_by_itself() -> None:
    port = port_with(asks_per_second=1.0)
    session = port.initialize("2025-03-26")
    batch = [request("tools/call", ask(wait="return"), number) for number in (1, 2)]
    response = port.post(batch, mcp_session_id=session)
    assert response.status == 200
    codes = {each["id"]: each.get("error", {}).get("code") for each in response.json}
    assert codes == {1: None, 2: -31002}


def test_replies_to_asks_say_how_many_are_left() -> None:
    port = port_with(asks_per_second=5.0)
    screen = port.attach(Screen())
    response = call(port)
    port.answer(screen, "blue")
    assert response.headers["ratelimit-policy"] == '"asks_per_second";q=5;w=1'
    assert response.headers["ratelimit"] == '"asks_per_second";r=4;t=1'
    stream = call(port)
    port.pass_time(0.2)
    assert stream.streaming
    assert stream.headers["ratelimit"] == '"asks_per_second";r=3;t=1'
    assert "ratelimit" not in port.modern("tools/list").headers


def test_without_quotas_nothing_is_said() -> None:
    port = Port()
    screen = port.attach(Screen())
    response = call(port)
    port.answer(screen, "blue")
    assert "ratelimit" not in response.headers


def test_a_notification_counts_as_an_ask() -> None:
    port = port_with(asks_per_second=1.0)
    assert call(port, "notify_user", message="hello").status == 200
    refused(call(port, "notify_user", message="hello"), "asks_per_second", 1.0)


def test_open_questions_are_counted_until_they_end_however_that_is() -> None:
    port = port_with(pending=4)
    screen = port.attach(Screen())
    responses = [call(port, timeout_seconds=5) for _ in range(3)]
    assert call(port, wait="return").status == 200
    refused(call(port), "pending", 4)
    port.answer(screen, "blue")
    assert not call(port, timeout_seconds=60).complete
    refused(call(port), "pending", 4)
    responses[1].disconnect()
    assert used(port, "pending") == 3
    port.pass_time(10)
    # Left is the one that has a minute.
    assert used(port, "pending") == 1
    assert port.failures == []


def test_an_ask_that_is_repeated_or_refused_uses_no_place() -> None:
    port = port_with(pending=2)
    for _ in range(3):
        assert call(port, idempotency_key="k", wait="return").status == 200
    assert used(port, "pending") == 1
    assert call(port, question="   ").json["result"]["isError"]
    assert call(port, if_absent="fail").json["result"]["isError"]
    assert used(port, "pending") == 1


def test_a_caller_that_waits_is_a_stream_until_its_reply() -> None:
    port = port_with(streams=2)
    screen = port.attach(Screen())
    first, second = call(port), call(port)
    refused(call(port), "streams", 2)
    assert call(port, wait="return").status == 200
    question = screen.asked[0].id
    refused(call(port, "collect_answer", question_id=question, wait_seconds=5), "streams", 2)
    assert call(port, "collect_answer", question_id=question, wait_seconds=0).status == 200
    assert call(port, "cancel_question", question_id=question).status == 200
    assert first.complete
    assert used(port, "streams") == 1
    assert not call(port, "collect_answer", question_id=screen.asked[1].id, wait_seconds=5).complete
    second.disconnect()
    port.pass_time(6)
    assert used(port, "streams") == 0


def test_a_listener_is_a_stream_until_it_ends() -> None:
    port = port_with(streams=1)
    session = port.initialize()
    listening = port.listen(session, accept="text/event-stream", content_type="")
    assert listening.streaming
    refused(port.listen(session, accept="text/event-stream", content_type=""), "streams", 1)
    refused(call(port), "streams", 1)
    listening.disconnect()
    assert not call(port).complete


def test_a_listener_that_is_refused_for_another_reason_is_none() -> None:
    port = port_with(streams=100)
    session = port.initialize()
    for _ in range(50):
        port.listen(session, accept="text/event-stream", content_type="")
    assert used(port, "streams") == port.endpoint.statistics().listeners < 50


def test_sessions_are_counted_until_they_end() -> None:
    port = port_with(sessions=1)
    session = port.initialize()
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
    response = port.post(request("initialize", params))
    refused(response, "sessions", 1)
    assert response.json["id"] == 1
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204
    port.initialize()


def test_bytes_of_requests_are_counted() -> None:
    port = port_with(bytes_per_minute=60_000)
    for _ in range(2):
        assert call(port, question="?" * 2_500, wait="return").status == 200
    response = call(port, question="?" * 2_500, wait="return")
    data = refused(response, "bytes_per_minute", 60_000)
    port.pass_time(data["retry_after"] + 0.1)
    assert call(port, question="?" * 2_500, wait="return").status == 200
    # Also those of what is no message.
    junk = port.send(b" " * 7_000, mcp_protocol_version=MODERN)
    refused(junk, "bytes_per_minute", 60_000)


def test_a_tenant_without_a_quota_is_not_held_up() -> None:
    port = Port(quotas=Quota({}, {}))
    assert call(port, wait="return").status == 200
    assert call(port, "notify_user", message="hello").status == 200
    assert not call(port).complete
    session = port.initialize()
    assert port.listen(session, accept="text/event-stream", content_type="").streaming
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204
