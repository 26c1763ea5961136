"""What happens to questions without anybody asking."""

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.errors import InvalidAskError
from gateway.offers import Ask
from gateway.upkeep import Upkeep
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session import Found
from session.model import (
    EVERYONE,
    Audience,
    Delivery,
    McpSession,
    Presence,
    Question,
    State,
)
from tests.gateway.routing import AGENT, Caller, Tab, World, fail_loudly


@pytest.fixture
def world() -> World:
    return World()


async def test_an_unseen_question_is_passed_on_and_a_seen_one_stays(
    world: World, autojump_clock: MockClock
) -> None:
    tabs = [await world.tab(str(number)) for number in range(2)]
    unseen, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    seen, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    world.router.saw(tabs[1], seen.id)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await sweep(world, 31)
        assert tabs[0].told(unseen) == ["offer", "reassigned"]
        assert tabs[1].told(unseen) == ["offer"]
        assert tabs[1].told(seen) == ["offer"]
        assert (
            await world.router.answer(tabs[0], unseen.id, answer="late but first")
        ).status == "accepted"
        nursery.cancel_scope.cancel()


async def test_an_unseen_question_comes_round_again(
    world: World, autojump_clock: MockClock
) -> None:
    tabs = [await world.tab(str(number)) for number in range(2)]
    question, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        for _ in range(2):
            await sweep(world, 31)
        assert tabs[0].told(question) == ["offer", "reassigned", "offer"]
        nursery.cancel_scope.cancel()


async def test_a_lonely_frontend_keeps_what_it_has_not_seen(
    world: World, autojump_clock: MockClock
) -> None:
    tab = await world.tab("1")
    question, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await sweep(world, 100)
        assert tab.told(question) == ["offer"]
        nursery.cancel_scope.cancel()


async def sweep(world: World, seconds: float) -> None:
    """Let time pass and the sweep see it; Trio's own time is the test's as well."""
    world.now += seconds
    await trio.sleep(1)


@pytest.mark.parametrize("meanwhile", ["seen", "moved", "ended", "nothing"])
async def test_a_question_goes_elsewhere_only_if_it_still_waits_for_somebody_to_look_at_it(
    autojump_clock: MockClock, meanwhile: str
) -> None:
    """To see who is elsewhere takes its time when the store is slow."""
    world = World(shared=True)
    tab = await world.tab("1")
    question, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    asked, may_go = trio.Event(), trio.Event()

    async def present_elsewhere(_tenant: str) -> list[Presence]:
        asked.set()
        await may_go.wait()
        return [Presence("2", "c-2", "acme", "", "", (), 0.0, "there")]

    world.served.present = present_elsewhere
    world.now += 31
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await asked.wait()
        world.now += 5
        holder = tab
        if meanwhile == "seen":
            world.router.saw(tab, question.id)
        elif meanwhile == "moved":
            holder = Tab("3")
            await world.router.attach(holder)
            await world.router.detach(tab)
        elif meanwhile == "ended":
            await world.router.cancel(AGENT, question.id, "", "agent")
        may_go.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    told = {"ended": ["offer", "cancelled"], "nothing": ["offer", "reassigned"]}
    assert holder.told(question) == told.get(meanwhile, ["offer"])


async def test_many_that_are_due_at_once_are_ended_without_a_pause(
    world: World, autojump_clock: MockClock
) -> None:
    callers = [(await world.ask(timeout=10))[1] for _ in range(1500)]
    world.now += 11
    since = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await trio.testing.wait_all_tasks_blocked()
        assert all(caller.outcomes for caller in callers)
        assert trio.current_time() == since
        nursery.cancel_scope.cancel()


async def test_a_question_times_out_and_everybody_hears(
    world: World, autojump_clock: MockClock
) -> None:
    tab = await world.tab("1")
    question, caller = await world.ask(timeout=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await sweep(world, 9)
        assert caller.outcomes == []
        await sweep(world, 2)
        nursery.cancel_scope.cancel()
    assert [o.state for o in caller.outcomes] == [State.TIMED_OUT]
    assert tab.told(question) == ["offer", "timed_out"]
    assert (await world.router.answer(tab, question.id, answer="late")).status == "too_late"
    assert world.router.statistics().offers == 0


@pytest.mark.parametrize("is_shared", [True, False])
async def test_who_is_here_is_said_anew_when_the_store_may_have_lost_it(
    autojump_clock: MockClock, *, is_shared: bool
) -> None:
    """Once for all that was read anew, and never where nothing can be lost."""
    world = World(shared=is_shared)
    tabs = [await world.tab(str(number)) for number in range(3)]
    arrive = world.store.arrive
    said: list[str] = []

    async def note(presence: Presence) -> bool:
        said.append(presence.frontend_id)
        return await arrive(presence)

    if is_shared:
        world.served.arrive = note
    await world.router.detach(tabs[0])
    for _ in range(16):
        world.upkeep.missed(lambda _question_id: False)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert said == (["1", "2"] if is_shared else [])
    assert world.router.people.unsaid == {}


async def test_those_who_wait_are_told_when_the_process_goes_away(world: World) -> None:
    await world.tab("1")
    _, caller = await world.ask()
    asked = await world.router.ask(AGENT, Ask("nobody waits"), None)
    with trio.move_on_after(0.05):
        await world.upkeep.wait_until_nobody_waits()
    assert caller.outcomes == []
    await world.upkeep.tell_waiters_to_come_back()
    assert "ask again" in caller.outcomes[0].reason
    assert (await world.store.find("acme", asked.question.id)) == Found(asked.question, None)
    await world.upkeep.wait_until_nobody_waits()
    world.router.draining = True
    with pytest.raises(InvalidAskError, match="shutting down"):
        await world.ask()


async def test_who_only_watches_is_not_waited_for_when_the_process_goes_away(
    world: World, autojump_clock: MockClock
) -> None:
    tab = await world.tab("1")
    watch = Caller(waits=False)
    asked = await world.router.ask(AGENT, Ask("watched"), watch)
    with trio.fail_after(1):
        await world.upkeep.wait_until_nobody_waits()
    await world.upkeep.tell_waiters_to_come_back()
    # Whoever asked it waits no more, and it is not cancelled for those who look on.
    assert watch.outcomes == []
    assert tab.told(asked.question) == ["offer"]
    assert (await world.store.find("acme", asked.question.id)) == Found(asked.question, None)
    # One that is waited for as well is, and both hear of it.
    waiter = Caller()
    await world.router.collect(AGENT, asked.question.id, waiter)
    with trio.move_on_after(1) as waited:
        await world.upkeep.wait_until_nobody_waits()
    assert waited.cancelled_caught
    await world.upkeep.tell_waiters_to_come_back()
    assert [o.state for o in waiter.outcomes + watch.outcomes] == [State.CANCELLED] * 2


async def test_the_sessions_that_wait_are_kept_alive_whoever_asked(
    autojump_clock: MockClock,
) -> None:
    world = World(shared=True)
    touched: list[set[str]] = []
    world.served.touch_sessions = touched.append
    question, _ = await world.ask(session_id="asker", timeout=1000)
    for waiter in (Caller("collector"), Caller("watching", waits=False)):
        await world.router.collect(AGENT, question.id, waiter)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await sweep(world, 61)
        nursery.cancel_scope.cancel()
    assert touched == [{"collector"}]


async def test_a_session_that_waits_outlives_the_time_that_an_idle_one_has(
    autojump_clock: MockClock,
) -> None:
    world = World(session_idle_seconds=8)
    world.upkeep = Upkeep(world.router, world.upkeep._workers, idle_seconds=8)
    for name in ("collector", "idle"):
        await world.store.save_session(McpSession(name, "acme", "agent", "2025-11-25", world.now))
    question, _ = await world.ask(timeout=1000)
    await world.router.collect(AGENT, question.id, Caller("collector"))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        for _ in range(6):
            await sweep(world, 3)
        nursery.cancel_scope.cancel()
    assert world.store.has_session("collector")
    assert not world.store.has_session("idle")


def test_what_sessions_give_up_elsewhere_is_handed_on(world: World) -> None:
    # Before callers are served, to nobody.
    world.upkeep.cancelled("session", b"[]")
    told: list[tuple[str, bytes]] = []
    world.upkeep.on_cancellation = lambda *what: told.append(what)
    world.upkeep.cancelled("session", b"[]")
    assert told == [("session", b"[]")]


async def test_who_wants_to_know_is_told_by_the_sweep_who_came_and_what_was_missed(
    world: World, autojump_clock: MockClock
) -> None:
    told: list[float] = []
    for _ in range(500):
        world.router.people.news.watch("acme", lambda: told.append(world.now))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await world.tab("1")
        await sweep(world, 2)
        assert len(told) == 500
        told.clear()
        world.upkeep.presence_changed("acme")
        await sweep(world, 2)
        assert len(told) == 500
        told.clear()
        world.upkeep.missed(lambda _question_id: False)
        await sweep(world, 2)
        assert len(told) == 500
        nursery.cancel_scope.cancel()


async def test_what_is_given_is_shown_to_one_and_answered(world: World) -> None:
    tabs = [await world.tab(str(number)) for number in range(2)]
    given = [await asked_elsewhere(world) for _ in range(2)]
    for question in given:
        world.upkeep.question_given(question)
        # Heard again, it is shown to nobody else.
        world.upkeep.question_given(question)
    assert [sorted(each for each, _ in tab.log) for tab in tabs] == [["offer"], ["offer"]]
    (question,) = [each for each in given if tabs[0].told(each)]
    assert (await world.router.answer(tabs[0], question.id, answer="yes")).status == "accepted"
    assert question.id not in world.router.offers


async def test_what_is_given_where_nobody_is_is_let_go_of() -> None:
    world = World(shared=True)
    released: list[str] = []

    async def release(question: Question) -> None:
        released.append(question.id)

    world.served.release = release
    question = await asked_elsewhere(world)
    world.upkeep.question_given(question)
    assert released == [question.id]
    assert world.router.offers == {}


async def test_without_a_worker_it_is_let_go_of_later() -> None:
    world = World(shared=True)
    workers = Workers(WorkerSettings(queue=1, queue_per_lane=1), on_failure=fail_loudly)
    workers.start("other", to_worker())

    async def release(_question: Question) -> None:
        await to_worker()

    world.served.release = release
    question = await asked_elsewhere(world)
    Upkeep(world.router, workers).question_given(question)
    assert list(world.router.releases.waiting) == [question]


async def asked_elsewhere(world: World) -> Question:
    """Return a question that another instance has stored."""
    question, caller = await world.ask(delivery=Delivery.ONE, audience=Audience("user", "nobody"))
    world.router.forget(question.id, caller)
    del world.router.offers[question.id]
    return msgspec.structs.replace(question, audience=EVERYONE)
