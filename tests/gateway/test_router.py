"""Questions, offers and answers, with a real store behind them."""

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.offers import Ask, Settings
from gateway.ownership import may_act_on
from gateway.upkeep import Upkeep
from pool.promises import Promise
from pool.workers import QueueFullError, Workers, to_worker
from pool.workers import Settings as WorkerSettings
from session import Admission, Found
from session.errors import TooManyPendingError
from session.model import (
    Audience,
    Choice,
    Delivery,
    Principal,
    Question,
    State,
)
from tests.gateway.routing import AGENT, Caller, Tab, World


@pytest.fixture
def world() -> World:
    return World()


async def test_everyone_is_offered_and_the_first_answer_wins(world: World) -> None:
    tabs = [await world.tab(str(number)) for number in range(3)]
    question, caller = await world.ask()
    assert [tab.told(question) for tab in tabs] == [["offer"]] * 3
    ack = await world.router.answer(tabs[1], question.id, answer="blue")
    assert (ack.status, ack.state) == ("accepted", State.ANSWERED)
    assert [(o.answer, o.by) for o in caller.outcomes] == [("blue", "1")]
    assert [tab.told(question) for tab in tabs] == [
        ["offer", "answered"],
        ["offer"],
        ["offer", "answered"],
    ]
    late = await world.router.answer(tabs[0], question.id, answer="red")
    assert late.status == "duplicate"
    assert "1" in late.message
    assert len(caller.outcomes) == 1
    assert world.settled == ["answered"]


async def test_a_frontend_that_comes_later_is_offered_what_waits_oldest_first(world: World) -> None:
    asked = [(await world.ask(str(number)))[0] for number in range(5)]
    tab = await world.tab("late")
    assert tab.log == [("offer", question.id) for question in asked]


async def test_a_long_inbox_is_shown_in_slices_and_all_of_it(world: World) -> None:
    asked = [(await world.ask(str(number)))[0] for number in range(1700)]
    tab = Tab("late")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.router.attach, tab)
        await wait_all_tasks_blocked()
    assert tab.log == [("offer", question.id) for question in asked]


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (Audience("user", "ann"), ["1", "2"]),
        (Audience("group", "ops"), ["2", "3"]),
        (Audience("frontend", "3"), ["3"]),
    ],
)
async def test_only_its_audience_sees_and_answers_a_question(
    world: World, audience: Audience, expected: list[str]
) -> None:
    tabs = [
        await world.tab("1", user="ann"),
        await world.tab("2", user="ann", groups=("ops",)),
        await world.tab("3", user="bob", groups=("ops",)),
        await world.tab("4", tenant="other", user="ann", groups=("ops",)),
    ]
    question, caller = await world.ask(audience=audience)
    assert [tab.frontend_id for tab in tabs if tab.log] == expected
    for tab in tabs:
        if tab.frontend_id not in expected:
            ack = await world.router.answer(tab, question.id, answer="mine")
            assert ack.status == "unknown"
    assert caller.outcomes == []


async def test_another_subject_cannot_collect_or_cancel(world: World) -> None:
    question, caller = await world.ask()
    colleague = Principal("acme", "somebody")
    assert await world.router.collect(colleague, question.id, None) is None
    assert await world.router.cancel(colleague, question.id, "mine", "x") is None
    assert caller.outcomes == []


async def test_an_admin_collects_and_cancels_where_that_is_the_rule(world: World) -> None:
    question, caller = await world.ask()
    boss = Principal("acme", "boss", scopes=frozenset(("admin",)))
    foreign = Principal("other", "boss", scopes=frozenset(("admin",)))
    waiting = Caller()
    for principal in (boss, foreign):
        # What a caller has of its own stays so.
        assert await world.router.collect(principal, question.id, waiting) is None
        assert await world.router.cancel(principal, question.id, "", "x") is None
    assert await world.router.collect(foreign, question.id, waiting, may_act_on) is None
    assert await world.router.cancel(foreign, question.id, "", "x", may_act_on) is None
    assert await world.router.collect(boss, question.id, waiting, may_act_on) is not None
    settled = await world.router.cancel(boss, question.id, "too late", "x", may_act_on)
    assert settled is not None
    assert settled.won
    for outcomes in (caller.outcomes, waiting.outcomes):
        assert [(each.state, each.by) for each in outcomes] == [(State.CANCELLED, "boss")]


async def test_a_call_of_a_pages_tool_is_no_question_to_an_admin_either(world: World) -> None:
    boss = Principal("acme", "boss", scopes=frozenset(("admin",)))
    call, caller = await world.ask(tool="shop.look", audience=Audience("tool", "shop.look tab"))
    assert await world.router.collect(boss, call.id, None, may_act_on) is None
    assert await world.router.cancel(boss, call.id, "", "x", may_act_on) is None
    assert caller.outcomes == []


async def test_an_answer_nobody_can_use_leaves_the_question_open(world: World) -> None:
    tab = await world.tab("1")
    question, caller = await world.ask(choices=(Choice("r"), Choice("b")))
    for answer in ("green", "", "x" * 300_000):
        ack = await world.router.answer(tab, question.id, answer=answer)
        assert ack.status == "invalid"
        assert ack.message
    assert caller.outcomes == []
    assert (await world.router.answer(tab, question.id, answer="b")).status == "accepted"


async def test_a_form_is_checked_and_returned_as_content(world: World) -> None:
    tab = await world.tab("1")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    question, caller = await world.ask(schema=schema)
    assert (await world.router.answer(tab, question.id, answer="", content={})).status == "invalid"
    await world.router.answer(tab, question.id, answer="{}", content={"n": 1})
    assert caller.outcomes[0].content == {"n": 1}


async def test_a_refusal_ends_the_question_and_says_so(world: World) -> None:
    tab, other = await world.tab("1", user="ann"), await world.tab("2")
    question, caller = await world.ask()
    ack = await world.router.reject(tab, question.id, "not my business")
    assert (ack.status, ack.state) == ("accepted", State.REJECTED)
    assert (caller.outcomes[0].state, caller.outcomes[0].reason) == (
        State.REJECTED,
        "not my business",
    )
    assert other.told(question) == ["offer", "rejected"]
    assert (await world.router.answer(other, question.id, answer="b")).status == "too_late"
    assert (await world.router.reject(other, question.id, "")).status == "too_late"


async def test_an_unknown_question_is_unknown(world: World) -> None:
    tab = await world.tab("1")
    assert (await world.router.answer(tab, "nothing", answer="a")).status == "unknown"
    assert (await world.router.reject(tab, "nothing", "")).status == "unknown"


async def test_with_delivery_one_the_least_busy_is_asked(world: World) -> None:
    tabs = [await world.tab(str(number)) for number in range(3)]
    asked = [await world.ask(delivery=Delivery.ONE) for _ in range(6)]
    assert [len(tab.offers) for tab in tabs] == [2, 2, 2]
    first = asked[0][0]
    await world.router.answer(tabs[0], first.id, answer="a")
    question, _ = await world.ask(delivery=Delivery.ONE)
    assert tabs[0].told(question) == ["offer"]


async def test_what_only_a_leaving_frontend_had_goes_to_the_next(world: World) -> None:
    leaving, staying = await world.tab("1"), await world.tab("2")
    question, caller = await world.ask(delivery=Delivery.ONE)
    assert (leaving.told(question), staying.told(question)) == (["offer"], [])
    await world.router.detach(leaving)
    assert staying.told(question) == ["offer"]
    await world.router.answer(staying, question.id, answer="a")
    assert len(caller.outcomes) == 1


async def test_what_a_leaving_frontend_had_is_with_the_next_before_the_store_is_told_of_the_rest(
    nursery: trio.Nursery,
) -> None:
    """The store may take its time, in which what was not shown yet could end."""
    world = World(shared=True)
    leaving, staying = await world.tab("1", user="ann"), await world.tab("2")
    alone, _ = await world.ask(delivery=Delivery.ONE, audience=Audience("user", "ann"))
    (busy, _), (ended, caller) = [await world.ask(delivery=Delivery.ONE) for _ in range(2)]
    assert (staying.told(busy), leaving.told(ended)) == (["offer"], ["offer"])
    may_go = trio.Event()
    release = world.store.release
    released: list[str] = []

    async def release_slowly(question: Question) -> None:
        await may_go.wait()
        released.append(question.id)
        await release(question)

    world.served.release = release_slowly
    nursery.start_soon(world.router.detach, leaving)
    await wait_all_tasks_blocked()
    assert staying.told(ended) == ["offer"]
    await world.router.cancel(AGENT, ended.id, "", "agent")
    may_go.set()
    await wait_all_tasks_blocked()
    assert [outcome.state for outcome in caller.outcomes] == [State.CANCELLED]
    assert (staying.told(ended), list(staying.offers)) == (["offer", "cancelled"], [busy.id])
    assert (released, world.router.statistics().unseen) == ([alone.id], 1)
    assert world.store.statistics().frontends == 1


@pytest.mark.parametrize(
    ("delivery", "quorum", "step"), [(Delivery.ONE, 0, "hold"), (None, 2, "find")]
)
async def test_a_question_that_ends_while_it_is_looked_up_for_a_newcomer_is_not_shown(
    nursery: trio.Nursery, delivery: Delivery | None, quorum: int, step: str
) -> None:
    world = World(shared=True)
    question, _ = await world.ask(delivery=delivery, quorum=quorum)
    look = getattr(world.store, step)
    may_go = trio.Event()

    async def look_slowly(tenant: str, question_id: str) -> object:
        found = await look(tenant, question_id)
        await may_go.wait()
        return found

    setattr(world.served, step, look_slowly)
    tab = Tab("1")
    nursery.start_soon(world.router.attach, tab)
    await wait_all_tasks_blocked()
    delattr(world.served, step)
    await world.router.cancel(AGENT, question.id, "", "agent")
    may_go.set()
    await wait_all_tasks_blocked()
    assert (tab.attached, tab.log, world.router.statistics().offers) == (True, [], 0)


async def test_who_is_somebody_else_by_then_is_not_shown_what_was_looked_up_for_who_it_was(
    nursery: trio.Nursery,
) -> None:
    world = World(shared=True)
    question, _ = await world.ask(audience=Audience("group", "ops"), quorum=2)
    find = world.store.find
    may_go = trio.Event()

    async def find_slowly(tenant: str, question_id: str) -> Found | None:
        found = await find(tenant, question_id)
        await may_go.wait()
        return found

    world.served.find = find_slowly
    tab = Tab("1", groups=("ops",))
    nursery.start_soon(world.router.attach, tab)
    await wait_all_tasks_blocked()

    def become() -> None:
        tab.groups = ()

    await world.router.detach(tab, become)
    await world.router.attach(tab)
    may_go.set()
    await wait_all_tasks_blocked()
    assert (tab.attached, tab.told(question)) == (True, [])


async def test_a_question_is_asked_once_it_is_stored_though_the_store_goes_away_then(
    autojump_clock: MockClock,
) -> None:
    """Its caller would ask it a second time; whoever it is for is shown it later."""
    world = World(shared=True)
    tab = Tab("1")
    admit = world.store.admit

    async def admit_while_somebody_comes(question: Question, **more: bool) -> Admission:
        admission = await admit(question, **more)
        world.hub.attach(tab)
        tab.attached = True
        world.served.away = {"hold"}
        return admission

    world.served.admit = admit_while_somebody_comes
    question, caller = await world.ask(delivery=Delivery.ONE)
    assert tab.log == []
    world.served.away = set()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert tab.told(question) == ["offer"]
    await world.router.answer(tab, question.id, answer="blue")
    assert [outcome.answer for outcome in caller.outcomes] == ["blue"]


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_question_that_the_store_lost_is_put_back_by_its_answer(delivery: Delivery) -> None:
    world = World(shared=True)
    tab = await world.tab("1")
    question, caller = await world.ask(delivery=delivery, idempotency_key="k")
    world.served.lose_everything()
    assert (await world.router.answer(tab, question.id, answer="blue")).status == "accepted"
    assert [outcome.answer for outcome in caller.outcomes] == ["blue"]
    found = await world.served.find("acme", question.id)
    assert found is not None
    assert found.outcome.answer == "blue"


async def test_a_question_that_is_lost_and_late_or_has_no_room_is_not_put_back() -> None:
    world = World(shared=True)
    tab = await world.tab("1")
    late, _ = await world.ask(timeout=10)
    crowded, _ = await world.ask(timeout=100)
    world.now += 50
    world.served.lose_everything(pending=1)
    assert (await world.router.answer(tab, late.id, answer="blue")).status == "unknown"
    await world.ask("another")
    assert (await world.router.answer(tab, crowded.id, answer="blue")).status == "unknown"


async def test_an_answer_that_is_no_longer_kept_is_not_given_twice() -> None:
    """What is in memory is not lost: what is not there has ended."""
    world = World(answers=1)
    tab, other = await world.tab("1"), await world.tab("2")
    question, _ = await world.ask()
    offer = other.offers[question.id]
    await world.router.answer(tab, question.id, answer="blue")
    await world.router.answer(tab, (await world.ask())[0].id, answer="blue")
    other.offers[question.id] = offer
    assert (await world.router.answer(other, question.id, answer="red")).status == "unknown"


async def test_with_nobody_there_the_next_to_come_is_asked(world: World) -> None:
    question, _ = await world.ask(delivery=Delivery.ONE)
    first, second = await world.tab("1"), await world.tab("2")
    assert (first.told(question), second.told(question)) == (["offer"], [])


@pytest.mark.parametrize(
    ("wanted", "seconds"), [(None, 300), (7, 7), (0, 0), (-5, 0), (1e12, 86_400)]
)
async def test_a_timeout_is_kept_within_its_bounds(
    world: World, wanted: float | None, seconds: float
) -> None:
    question, _ = await world.ask("?", timeout=wanted)
    assert question.deadline - question.created_at == seconds


async def test_an_ask_that_breaks_a_limit_is_not_stored(world: World) -> None:
    with pytest.raises(InvalidAskError, match="empty"):
        await world.router.ask(AGENT, Ask(""), None)
    assert world.store.statistics().pending == 0


async def test_the_caller_chooses_to_fail_when_nobody_is_there(world: World) -> None:
    with pytest.raises(NobodyConnectedError):
        await world.ask(if_absent="fail")
    await world.tab("1", user="bob")
    with pytest.raises(NobodyConnectedError):
        await world.ask(if_absent="fail", audience=Audience("user", "ann"))
    question, _ = await world.ask(if_absent="fail")
    assert question.id


async def test_the_fields_of_a_form_count_as_its_answer_does_whatever_text_comes_with_them() -> (
    None
):
    world = World(Settings(answer_bytes=1024))
    tab = await world.tab("1")
    question, caller = await world.ask(schema={"type": "object"})
    for answer, size in (("x" * 1025, 2), ("short", 1025)):
        ack = await world.router.answer(tab, question.id, answer=answer, content={}, size=size)
        assert (ack.status, ack.message) == (
            "invalid",
            "The answer is longer than 1024 characters.",
        )
    assert caller.outcomes == []
    ack = await world.router.answer(tab, question.id, answer="", content={}, size=1024)
    assert ack.status == "accepted"


async def test_the_same_key_joins_the_open_question_and_finds_the_answer(world: World) -> None:
    tab = await world.tab("1")
    question, first = await world.ask(idempotency_key="k")
    again, second = await world.ask(idempotency_key="k")
    assert again.id == question.id
    assert tab.told(question) == ["offer"]
    await world.router.answer(tab, question.id, answer="blue")
    assert first.outcomes == second.outcomes
    _, third = await world.ask(idempotency_key="k")
    assert third.outcomes == first.outcomes


async def test_who_leaves_hears_nothing_and_the_question_stays(world: World) -> None:
    tab = await world.tab("1")
    question, caller = await world.ask()
    world.router.forget(question.id, caller)
    world.router.forget(question.id, caller)
    world.router.forget("unknown", caller)
    assert (await world.router.answer(tab, question.id, answer="blue")).status == "accepted"
    assert caller.outcomes == []
    found = await world.router.collect(AGENT, question.id, None)
    assert found is not None
    assert found.outcome is not None
    assert found.outcome.answer == "blue"


async def test_who_collects_an_open_question_waits_for_it(world: World) -> None:
    tab = await world.tab("1")
    question, _ = await world.ask()
    later = Caller()
    found = await world.router.collect(AGENT, question.id, later)
    assert found is not None
    assert found.outcome is None
    await world.router.answer(tab, question.id, answer="blue")
    assert later.outcomes[0].answer == "blue"


async def test_a_cancelled_question_is_taken_back(world: World) -> None:
    tab = await world.tab("1")
    question, caller = await world.ask()
    settled = await world.router.cancel(AGENT, question.id, "changed my mind", "agent")
    assert settled is not None
    assert settled.won
    assert tab.told(question) == ["offer", "cancelled"]
    assert caller.outcomes[0].reason == "changed my mind"
    again = await world.router.cancel(AGENT, question.id, "again", "agent")
    assert again is not None
    assert not again.won


async def test_caps_refuse_before_anybody_is_asked() -> None:
    world = World(pending=2)
    tab = await world.tab("1")
    await world.ask()
    await world.ask()
    with pytest.raises(TooManyPendingError):
        await world.ask()
    assert len(tab.log) == 2


async def test_everything_returns_to_baseline(world: World) -> None:
    tabs = [await world.tab(str(number)) for number in range(4)]
    for delivery in (Delivery.ALL, Delivery.ONE):
        for number in range(50):
            question, _ = await world.ask(delivery=delivery)
            if number % 3:
                await world.router.answer(tabs[number % 4], question.id, answer="a")
            else:
                await world.router.cancel(AGENT, question.id, "", "agent")
    for tab in tabs:
        assert tab.offers == {}
        await world.router.detach(tab)
        await world.router.detach(tab)
    statistics = world.router.statistics()
    assert (statistics.offers, statistics.waiters, statistics.unseen) == (0, 0, 0)
    assert len(world.hub) == 0
    assert world.store.statistics().frontends == 0
    assert json.dumps(statistics.outcomes)


@pytest.mark.parametrize("is_parked", [True, False])
async def test_who_finds_no_worker_is_shown_what_waits_once_there_is_one(
    nursery: trio.Nursery, autojump_clock: MockClock, *, is_parked: bool
) -> None:
    """A job that the store kept waiting is told so where it goes on, any other ends there."""
    world = World(shared=True)
    asked = [(await world.ask(str(number)))[0] for number in range(501)]
    failures: list[Exception] = []
    workers = crowded(failures)
    tab = Tab("late")
    if is_parked:
        inbox = world.store.inbox
        read: Promise[None] = Promise()

        async def read_slowly(tenant: str) -> object:
            await read
            return await inbox(tenant)

        world.served.inbox = read_slowly
        workers.start("acme", world.router.attach(tab))
        read.set(None)
    else:
        with pytest.raises(QueueFullError):
            workers.start("acme", world.router.attach(tab))
    assert (failures, tab.log, list(world.router.behind)) == ([], [], [tab])
    world.upkeep = Upkeep(world.router, workers)
    await nursery.start(workers.run)
    await nursery.start(world.upkeep.run)
    await trio.sleep(1)
    assert tab.log == [("offer", question.id) for question in asked]
    assert (failures, world.router.behind) == ([], {})
    nursery.cancel_scope.cancel()


def crowded(failures: list[Exception]) -> Workers:
    """Return workers that have no room for what has to wait, until they run."""
    workers = Workers(
        WorkerSettings(queue=1, queue_per_lane=1),
        on_failure=lambda _lane, error: failures.append(error),
    )
    workers.start("other", to_worker())
    return workers


async def test_an_inbox_of_a_whole_slice_is_shown_to_its_end(nursery: trio.Nursery) -> None:
    """Others have their turn at its end, too, for which it takes a worker."""
    world = World()
    asked = [(await world.ask(str(number)))[0] for number in range(500)]
    failures: list[Exception] = []
    workers = Workers(WorkerSettings(), on_failure=lambda _lane, error: failures.append(error))
    tab = Tab("late")
    workers.start("acme", world.router.attach(tab))
    await nursery.start(workers.run)
    await workers.drain()
    assert failures == []
    assert tab.log == [("offer", question.id) for question in asked]
    nursery.cancel_scope.cancel()
