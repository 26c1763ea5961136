"""What callers give up, at whichever instance they say so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.mcp.call import Call
from gateway.mcp.results import ToolResult, text
from tests.gateway.mcp.recording import ANN, Port, Recorder, Screen, ask, request


def _two(**more: Any) -> tuple[Port, Port, Screen, str]:
    """Return where calls are, where their caller's other requests go, who is asked, a session."""
    here = Port(shared=True, **more)
    there = Port(shared=True, beside=here)
    return here, there, here.attach(Screen()), here.initialize()


def _cancelled(request_id: object) -> dict[str, Any]:
    params = {"requestId": request_id}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


def _cancel(port: Port, session: str, request_id: object) -> None:
    assert port.post(_cancelled(request_id), mcp_session_id=session).status == 202


def _end(port: Port, session: str) -> None:
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204


def _pass_on(there: Port, here: Port) -> None:
    """Have one hear what the other has told."""
    for told in there.given_up:
        here.endpoint.cancellations.heard(*told)
    there.given_up.clear()


def _ask(port: Port, session: str, request_id: object = "r", **more: Any) -> Recorder:
    return port.in_session(session, "tools/call", ask(), request_id=request_id, **more)


@pytest.mark.parametrize("request_id", ["r", 'ä "\\ b', "", "1", 1, -(2**53) + 1, "x" * 256])
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_call_is_cancelled_from_another_instance(request_id: object, seconds: float) -> None:
    here, there, screen, session = _two()
    calls = [_ask(here, session, each) for each in (request_id, "another", 2)]
    here.pass_time(seconds)
    _cancel(there, session, request_id)
    assert all(call.is_open for call in calls)
    for _ in range(2):
        # Twice is no harm.
        here.endpoint.cancellations.heard(*there.given_up[0])
    assert [call.is_open for call in calls] == [False, True, True]
    assert b"result" not in calls[0].body
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert here.calls[-1] == ("tools/call", "ask_user", "cancelled")
    assert there.announced == []
    assert here.failures == there.failures == []


def test_the_end_of_a_session_at_another_instance_gives_up_its_calls() -> None:
    here, there, screen, session = _two()
    calls = [_ask(here, session, number) for number in (1, 2)]
    other = _ask(here, here.initialize(), 1)
    _end(there, session)
    _pass_on(there, here)
    assert [call.is_open for call in (*calls, other)] == [False, False, True]
    assert screen.withdrawn == [(question.id, "cancelled") for question in screen.asked[:2]]
    # Its streams are ended by another message.
    assert there.announced == [session]


def test_the_end_of_a_session_gives_up_its_calls_everywhere() -> None:
    here, there, screen, session = _two()
    calls = [_ask(port, session, 1) for port in (here, there)]
    _end(here, session)
    _pass_on(here, there)
    assert [call.is_open for call in calls] == [False, False]
    assert here.is_idle()
    assert there.is_idle()
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]


def test_a_call_that_is_here_is_told_to_nobody() -> None:
    here, _, screen, session = _two()
    _ask(here, session)
    _cancel(here, session, "r")
    assert len(screen.withdrawn) == 1
    assert here.given_up == []


def test_what_an_inquiry_waits_for_is_given_up_elsewhere_too() -> None:
    async def roots(call: Call, _arguments: dict[str, Any]) -> ToolResult:
        said = await call.ask("roots/list", {})
        return text(f"{len(said['roots'])} roots")

    here, there, *_ = _two(declare=lambda registry: registry.tool("roots", roots, description="d"))
    session = here.initialize(capabilities={"roots": {}})
    call = here.in_session(session, "tools/call", {"name": "roots"}, request_id="r")
    _cancel(there, session, "r")
    _pass_on(there, here)
    assert not call.is_open
    assert here.is_idle()


@pytest.mark.parametrize("whose", ["session", "subject", "tenant"])
def test_nobody_elses_calls_are_given_up(whose: str) -> None:
    """By whatever is told: with a session of one's own, or with this one's id."""
    here, there, screen, session = _two()
    call = _ask(here, session)
    if whose == "session":
        own = there.initialize()
        _cancel(there, own, "r")
        _end(there, own)
    else:
        there.principal = replace(ANN, **{whose: "another"})
        foreign = [
            there.post(_cancelled("r"), mcp_session_id=session),
            there.send(b"", "DELETE", mcp_session_id=session),
        ]
        assert [each.status for each in foreign] == [404, 404]
        assert there.given_up == []
        thief = [getattr(there.principal, each) for each in ("tenant", "subject")]
        for meant in ("r", None):
            there.given_up.append((session, msgspec.json.encode([*thief, meant])))
    assert len(there.given_up) == 2
    _pass_on(there, here)
    assert call.is_open
    assert screen.withdrawn == []
    assert here.answer(screen, "blue") == "accepted"
    assert call.reply["result"]["content"][0]["text"] == "blue"


@pytest.mark.parametrize("request_id", [None, True, 1.5, [1], {"a": 1}, "x" * 257])
def test_what_no_request_is_called_is_told_to_nobody(request_id: object) -> None:
    here, there, _, session = _two()
    call = _ask(here, session)
    _cancel(there, session, request_id)
    assert there.post({**_cancelled(1), "params": {}}, mcp_session_id=session).status == 202
    assert there.given_up == []
    assert call.is_open


def test_what_is_told_is_short() -> None:
    _, there, _, session = _two()
    _cancel(there, session, "\x01" * 256)
    ((_, told),) = there.given_up
    assert len(told) < 2_000


@pytest.mark.parametrize("said", [b"", b"{}", b'["acme","ann"]', b'["acme","ann",1.5]', b"\xff"])
def test_what_another_version_says_is_passed_over(said: bytes) -> None:
    here, _, _, session = _two()
    call = _ask(here, session)
    here.endpoint.cancellations.heard(session, said)
    assert call.is_open


def test_an_instance_that_is_alone_tells_nobody() -> None:
    port = Port()
    session = port.initialize()
    _cancel(port, session, "r")
    _end(port, session)
    assert port.given_up == []


# -- batches


def test_one_request_of_a_batch_is_cancelled_from_a_batch_elsewhere() -> None:
    here = Port(shared=True)
    there = Port(shared=True, beside=here)
    screen = here.attach(Screen())
    session = here.initialize("2025-03-26")
    batch = [request("tools/call", ask(), number) for number in (1, 2)]
    response = here.post(batch, mcp_session_id=session)
    told = [_cancelled(1), request("ping", None, 9), _cancelled("none")]
    reply = there.post(told, mcp_session_id=session)
    assert [each["id"] for each in reply.json] == [9]
    _pass_on(there, here)
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert response.is_open
    here.answer(screen, "blue")
    assert [each["id"] for each in response.json] == [2]
    assert here.is_idle()


def test_a_call_that_is_resumed_here_is_cancelled_elsewhere() -> None:
    here, there, screen, session = _two()
    broken = _ask(here, session)
    here.pass_time(1)
    broken.disconnect()
    resumed = here.listen(session, last_event_id=broken.events[0]["id"])
    _cancel(there, session, "r")
    _pass_on(there, here)
    assert not resumed.is_open
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
