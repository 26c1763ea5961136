"""A stream that we close early, and the caller that comes back for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.mcp import partings
from gateway.mcp.call import LATER, Call, Later, Progress
from gateway.mcp.registry import Registry
from gateway.mcp.results import text
from session.model import SCOPES
from tests.gateway.mcp.recording import ANN, META, Port, Recorder


class _Bench:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.parted: list[bool] = []

    async def take(self, call: Call, _arguments: dict[str, Any]) -> Later:
        self.calls.append(call)
        self.parted.append(call.part())
        return LATER

    async def read(self, call: Call, _uri: str, _values: dict[str, str]) -> Later:
        return await self.take(call, {})

    def declare(self, registry: Registry) -> None:
        registry.tool("take", self.take, description="d")
        registry.tool("warn", self.take, description="d", scope="notify")
        registry.resource("x://news", "news", self.read, scope="list")


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


@pytest.fixture
def port(bench: _Bench) -> Port:
    return Port(declare=bench.declare)


def _take(port: Port, session: str, **more: Any) -> Recorder:
    return port.in_session(
        session, "tools/call", {"name": "take", "_meta": {"progressToken": "t"}}, **more
    )


def _away(port: Port) -> int:
    away: Any = port.endpoint._conduct.partings
    return len(away)


def test_a_caller_comes_back_before_the_reply_is_there(port: Port, bench: _Bench) -> None:
    session = port.initialize()
    first = _take(port, session, request_id=5)
    assert bench.parted == [True]
    assert first.complete
    (priming,) = first.events
    assert priming["data"] == ""
    assert priming["retry"] == "1000"
    bench.calls[0].progress(Progress(1))
    again = port.listen(session, last_event_id=priming["id"])
    assert again.streaming
    assert [message["params"]["progress"] for message in again.messages] == [1]
    bench.calls[0].finish(text("done"))
    assert again.complete
    assert again.reply["id"] == 5
    numbers = [event["id"].rpartition("-")[2] for event in again.events if "id" in event]
    assert numbers == ["1", "2"]
    assert _away(port) == 0
    assert port.is_idle()


def test_a_reply_waits_for_its_caller(port: Port, bench: _Bench) -> None:
    session = port.initialize()
    first = _take(port, session)
    bench.calls[0].finish(text("done"))
    again = port.listen(session, last_event_id=first.events[0]["id"])
    assert again.complete
    assert again.reply["result"]["content"][0]["text"] == "done"
    # It was taken: there is nothing to come back for any more.
    port.pass_time(0)
    third = port.listen(session, last_event_id=first.events[0]["id"])
    port.pass_time(2)
    assert third.json["error"]["code"] == -32600


def test_who_is_away_already_cannot_be_sent_away(port: Port, bench: _Bench) -> None:
    session = port.initialize()
    first = _take(port, session)
    call = bench.calls[0]
    call.progress(Progress(1))
    assert not call.part()
    again = port.listen(session, last_event_id=first.events[0]["id"])
    assert [message["params"]["progress"] for message in again.messages] == [1]
    # Once it is back, it can.
    assert call.part()
    assert again.complete
    call.finish(text("done"))
    third = port.listen(session, last_event_id=again.events[-1]["id"])
    assert third.reply["result"]["content"][0]["text"] == "done"


def test_another_session_gets_nothing(port: Port, bench: _Bench) -> None:
    session, other = port.initialize(), port.initialize()
    first = _take(port, session)
    stolen = port.listen(other, last_event_id=first.events[0]["id"])
    port.pass_time(2)
    assert stolen.json["error"]["code"] == -32600
    assert _away(port) == 1


@pytest.mark.parametrize(
    ("method", "params", "scope"),
    [("tools/call", {"name": "warn"}, "notify"), ("resources/read", {"uri": "x://news"}, "list")],
)
def test_who_comes_back_needs_the_scope_of_the_call(
    port: Port, bench: _Bench, method: str, params: dict[str, str], scope: str
) -> None:
    denied: list[str] = []
    port.registry.denied = lambda _principal, lacks: denied.append(lacks)
    session = port.initialize()
    first = port.in_session(session, method, params, request_id="mine")
    assert bench.parted == [True]
    bench.calls[0].finish(text("done"))
    port.principal = replace(ANN, scopes=SCOPES - {scope})
    refused = port.listen(session, last_event_id=first.events[0]["id"])
    called = port.in_session(session, method, params, request_id="mine")
    assert (refused.status, refused.json) == (403, called.json)
    assert refused.headers == called.headers
    assert denied == [scope, scope]
    # It is kept for who may have it.
    port.principal = ANN
    again = port.listen(session, last_event_id=first.events[0]["id"])
    assert again.reply["result"]["content"][0]["text"] == "done"


def test_who_does_not_come_back_is_not_waited_for_forever(port: Port, bench: _Bench) -> None:
    _take(port, port.initialize())
    port.pass_time(partings.SECONDS + 1)
    assert bench.calls[0].departed
    assert _away(port) == 0
    assert port.is_idle()


def test_who_leaves_after_coming_back_has_left(port: Port, bench: _Bench) -> None:
    session = port.initialize()
    first = _take(port, session)
    port.listen(session, last_event_id=first.events[0]["id"]).disconnect()
    assert bench.calls[0].departed
    assert port.is_idle()


def test_so_much_is_kept_and_no_more(port: Port, bench: _Bench) -> None:
    _take(port, port.initialize())
    call = bench.calls[0]
    for done in range(5):
        call.progress(Progress(done, message="x" * (partings.BYTES // 4)))
    assert call.departed
    assert _away(port) == 0


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "modern", "no stream"])
def test_where_nobody_would_come_back_the_stream_stays(
    port: Port, bench: _Bench, revision: str
) -> None:
    if revision == "modern":
        response = port.modern("tools/call", {"name": "take", "_meta": META})
    elif revision == "no stream":
        response = _take(port, port.initialize(), accept="application/json")
    else:
        response = _take(port, port.initialize(revision))
    assert bench.parted == [False]
    assert not response.complete


def test_when_too_many_are_away_a_stream_stays_open(port: Port, bench: _Bench) -> None:
    away: Any = port.endpoint._conduct.partings
    session = port.initialize()
    first = _take(port, session)
    (parted,) = away._parted.values()
    away._parted.update({("s", str(number)): parted for number in range(partings.PARTED - 1)})
    assert _away(port) == partings.PARTED
    second = _take(port, session, request_id=2)
    assert bench.parted == [True, False]
    assert first.complete
    assert not second.complete
