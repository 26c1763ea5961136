"""Who hears that the tools of pages are others."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from gateway.mcp.tool_news import CHANGED
from gateway.tool_catalogs import Catalogs
from gateway.tool_definitions import definition_of
from pool.workers import Settings as WorkerSettings
from pool.workers import to_worker
from session import MemoryTools
from session.model import SCOPES, ToolOffer
from tests.gateway.mcp.recording import ANN, Held, Port, Recorder, _now

A = definition_of("shop", {"name": "a", "description": "x"}, 9_999)
B = definition_of("shop", {"name": "b", "description": "x"}, 9_999)


class News:
    """A callers' port, and what pages offer."""

    def __init__(self, workers: WorkerSettings | None = None) -> None:
        self.port = Port(workers=workers)
        self.tools = MemoryTools()
        self.changed = self.port.endpoint.page_tools_changed(Catalogs(self.tools))

    def offer(self, number: int, *definitions: Any) -> None:
        named = {each.name: each.digest for each in definitions}
        offer = ToolOffer(f"c{number}", "tab", "acme", "", "here", float(number), named)
        _now(self.tools.offer(offer, {each.digest: each.data for each in definitions}))
        self.changed("acme")
        self.port.pass_time(0.3)

    def work(self) -> None:
        """Have workers do what waits for them."""
        trio.run(self._work)

    def stop_working(self) -> None:
        """Have workers take up what waits for them, and end where they would wait."""
        trio.run(self._stop_working)

    async def _work(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.port.workers.run)
            await self.port.workers.drain()
            nursery.cancel_scope.cancel()

    async def _stop_working(self) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await self.port.workers.run()


def listening(port: Port, **principal: Any) -> Recorder:
    port.principal = replace(ANN, **principal)
    wanted = {"notifications": {"toolsListChanged": True}}
    return port.modern("subscriptions/listen", wanted)


def told(stream: Recorder) -> int:
    return [message.get("method") for message in stream.messages].count(CHANGED)


def test_callers_of_the_tenant_hear_it_and_nobody_else() -> None:
    news = News()
    ours, theirs = listening(news.port), listening(news.port, tenant="other")
    without = listening(news.port, scopes=SCOPES - {"tools"})
    news.port.principal = ANN
    session = news.port.initialize()
    stream = news.port.listen(session)
    news.offer(1, A)
    assert [told(each) for each in (ours, theirs, without, stream)] == [1, 0, 0, 1]


def test_it_is_told_once_of_what_is_another_list() -> None:
    news = News()
    stream = listening(news.port)
    for _ in range(5):
        news.changed("acme")
    news.offer(1, A)
    assert told(stream) == 1
    # Another page with the same tools is no news.
    news.offer(2, A)
    assert told(stream) == 1
    news.offer(3, B)
    assert told(stream) == 2


def test_who_came_while_nobody_listened_hears_of_the_next_change() -> None:
    news = News()
    first = listening(news.port)
    news.offer(1, A)
    assert told(first) == 1
    first.disconnect()
    news.offer(1, B)
    second = listening(news.port)
    news.offer(1, A)
    assert told(second) == 1


@pytest.mark.parametrize("parked", [False, True])
@pytest.mark.parametrize(("listeners", "tools"), [(450, 1), (1, 600)])
def test_who_was_not_told_for_want_of_a_worker_is_told_once_there_is_one(
    listeners: int, tools: int, parked: bool
) -> None:
    news = News(WorkerSettings(queue=1, queue_per_lane=1))
    port = news.port
    session = port.initialize()
    streams = [listening(port) for _ in range(listeners)] + [port.listen(session)]
    before = port.workers.start("other", to_worker())
    assert before is not None
    held = Held(news.tools, "of") if parked else None
    names = [{"name": f"t{number}", "description": "x"} for number in range(tools)]
    news.offer(1, *(definition_of("shop", each, 9_999) for each in names))
    if held is not None:
        held.go_on()
    port.pass_time(2)
    # And of many none is told sooner, and then again and again.
    assert {told(each) for each in streams} == {0}
    before.cancel()
    port.pass_time(2)
    news.work()
    assert {told(each) for each in streams} == {1}
    assert port.failures == []
    news.changed("acme")
    port.pass_time(0.3)
    news.work()
    assert {told(each) for each in streams} == {1}


@pytest.mark.parametrize("ends", [False, True])
def test_news_that_waited_for_a_worker_is_older_than_what_was_told_meanwhile(ends: bool) -> None:
    news = News()
    streams = [listening(news.port) for _ in range(250)]
    news.offer(1, A)
    for stream in streams[100:]:
        stream.disconnect()
    del streams[100:]
    news.offer(1, B)
    assert {told(each) for each in streams} == {1}
    if ends:
        news.stop_working()
    else:
        news.work()
    assert {told(each) for each in streams} == {2}
    # What was told last is no news, and what it was before is.
    news.offer(2, B)
    assert {told(each) for each in streams} == {2}
    news.offer(3, A)
    assert {told(each) for each in streams} == {3}
