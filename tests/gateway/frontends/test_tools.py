"""What a page says of its tools, on the wire."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from msgspec.structs import replace

from gateway.offers import Ask
from gateway.quotas.settings import Quota
from gateway.tool_calls import ToolCalls
from gateway.tool_definitions import Settings
from gateway.tool_offers import ToolOffers
from pool.workers import Settings as WorkerSettings
from pool.workers import to_worker
from session import MemoryBus, MemoryTools
from session.model import Audience, Delivery
from session.store import Store
from tests.gateway.frontends.world import AGENT, SlowDrafts, Tab, World, now

TOOL: dict[str, Any] = {"name": "a", "description": "Does it"}


class Shop(World):
    """A port that takes tools, with workers, as schemas are looked at in turns."""

    def __init__(
        self, quota: int = 0, *, workers: WorkerSettings | None = None, **settings: Any
    ) -> None:
        super().__init__(workers, Quota({"registered_tools": quota}, {}) if quota else None)
        self.tools = MemoryTools()
        self.endpoint.tools = ToolOffers(
            Settings(**settings),
            self.tools,
            self.clock.timers.now,
            "here",
            lambda _tenant: None,
            self.quotas,
        )
        self.endpoint.calls = ToolCalls(self.router, MemoryBus())

    def offered(self) -> list[str]:
        return sorted(name for each in now(self.tools.of("default")).offers for name in each.tools)

    async def register(
        self, tab: Tab, *tools: dict[str, Any], namespace: str = "shop"
    ) -> list[dict[str, Any]]:
        """Offer tools; return what is heard of that, once it was seen to."""
        tab.say({"type": "register_tools", "namespace": namespace, "tools": list(tools)})
        await self.workers.drain()
        return tab.heard()


@pytest.fixture
async def shop(nursery: trio.Nursery) -> Shop:
    return await opened(nursery)


async def opened(nursery: trio.Nursery, quota: int = 0, **settings: Any) -> Shop:
    shop = Shop(quota, **settings)
    await nursery.start(shop.workers.run)
    return shop


async def test_a_page_is_told_what_it_offers_and_what_not(shop: Shop) -> None:
    tab = shop.tab(frontend_id="tab")
    wrong = {"name": "b", "description": ""}
    (told,) = await shop.register(tab, TOOL, wrong, {"description": "x"}, TOOL)
    assert (told["type"], told["namespace"], told["tools"]) == (
        "tools_registered",
        "shop",
        ["shop.a"],
    )
    assert [each["name"] for each in told["refused"]] == ["b", "tools[2]", "a"]
    assert "needs a description" in told["refused"][0]["message"]
    assert shop.offered() == ["shop.a"]


async def test_the_last_that_it_says_counts(shop: Shop) -> None:
    tab = shop.tab()
    say = {"type": "register_tools", "namespace": "shop"}
    tab.say(
        {**say, "tools": [TOOL]}, {**say, "tools": []}, {**say, "tools": [{**TOOL, "name": "b"}]}
    )
    await shop.workers.drain()
    assert shop.offered() == ["shop.b"]
    assert tab.heard()[-1]["tools"] == ["shop.b"]
    await shop.register(tab)
    assert shop.offered() == []


async def test_what_it_says_before_it_is_attached_is_seen_to_then(shop: Shop) -> None:
    tab = Tab(shop)
    tab.say({"type": "register_tools", "namespace": "shop", "tools": [TOOL]})
    await shop.workers.drain()
    assert shop.offered() == []
    tab.say({"type": "connect", "frontend_id": "tab"})
    await shop.workers.drain()
    assert shop.offered() == ["shop.a"]


async def test_who_says_connect_again_offers_as_who_they_are_now(shop: Shop) -> None:
    tab = shop.tab(frontend_id="tab", user="ann")
    await shop.register(tab, TOOL)
    tab.say({"type": "connect", "frontend_id": "tab", "user": "bob"})
    await shop.workers.drain()
    assert [each.user for each in now(shop.tools.of("default")).offers] == ["bob"]


async def test_what_a_page_offered_goes_with_a_connection_that_says_connect_again(
    shop: Shop,
) -> None:
    """Also when it is lost between two introductions."""
    slow = SlowDrafts(shop.store)
    shop.router.store = cast("Store", slow)
    tab = Tab(shop)
    shop.clock.pass_time(0.4)
    await shop.register(tab, TOOL)
    tab.say({"type": "connect", "frontend_id": "tab"})
    tab.wire.abort()
    slow.asked[0].set([])
    await shop.workers.drain()
    assert shop.offered() == []
    assert (tab.socket.tools, len(shop.hub)) == ({}, 0)


async def test_what_a_page_offered_goes_with_its_connection(shop: Shop) -> None:
    tab = shop.tab()
    await shop.register(tab, TOOL)
    tab.socket.connection_lost()
    await shop.workers.drain()
    assert shop.offered() == []


async def test_so_many_are_taken_of_one_frontend(nursery: trio.Nursery) -> None:
    shop = await opened(nursery, per_frontend=2)
    many = [{**TOOL, "name": f"t{number}"} for number in range(5)]
    (told,) = await shop.register(shop.tab(), *many)
    assert told["tools"] == ["shop.t0", "shop.t1"]
    (refused,) = told["refused"]
    assert refused["message"] == "3 too many: a frontend offers 2"


@pytest.mark.parametrize(
    ("settings", "code", "retryable"),
    [({"maximum": 1}, "busy", True), ({"quota": 1}, "over_quota", True)],
)
async def test_without_room_none_is_taken_and_it_may_try_again(
    nursery: trio.Nursery, settings: dict[str, Any], code: str, *, retryable: bool
) -> None:
    shop = await opened(nursery, **settings)
    tab = shop.tab()
    (told,) = await shop.register(tab, TOOL, {**TOOL, "name": "b"})
    assert (told["type"], told["code"], told["retryable"]) == ("error", code, retryable)
    assert shop.offered() == []
    (told,) = await shop.register(tab, TOOL)
    assert told["tools"] == ["shop.a"]


async def test_a_namespace_that_is_none_and_a_credential_without_the_scope(shop: Shop) -> None:
    tab = shop.tab()
    (told,) = await shop.register(tab, TOOL, namespace="a.b")
    assert told["code"] == "invalid_tools"
    tab.socket.principal = replace(AGENT, scopes=frozenset(("answer",)))
    (told,) = await shop.register(tab, TOOL)
    assert (told["code"], shop.offered()) == ("forbidden", [])


async def test_a_port_that_takes_no_tools_says_so() -> None:
    tab = World().tab()
    tab.say({"type": "register_tools", "namespace": "shop", "tools": [TOOL]})
    assert tab.heard()[0]["code"] == "unknown_type"


async def test_a_call_is_shown_and_ended_on_the_wire(shop: Shop) -> None:
    tab = shop.tab(frontend_id="tab")
    await shop.register(tab, TOOL)

    async def call() -> str:
        ask = Ask(
            "shop.a",
            None,
            Audience("tool", "shop.a tab"),
            Delivery.ONE,
            context='{"order":7}',
            asker_name="Release agent",
            tool="shop.a",
        )
        question_id: str = (await shop.router.ask(AGENT, ask, None)).question.id
        return question_id

    call_id = now(call())
    (shown,) = tab.heard()
    assert (shown["type"], shown["call_id"], shown["tool"]) == ("tool_call", call_id, "shop.a")
    assert shown["arguments"] == {"order": 7}
    assert shown["from"] == {"subject": "agent", "name": "Release agent"}
    assert set(shown) >= {"created_at", "deadline"}
    tab.say({"type": "tool_progress", "call_id": call_id, "progress": 1})
    assert tab.heard() == []
    result: dict[str, Any] = {"content": []}
    tab.say(*[{"type": "tool_result", "call_id": call_id, "result": result}] * 2)
    first, second = tab.heard()
    assert first == {
        "type": "tool_ack",
        "call_id": call_id,
        "status": "accepted",
        "state": "answered",
    }
    assert second["status"] == "duplicate"
    another = now(call())
    tab.heard()
    assert shop.endpoint.calls is not None
    now(shop.endpoint.calls.cancel(AGENT, another, "changed its mind", "agent"))
    assert tab.heard() == [
        {
            "type": "tool_cancel",
            "call_id": another,
            "reason": "cancelled",
            "message": "changed its mind",
        }
    ]


async def test_without_a_worker_what_was_said_before_it_was_attached_is_refused_as_busy(
    nursery: trio.Nursery,
) -> None:
    """The store kept it waiting: it goes on where it cannot be started anew."""
    shop = Shop(workers=WorkerSettings(queue=1, queue_per_lane=1))
    slow = SlowDrafts(shop.store)
    shop.router.store = cast("Store", slow)
    tab = Tab(shop)
    tab.say(
        {"type": "connect", "frontend_id": "tab"},
        {"type": "register_tools", "namespace": "shop", "tools": [TOOL]},
    )
    shop.workers.start("other", to_worker())
    slow.asked[0].set([])
    welcome, refusal = tab.heard()
    assert (welcome["type"], refusal["code"], refusal["retryable"]) == ("connect_ack", "busy", True)
    assert shop.failures == []
    await nursery.start(shop.workers.run)
    await shop.workers.drain()
    await shop.register(tab, TOOL)
    assert shop.offered() == ["shop.a"]
