"""Who hears that the tools of pages are others."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.mcp.tool_news import CHANGED
from gateway.tool_catalogs import Catalogs
from gateway.tool_definitions import definition_of
from session import MemoryTools
from session.model import SCOPES, ToolOffer
from tests.gateway.mcp.recording import ANN, Port, Recorder, _now

A = definition_of("shop", {"name": "a", "description": "x"}, 9_999)
B = definition_of("shop", {"name": "b", "description": "x"}, 9_999)


class News:
    """A callers' port, and what pages offer."""

    def __init__(self) -> None:
        self.port = Port()
        self.tools = MemoryTools()
        self.changed = self.port.endpoint.page_tools_changed(Catalogs(self.tools))

    def offer(self, number: int, *definitions: Any) -> None:
        named = {each.name: each.digest for each in definitions}
        offer = ToolOffer(f"c{number}", "tab", "acme", "", "here", float(number), named)
        _now(self.tools.offer(offer, {each.digest: each.data for each in definitions}))
        self.changed("acme")
        self.port.pass_time(0.3)


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
