"""The tools of this instance's frontends: bounded, counted, and said again until they are known."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio
import trio.testing

from gateway.errors import OverQuotaError
from gateway.quotas.allowances import Allowances
from gateway.quotas.roster import Roster
from gateway.quotas.settings import Quota
from gateway.tool_definitions import Definition, Settings, definition_of
from gateway.tool_offers import ToolOffers, TooManyToolsError
from pool.portions import Slots
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryQuotas, MemoryTools, Offered
from session.errors import StoreUnavailableError
from session.model import ToolOffer
from tests.gateway.routing import Tab, fail_loudly


def tools(*names: str, description: str = "x") -> list[Definition]:
    said = [{"name": name, "description": description} for name in names]
    return [definition_of("shop", each, 9_999) for each in said]


class Away:
    """A store that can be away."""

    def __init__(self) -> None:
        self.tools = MemoryTools()
        self.is_away = False

    async def offer(self, offer: ToolOffer, definitions: Mapping[str, bytes]) -> bool:
        return await self._reached().offer(offer, definitions)

    async def withdraw(self, offer: ToolOffer) -> bool:
        return await self._reached().withdraw(offer)

    async def of(self, tenant: str) -> Offered:
        return await self._reached().of(tenant)

    def _reached(self) -> MemoryTools:
        if self.is_away:
            raise StoreUnavailableError("away")
        return self.tools


class SlowQuotas:
    """A keeper of quotas that says how many there are when the test says so."""

    def __init__(self) -> None:
        self._quotas = MemoryQuotas(lambda: 0.0, lambda _session: False)
        self.may_say = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quotas, name)

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        await self.may_say.wait()
        return await self._quotas.lease(slots, used, needed, reserve)


class World:
    """The tools of an instance, and a store that can be away."""

    def __init__(self, quota: int = 0, *, slow: bool = False, **settings: Any) -> None:
        self.store = Away()
        self.changed: list[str] = []
        self.keeper: Any = SlowQuotas()
        if not slow:
            self.keeper.may_say.set()
        quotas = None
        if quota:
            quotas = Allowances(
                self.keeper,
                workers=Workers(WorkerSettings(), on_failure=fail_loudly),
                now=lambda: 0.0,
                refused=lambda _quota, _principal: None,
                roster=Roster(shared=False),
            )
            quotas.roster.follow(Quota({"registered_tools": quota}, {}), {})
        self.quotas = quotas
        self.now = 5.0
        self.offers = ToolOffers(
            Settings(**settings), self.store, lambda: self.now, "here", self.changed.append, quotas
        )

    def tab(self, name: str = "tab") -> Tab:
        tab = Tab(name)
        tab.attached = True
        return tab

    async def offered(self) -> dict[str, list[str]]:
        found = await self.store.tools.of("acme")
        return {each.frontend_id: sorted(each.tools) for each in found.offers}

    def used(self) -> int:
        assert self.quotas is not None
        return sum(
            slots.used for own in self.quotas.roster.holdings() for slots in own.slots.values()
        )


async def test_what_a_frontend_offers_is_in_the_store_until_it_goes() -> None:
    world = World()
    tab = world.tab()
    assert await world.offers.put(tab, tools("a", "b"))
    assert await world.offered() == {"tab": ["shop.a", "shop.b"]}
    assert set(tab.tools) == {"shop.a", "shop.b"}
    assert await world.offers.put(tab, tools("c"))
    assert await world.offered() == {"tab": ["shop.c"]}
    await world.offers.take(tab)
    assert await world.offered() == {}
    assert (tab.tools, len(world.offers), world.offers.tools, world.offers.size) == ({}, 0, 0, 0)
    assert world.changed == ["acme"] * 3


async def test_an_empty_list_takes_all_back() -> None:
    world = World()
    tab = world.tab()
    await world.offers.put(tab, tools("a"))
    assert await world.offers.put(tab, [])
    assert await world.offered() == {}
    assert world.offers.size == 0


async def test_a_frontend_that_has_gone_offers_nothing() -> None:
    world = World(quota=5)
    tab = world.tab()
    tab.attached = False
    assert not await world.offers.put(tab, tools("a"))
    assert await world.offered() == {}
    assert world.used() == 0


async def test_a_definition_is_kept_once_however_many_offer_it() -> None:
    world = World()
    first, second = world.tab("1"), world.tab("2")
    await world.offers.put(first, tools("a"))
    size = world.offers.size
    await world.offers.put(second, tools("a"))
    assert world.offers.size == size
    assert world.offers.knows(tools("a")[0].digest)
    await world.offers.take(first)
    assert world.offers.size == size
    await world.offers.take(second)
    assert world.offers.size == 0
    assert not world.offers.knows(tools("a")[0].digest)


async def test_so_many_tools_are_offered_here() -> None:
    world = World(maximum=3)
    await world.offers.put(world.tab("1"), tools("a", "b"))
    second = world.tab("2")
    with pytest.raises(TooManyToolsError, match="3 tools are offered here already"):
        await world.offers.put(second, tools("a", "b"))
    assert await world.offers.put(second, tools("c"))
    # In place of what it has there is room.
    assert await world.offers.put(second, tools("d"))


async def test_so_many_bytes_of_definitions_are_kept() -> None:
    world = World(bytes=64 * 1024)
    for number in range(7):
        tab = world.tab(str(number))
        await world.offers.put(tab, tools(f"t{number}", description="x" * 9_000))
    with pytest.raises(TooManyToolsError, match="memory"):
        await world.offers.put(world.tab("last"), tools("t8", description="x" * 9_000))
    assert world.offers.size <= 64 * 1024


async def test_a_tenant_offers_as_many_as_its_quota_allows() -> None:
    world = World(quota=3)
    first, second = world.tab("1"), world.tab("2")
    await world.offers.put(first, tools("a", "b"))
    with pytest.raises(OverQuotaError) as over:
        await world.offers.put(second, tools("a", "b"))
    assert (over.value.quota, over.value.limit) == ("registered_tools", 3)
    assert world.used() == 2
    await world.offers.put(first, tools("a"))
    assert world.used() == 1
    await world.offers.put(second, tools("a", "b"))
    assert world.used() == 3
    for tab in (first, second):
        await world.offers.take(tab)
    assert world.used() == 0


@pytest.mark.parametrize(
    ("settings", "size", "room"), [({"maximum": 2}, 10, 2), ({"bytes": 64 * 1024}, 9_000, 7)]
)
async def test_who_waited_for_its_quota_offers_what_there_is_room_for_by_then(
    nursery: trio.Nursery, settings: dict[str, int], size: int, room: int
) -> None:
    world = World(quota=100, slow=True, **settings)
    became: list[str] = []

    async def put(number: int) -> None:
        definitions = tools(f"t{number}", description="x" * size)
        try:
            await world.offers.put(world.tab(str(number)), definitions)
        except TooManyToolsError:
            became.append("refused")
        else:
            became.append("offered")

    for number in range(9):
        nursery.start_soon(put, number)
    await trio.testing.wait_all_tasks_blocked()
    assert became == []
    world.keeper.may_say.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(became) == ["offered"] * room + ["refused"] * (9 - room)
    assert (world.offers.tools, len(world.offers), world.used()) == (room, room, room)
    assert world.offers.size <= world.offers.settings.bytes


async def test_who_does_not_wait_for_its_quota_any_more_uses_nothing_of_it(
    nursery: trio.Nursery,
) -> None:
    world = World(quota=100, slow=True)
    gone = world.tab("gone")
    became: list[bool] = []

    async def put_for_a_while(scope: trio.CancelScope) -> None:
        with scope:
            await world.offers.put(world.tab("late"), tools("a", "b"))

    async def put() -> None:
        became.append(await world.offers.put(gone, tools("a", "b")))

    scope = trio.CancelScope()
    nursery.start_soon(put_for_a_while, scope)
    nursery.start_soon(put)
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
    gone.attached = False
    world.keeper.may_say.set()
    await trio.testing.wait_all_tasks_blocked()
    assert (became, world.offers.tools, world.used()) == ([False], 0, 0)


async def test_who_offered_something_else_while_it_waited_uses_what_it_offers_now(
    nursery: trio.Nursery,
) -> None:
    world = World(quota=100, slow=True)
    tab = world.tab()
    nursery.start_soon(world.offers.put, tab, tools("a", "b"))
    nursery.start_soon(world.offers.put, tab, tools("c"))
    await trio.testing.wait_all_tasks_blocked()
    world.keeper.may_say.set()
    await trio.testing.wait_all_tasks_blocked()
    assert world.used() == len(tab.tools) == world.offers.tools
    await world.offers.take(tab)
    assert (world.used(), world.offers.size) == (0, 0)


async def test_what_could_not_be_said_is_said_later() -> None:
    world = World()
    staying, going = world.tab("1"), world.tab("2")
    await world.offers.put(going, tools("a"))
    world.store.is_away = True
    await world.offers.put(staying, tools("b"))
    await world.offers.take(going)
    world.store.is_away = False
    assert await world.offered() == {"2": ["shop.a"]}
    said, gone = world.offers.due(10)
    for recipient in said:
        await world.offers.say(recipient)
    for offer in gone:
        await world.offers.say_goodbye(offer)
    assert await world.offered() == {"1": ["shop.b"]}
    assert world.offers.due(10) == ([], [])


async def test_all_is_said_anew_when_it_may_be_forgotten() -> None:
    world = World()
    tabs = [world.tab(str(number)) for number in range(3)]
    for tab in tabs:
        await world.offers.put(tab, tools("a"))
    world.offers.forgotten()
    assert world.offers.due(2) == (tabs[:2], [])
    assert world.offers.due(2) == (tabs[2:], [])


async def test_who_is_called_otherwise_offers_as_such_and_no_later_than_before() -> None:
    world = World()
    tab = world.tab("before")
    await world.offers.put(tab, tools("a"))
    tab.presence = Tab("after").presence
    world.now = 99.0
    await world.offers.say_anew(tab)
    found = await world.store.tools.of("acme")
    assert [(each.frontend_id, each.offered_at) for each in found.offers][-1] == ("after", 5.0)
    # Of a frontend without tools there is nothing to say.
    await world.offers.say_anew(world.tab("other"))


async def test_an_offer_that_arrives_after_its_page_has_gone_is_taken_back() -> None:
    world = World()
    tab = world.tab()

    class Slow(Away):
        async def offer(self, offer: ToolOffer, definitions: Mapping[str, bytes]) -> bool:
            # The page goes while the store is told of it.
            await world.offers.take(tab)
            return await super().offer(offer, definitions)

    world.offers._store = Slow()
    await world.offers.put(tab, tools("a"))
    assert (await world.offers._store.of("acme")).offers == ()


async def make_up(world: World) -> None:
    """Say what could not be said before, as the sweep does."""
    said, gone = world.offers.due(10)
    for recipient in said:
        await world.offers.say(recipient)
    for offer in gone:
        await world.offers.say_goodbye(offer)


@pytest.mark.parametrize("is_back", [True, False])
async def test_a_goodbye_that_comes_late_takes_nothing_from_who_offers_something_again(
    *, is_back: bool
) -> None:
    world = World()
    tab, other = world.tab("1"), world.tab("2")
    for each in (tab, other):
        await world.offers.put(each, tools("a"))
    world.store.is_away = True
    for each in (tab, other):
        await world.offers.put(each, [])
    world.store.is_away = not is_back
    await world.offers.put(tab, tools("b"))
    world.store.is_away = False
    await make_up(world)
    assert await world.offered() == {"1": ["shop.b"]}
    assert world.offers.due(10) == ([], [])
    await world.offers.take(tab)
    assert await world.offered() == {}


@pytest.mark.parametrize("is_heard", [True, False])
async def test_what_is_offered_again_while_the_store_hears_a_goodbye_is_said_anew(
    nursery: trio.Nursery, *, is_heard: bool
) -> None:
    """The goodbye may reach the store last, and its reply may be lost."""
    world = World()
    tab = world.tab()
    await world.offers.put(tab, tools("a"))
    may_go = trio.Event()

    class Slow(Away):
        async def withdraw(self, offer: ToolOffer) -> bool:
            await may_go.wait()
            changed = await super().withdraw(offer)
            if not is_heard:
                raise StoreUnavailableError("no reply")
            return changed

    slow = Slow()
    slow.tools = world.store.tools
    world.offers._store = slow
    nursery.start_soon(world.offers.put, tab, [])
    await trio.testing.wait_all_tasks_blocked()
    await world.offers.put(tab, tools("b"))
    may_go.set()
    await trio.testing.wait_all_tasks_blocked()
    await make_up(world)
    assert await world.offered() == {"tab": ["shop.b"]}
    assert world.offers.due(10) == ([], [])
