"""What a credential costs each request and each connection, counted."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.http.messages import Head, Request
from session.model import NOBODY
from tests.costs.test_costs import counted_calls
from tests.gateway.auth.judging import Judge, judging, key
from tests.gateway.auth.signing import NOW, token
from tests.gateway.auth.test_guard import Port
from tests.gateway.frontends.test_doorman import Door
from tests.gateway.frontends.world import Tab, World
from tests.gateway.mcp.recording import Recorder

_TIMES = 50
_CONNECTIONS = 400
_MOST_BYTES = 200


@pytest.fixture
async def judge(tmp_path: Path) -> AsyncIterator[Judge]:
    async with judging(tmp_path) as judge:
        yield judge


async def test_who_is_known_costs_two_calls_and_no_worker(judge: Judge) -> None:
    """The guard and the look-up; the clock and the handler are the test's own."""
    port = Port(judge)
    port.guard._handler = lambda _request, _responder: None
    fields = {b"authorization": f"Bearer {key('a')}".encode()}
    head = Head("POST", "/mcp", "", fields, keep_alive=True, body_length=0)
    recorder: Any = Recorder()
    requests = [Request(head, b"", "192.0.2.1") for _ in range(_TIMES)]
    port.guard.handle(requests[0], recorder)
    before = judge.workers.statistics()
    with counted_calls() as calls:
        for request in requests:
            port.guard.handle(request, recorder)
    assert sum(calls.values()) <= 2 * _TIMES, calls
    assert judge.workers.statistics() == before
    assert {request.principal.subject for request in requests} == {"a"}


def bytes_each(open_one: Callable[[], Tab]) -> float:
    """Return by how much memory grows with each connection."""
    # Tables grow in steps: what is measured begins after the first ones.
    tabs = [open_one() for _ in range(_CONNECTIONS)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tabs += [open_one() for _ in range(_CONNECTIONS)]
        for tab in tabs:
            tab.wire.taken()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / _CONNECTIONS
    finally:
        tracemalloc.stop()


async def test_a_frontend_that_showed_a_credential_costs_little_more(judge: Judge) -> None:
    world, door = World(), Door(judge, most=10_000)

    def without() -> Tab:
        return world.tab(user="a")

    def with_a_key() -> Tab:
        tab = door.connect(key("a"))
        assert tab.socket.principal is not NOBODY
        return tab

    assert bytes_each(with_a_key) - bytes_each(without) <= _MOST_BYTES


async def test_a_frontend_with_a_token_of_its_own_costs_what_the_token_says(judge: Judge) -> None:
    """Each has a principal of its own; the token itself is kept for a bounded number."""
    world, door = World(), Door(judge, most=10_000)
    tokens = iter(
        [token(sub=f"user-{number}", exp=NOW + 500) for number in range(2 * _CONNECTIONS)]
    )
    names = iter([f"user-{number}" for number in range(2 * _CONNECTIONS)])

    def without() -> Tab:
        return world.tab(user=next(names), groups=["doctors"])

    def with_a_token() -> Tab:
        tab = door.connect(next(tokens))
        assert tab.socket.principal is not NOBODY
        judge.auth._known.clear()
        return tab

    assert bytes_each(with_a_token) - bytes_each(without) <= _MOST_BYTES
