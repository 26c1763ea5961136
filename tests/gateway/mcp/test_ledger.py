"""Which call is meant, and how many there are."""

from __future__ import annotations

from typing import Any, cast

from gateway.mcp.call import Call
from gateway.mcp.jsonrpc import Kind, Message
from gateway.mcp.ledger import Ledger
from session.model import McpSession, Principal


class _Exchange:
    """Takes replies and forgets them."""

    def deliver(self, payload: bytes, status: int = 200, headers: object = ()) -> None:
        """Do nothing."""


class _Revision:
    name = "any"

    def reply(self, _id: bytes, _result: object) -> bytes:
        return b""


def _ledger(limit: int = 10) -> tuple[Ledger, list[tuple[Call, str]]]:
    ended: list[tuple[Call, str]] = []
    return Ledger(limit, lambda call, how: ended.append((call, how)), lambda *_: None), ended


def _call(ledger: Ledger, request_id: str | int) -> Call:
    principal = Principal("t", "s")
    message = Message(Kind.REQUEST, request_id, "m", {})
    parts: tuple[Any, ...] = (_Exchange(), _Revision(), principal, message, 0.0)
    ledger.active += 1
    return Call(ledger, *parts)


def _session(name: str) -> McpSession:
    return McpSession(name, "t", "s", "2025-11-25", 0.0)


def test_an_id_means_a_call_of_its_own_session_only() -> None:
    ledger, _ = _ledger()
    one, other = _call(ledger, 1), _call(ledger, 1)
    assert ledger.enter(one, _session("a"))
    assert ledger.enter(other, _session("b"))
    assert ledger.find("a", 1) is one
    assert ledger.find("b", 1) is other
    for missing in (("a", "1"), ("a", True), ("a", 1.0), ("a", [1]), ("a", None), ("c", 1)):
        assert ledger.find(*missing) is None


def test_the_same_id_twice_neither_hides_a_call_nor_passes_the_cap() -> None:
    ledger, _ = _ledger(2)
    session = _session("a")
    calls = [_call(ledger, 1) for _ in range(3)]
    assert [ledger.enter(call, session) for call in calls] == [True, True, False]
    assert ledger.find("a", 1) is calls[0]
    assert set(ledger.of_session("a")) == set(calls[:2])
    calls[0].finish(cast("Any", None))
    assert ledger.find("a", 1) is None
    calls[1].finish(cast("Any", None))
    calls[2].finish(cast("Any", None))
    assert (ledger.active, ledger.sessions(), ledger.of_session("a")) == (0, 0, [])


def test_every_call_ends_once() -> None:
    ledger, ended = _ledger()
    call = _call(ledger, "x")
    assert ledger.active == 1
    call.finish(cast("Any", None))
    call.finish(cast("Any", None))
    assert ended == [(call, "success")]
    assert ledger.active == 0
