"""Who is connected, and telling them something."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.offers import Notification
from session.errors import StoreUnavailableError
from session.model import (
    Audience,
    Presence,
    Principal,
)
from tests.gateway.routing import AGENT, World


@pytest.fixture
def world() -> World:
    return World()


async def test_another_tenant_sees_nothing_of_it(world: World) -> None:
    stranger = await world.tab("x", tenant="other")
    question, _ = await world.ask()
    outsider = Principal("other", "agent")
    assert stranger.log == []
    assert (await world.router.answer(stranger, question.id, answer="a")).status == "unknown"
    assert (await world.router.reject(stranger, question.id, "no")).status == "unknown"
    assert await world.router.collect(outsider, question.id, None) is None
    assert await world.router.cancel(outsider, question.id, "mine", "x") is None
    assert list(await world.router.people.frontends(Principal("acme", "agent"))) == []


async def test_the_caller_is_told_how_many_are_online(world: World) -> None:
    for number in range(3):
        await world.tab(str(number))
    assert await world.router.people.online(AGENT.tenant) == 3


async def test_a_notification_reaches_its_audience_once(world: World) -> None:
    tabs = [await world.tab("1", user="ann"), await world.tab("2", user="bob")]
    told = await world.router.people.notify(
        AGENT, Notification("hello", audience=Audience("user", "ann"))
    )
    assert told == 1
    assert [tab.log for tab in tabs] == [[("notify", "hello")], []]


@pytest.mark.parametrize("away", ["leave", "arrive"])
async def test_a_goodbye_that_comes_late_does_not_remove_who_is_here_again(
    autojump_clock: MockClock, away: str
) -> None:
    """It said ``connect`` once more, while the store was away for the first half or for both."""
    world = World(shared=True)
    gone, again = [await world.tab(name) for name in ("1", "2")]
    world.served.away = {"leave", away}
    for tab in (gone, again):
        await world.router.detach(tab)
    world.served.away.discard("leave")
    await world.router.attach(again)
    world.served.away = set()
    await sweep(world)
    assert [each.frontend_id for each in await world.store.present("acme")] == ["2"]
    assert not world.router.people.goodbyes
    await world.router.detach(again)
    assert await world.store.present("acme") == []


@pytest.mark.parametrize("is_heard", [True, False])
async def test_who_comes_again_while_the_store_hears_a_goodbye_is_said_anew(
    nursery: trio.Nursery, autojump_clock: MockClock, *, is_heard: bool
) -> None:
    """The goodbye may reach the store last, and its reply may be lost."""
    world = World(shared=True)
    tab = await world.tab("1")
    world.served.away = {"leave"}
    await world.router.detach(tab)
    world.served.away = set()
    may_go = trio.Event()
    leave = world.store.leave

    async def leave_slowly(presence: Presence) -> None:
        await may_go.wait()
        await leave(presence)
        if not is_heard:
            raise StoreUnavailableError("no reply")

    world.served.leave = leave_slowly
    people = world.router.people
    nursery.start_soon(people.say_goodbye, people.goodbyes.popleft())
    await wait_all_tasks_blocked()
    await world.router.attach(tab)
    may_go.set()
    await wait_all_tasks_blocked()
    del world.served.leave
    await sweep(world)
    assert [each.frontend_id for each in await world.store.present("acme")] == ["1"]
    assert (people.unsaid, len(people.goodbyes)) == ({}, 0)


async def sweep(world: World) -> None:
    """Have what could not be done before made up for."""
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def test_who_has_gone_by_then_is_not_said_to_be_here() -> None:
    """As after its tools were told, which took its time."""
    world = World(shared=True)
    tab = await world.tab("1")
    await world.router.detach(tab)
    await world.router.catch_up(tab)
    assert await world.store.present("acme") == []
