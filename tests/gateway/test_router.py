"""The question's way from caller to frontends and back, with the real store."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.offers import Ask, Notification, Offer, Settings
from gateway.router import Router
from session import Found, MemoryBus, MemorySettings, MemoryStore
from session.errors import TooManyPendingError
from session.model import (
    Audience,
    Choice,
    Delivery,
    Outcome,
    Presence,
    Principal,
    Question,
    State,
)

AGENT = Principal("acme", "agent")


class Tab:
    """A frontend that notes what it is told."""

    def __init__(
        self, name: str, *, tenant: str = "acme", user: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        self.tenant = tenant
        self.frontend_id = name
        self.user = user
        self.groups = groups
        self.offers: dict[str, Offer] = {}
        self.attached = False
        self.presence = Presence(name, f"c-{name}", tenant, user, "", groups, 0.0, "here")
        self.log: list[tuple[str, str]] = []

    def offer(self, offer: Offer) -> None:
        self.log.append(("offer", offer.question.id))

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        self.log.append((reason, offer.question.id))

    def notify(self, notification: Notification) -> None:
        self.log.append(("notify", notification.message))

    def told(self, question: Question) -> list[str]:
        return [what for what, question_id in self.log if question_id == question.id]


class Caller:
    """A waiter that notes the outcomes it hears."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def settled(self, question: Question, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class World:
    """A router with everything real behind it, and a clock that the test sets."""

    def __init__(self, settings: Settings | None = None, **limits: float) -> None:
        self.now = 1_700_000_000.0
        self.store = MemoryStore(MemorySettings(**limits), lambda: self.now)  # type: ignore[arg-type]
        self.hub = Hub()
        self.settled: list[str] = []
        self.router = Router(
            settings or Settings(),
            store=self.store,
            bus=MemoryBus(),
            hub=self.hub,
            ids=Ids(),
            clock=lambda: self.now,
            on_settled=lambda state, _seconds: self.settled.append(state),
        )

    async def tab(self, name: str, **more: Any) -> Tab:
        tab = Tab(name, **more)
        await self.router.attach(tab)
        return tab

    async def ask(self, text: str = "Which colour?", **more: Any) -> tuple[Question, Caller]:
        caller = Caller()
        asked = await self.router.ask(AGENT, Ask(text, **more), caller)
        if asked.outcome is not None:
            caller.outcomes.append(asked.outcome)
        return asked.question, caller


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


async def test_another_tenant_sees_nothing_of_it(world: World) -> None:
    stranger = await world.tab("x", tenant="other")
    question, _ = await world.ask()
    outsider = Principal("other", "agent")
    assert stranger.log == []
    assert (await world.router.answer(stranger, question.id, answer="a")).status == "unknown"
    assert (await world.router.reject(stranger, question.id, "no")).status == "unknown"
    assert await world.router.collect(outsider, question.id, None) is None
    assert await world.router.cancel(outsider, question.id, "mine", "x") is None
    assert list(await world.router.frontends(Principal("acme", "agent"))) == []


async def test_another_subject_cannot_collect_or_cancel(world: World) -> None:
    question, caller = await world.ask()
    colleague = Principal("acme", "somebody")
    assert await world.router.collect(colleague, question.id, None) is None
    assert await world.router.cancel(colleague, question.id, "mine", "x") is None
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


async def test_with_nobody_there_the_next_to_come_is_asked(world: World) -> None:
    question, _ = await world.ask(delivery=Delivery.ONE)
    first, second = await world.tab("1"), await world.tab("2")
    assert (first.told(question), second.told(question)) == (["offer"], [])


async def test_an_unseen_question_is_passed_on_and_a_seen_one_stays(
    world: World, autojump_clock: MockClock
) -> None:
    tabs = [await world.tab(str(number)) for number in range(2)]
    unseen, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    seen, _ = await world.ask(delivery=Delivery.ONE, timeout=1000)
    world.router.saw(tabs[1], seen.id)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.router.run)
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
        await nursery.start(world.router.run)
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
        await nursery.start(world.router.run)
        await sweep(world, 100)
        assert tab.told(question) == ["offer"]
        nursery.cancel_scope.cancel()


async def sweep(world: World, seconds: float) -> None:
    """Let time pass and the sweep see it; Trio's own time is the test's as well."""
    world.now += seconds
    await trio.sleep(1)


async def test_a_question_times_out_and_everybody_hears(
    world: World, autojump_clock: MockClock
) -> None:
    tab = await world.tab("1")
    question, caller = await world.ask(timeout=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.router.run)
        await sweep(world, 9)
        assert caller.outcomes == []
        await sweep(world, 2)
        nursery.cancel_scope.cancel()
    assert [o.state for o in caller.outcomes] == [State.TIMED_OUT]
    assert tab.told(question) == ["offer", "timed_out"]
    assert (await world.router.answer(tab, question.id, answer="late")).status == "too_late"
    assert world.router.statistics().offers == 0


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, 300), (7, 7), (0, 0), (-5, 0), (1e12, 86_400)]
)
def test_a_timeout_is_kept_within_its_bounds(
    world: World, timeout: float | None, seconds: float
) -> None:
    question = world.router._question(AGENT, Ask("?", timeout))
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


async def test_the_caller_is_told_how_many_are_online(world: World) -> None:
    for number in range(3):
        await world.tab(str(number))
    assert await world.router.online(AGENT.tenant) == 3


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


async def test_a_draft_comes_back_to_its_frontend(world: World) -> None:
    tab = await world.tab("1")
    question, _ = await world.ask()
    await world.router.save_draft(tab, question.id, "blu")
    (draft,) = await world.store.drafts("acme", "1")
    assert draft.text == "blu"


async def test_a_notification_reaches_its_audience_once(world: World) -> None:
    tabs = [await world.tab("1", user="ann"), await world.tab("2", user="bob")]
    told = await world.router.notify(AGENT, Notification("hello", audience=Audience("user", "ann")))
    assert told == 1
    assert [tab.log for tab in tabs] == [[("notify", "hello")], []]


async def test_those_who_wait_are_told_when_the_process_goes_away(world: World) -> None:
    await world.tab("1")
    _, caller = await world.ask()
    asked = await world.router.ask(AGENT, Ask("nobody waits"), None)
    with trio.move_on_after(0.05):
        await world.router.wait_until_nobody_waits()
    assert caller.outcomes == []
    await world.router.tell_waiters_to_come_back()
    assert "ask again" in caller.outcomes[0].reason
    assert (await world.store.find("acme", asked.question.id)) == Found(asked.question, None)
    await world.router.wait_until_nobody_waits()
    world.router.draining = True
    with pytest.raises(InvalidAskError, match="shutting down"):
        await world.ask()


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
