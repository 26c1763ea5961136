"""What a call promises its handler; how it looks outside is in `test_exchange`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import LATER, LEVELS, Call, Later, Progress
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.results import text
from tests.gateway.mcp.recording import META, Port


class _Bench:
    """Keeps the calls it gets."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def take(self, call: Call, _arguments: dict[str, Any]) -> Later:
        self.calls.append(call)
        return LATER


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


@pytest.fixture
def port(bench: _Bench) -> Port:
    return Port(declare=lambda registry: registry.tool("take", bench.take, description="d"))


def test_a_call_knows_its_caller_in_both_eras(port: Port, bench: _Bench) -> None:
    session = port.initialize(
        capabilities={"roots": {}}, clientInfo={"name": "old", "version": "1"}
    )
    port.in_session(session, "tools/call", {"name": "take"})
    meta = {
        **META,
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "new", "version": "1"},
    }
    port.modern("tools/call", {"name": "take", "_meta": meta})
    meta["io.modelcontextprotocol/clientInfo"] = "nonsense"
    port.modern("tools/call", {"name": "take", "_meta": meta})
    said = [(call.caller_name, call.capabilities) for call in bench.calls]
    assert said == [("old", {"roots": {}}), ("new", {"sampling": {}}), ("", {"sampling": {}})]
    assert [call.session is None for call in bench.calls] == [False, True, True]


def test_progress_only_ever_grows(port: Port, bench: _Bench) -> None:
    meta = {**META, "progressToken": "t"}
    response = port.modern("tools/call", {"name": "take", "_meta": meta})
    told = [
        bench.calls[0].progress(Progress(done, message=f"at {done}")) for done in (1, 1, 0.5, 1.5)
    ]
    assert told == [True, False, False, True]
    assert [message["params"] for message in response.messages] == [
        {"progressToken": "t", "progress": 1, "message": "at 1"},
        {"progressToken": "t", "progress": 1.5, "message": "at 1.5"},
    ]


@pytest.mark.parametrize("wanted", LEVELS)
def test_log_messages_below_the_level_stay_here(port: Port, bench: _Bench, wanted: str) -> None:
    meta = {**META, "io.modelcontextprotocol/logLevel": wanted}
    port.modern("tools/call", {"name": "take", "_meta": meta})
    sent = [level for level in LEVELS if bench.calls[0].log(level, "x")]
    assert tuple(sent) == LEVELS[LEVELS.index(wanted) :]


def test_only_the_first_answer_counts(port: Port, bench: _Bench) -> None:
    response = port.modern("tools/call", {"name": "take"})
    call = bench.calls[0]
    call.refuse(RpcError(-5, "no"))
    call.finish(text("yes"))
    call.refuse(RpcError(-6, "never"))
    call.cancel()
    call.caller_left()
    assert response.json["error"] == {"code": -5, "message": "no"}
    assert [how for _, _, how in port.calls] == ["error"]
