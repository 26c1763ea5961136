"""Streams by session; how they behave on the wire is in `test_endpoint`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.ids import Ids
from gateway.mcp.exchange import Beating, Conduct, Exchange
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.listeners import Listeners
from gateway.mcp.pacing import Pace
from pool.timers import Timers
from session.model import NOBODY, McpSession, Principal
from tests.gateway.mcp.recording import Recorder


def _listeners(
    session_limit: int,
    limit: int,
    deserted: Callable[[str], None] = lambda _session_id: None,
    heard_by: Callable[[str, Principal], None] = lambda _session_id, _principal: None,
) -> tuple[Listeners, Pace[Beating]]:
    timers: Timers[Callable[[], None]] = Timers(0.0)
    patience: Pace[Exchange] = Pace(timers, 0.1, Exchange.impatient)
    keep_alive: Pace[Beating] = Pace(timers, 15.0, lambda stream: stream.beat())
    conduct = Conduct(patience, keep_alive, Ids(), 1000)
    touched: list[McpSession] = []
    listeners = Listeners(
        conduct,
        session_limit=session_limit,
        limit=limit,
        touch=touched.append,
        deserted=deserted,
        heard_by=heard_by,
    )
    return listeners, keep_alive


def _session(name: str) -> McpSession:
    return McpSession(name, "t", "s", "2025-11-25", 0.0)


def test_a_place_is_free_again_when_a_stream_ends_whoever_ended_it() -> None:
    listeners, keep_alive = _listeners(1, 10)
    for end in ("caller", "server"):
        recorder = Recorder()
        listeners.listen(_session("a"), recorder, NOBODY)
        if end == "caller":
            recorder.disconnect()
        else:
            listeners.end("a")
            assert recorder.complete
        assert listeners.open == 0
    assert len(keep_alive) == 0
    listeners.end("a")


def test_a_full_session_leaves_room_for_others_and_a_full_server_for_nobody() -> None:
    listeners, _ = _listeners(1, 2)
    for name in "ab":
        listeners.listen(_session(name), Recorder(), NOBODY)
    statuses = []
    for name in "ac":
        with pytest.raises(RpcError) as caught:
            listeners.listen(_session(name), Recorder(), NOBODY)
        statuses.append(caught.value.status)
    assert statuses == [429, None]
    assert listeners.open == 2


def test_who_listens_no_more_is_told_with_the_last_stream_only() -> None:
    deserted: list[str] = []
    listeners, _ = _listeners(2, 10, deserted.append)
    first, second = Recorder(), Recorder()
    for recorder in (first, second):
        listeners.listen(_session("a"), recorder, NOBODY)
    first.disconnect()
    assert (deserted, listeners.has("a")) == ([], True)
    second.disconnect()
    assert (deserted, listeners.has("a")) == (["a"], False)


def test_who_hears_instead_of_one_that_ended_is_told() -> None:
    heard: list[tuple[str, str]] = []
    listeners, _ = _listeners(
        3, 10, heard_by=lambda session_id, principal: heard.append((session_id, principal.subject))
    )
    recorders = [Recorder() for _ in range(3)]
    for number, recorder in enumerate(recorders):
        listeners.listen(_session("a"), recorder, Principal("t", f"s{number}"))
    for at in (2, 0, 1):
        recorders[at].disconnect()
    assert heard == [("a", "s1"), ("a", "s1")]


def test_who_is_told_elsewhere_is_told_here_what_it_was_not_told_when_it_is_its_turn() -> None:
    listeners, _ = _listeners(2, 10)
    # Nobody is told, and nothing kept, where nobody listens.
    listeners.hush("a")
    listeners.send("a", b'{"a":0}')
    first, second = Recorder(), Recorder()
    listeners.listen(_session("a"), first, NOBODY)
    assert listeners.tells("a")
    listeners.send("a", b'{"a":1}')
    listeners.hush("a")
    assert not listeners.tells("a")
    for _ in range(2):
        listeners.send("a", b'{"a":2}')
        listeners.hush("a")
    listeners.listen(_session("a"), second, NOBODY)
    listeners.send("a", b'{"a":3}')
    assert (first.messages, second.messages) == ([{"a": 1}], [])
    for _ in range(2):
        listeners.tell("a")
    assert (first.messages, second.messages) == ([{"a": 1}], [{"a": 2}, {"a": 3}])
    listeners.send("a", b'{"a":4}')
    assert second.messages[-1] == {"a": 4}
    listeners.hush("a")
    listeners.send("a", b'{"a":5}')
    listeners.end("a")
    # Of one that listens no more nothing is kept.
    assert listeners.tells("a")
    assert listeners._untold == {}


def test_a_listener_is_sent_what_nobody_asked_for_until_it_ends() -> None:
    listeners, _ = _listeners(2, 10)
    session = _session("a")
    recorder = Recorder()
    listener = listeners.listen(session, recorder, NOBODY)
    listener.send(b'{"a":1}')
    assert recorder.messages == [{"a": 1}]
    listeners.end_all()
    listener.send(b'{"a":2}')
    listener.beat()
    listener.close()
    assert recorder.messages == [{"a": 1}]
    assert recorder.complete
