"""What is noted of questions: late, together, and not too much."""

from __future__ import annotations

from gateway.chronicle import NOTED_AFTER, Chronicle
from gateway.offers import Offer
from session.model import Outcome, Question, State
from tests.gateway.routing import Tab, World


def offer(number: int, at: float = 100.0) -> Offer:
    return Offer(Question(f"{number:032x}", "acme", "agent", "?", at, at + 60))


def shown(made: Offer, *tabs: Tab, at: float = 100.0) -> Offer:
    for tab in tabs:
        made.holders[tab] = at
    return made


def kinds(chronicle: Chronicle, offers: dict[str, Offer], now: float) -> list[list[str]]:
    return [[note.kind for note in notes] for _, notes in chronicle.due(offers, now)]


def test_nothing_is_noted_of_a_question_that_is_young() -> None:
    chronicle, made = Chronicle(), shown(offer(1), Tab("tab-1"))
    offers = {made.question.id: made}
    assert kinds(chronicle, offers, 100.0 + NOTED_AFTER) == []
    assert kinds(chronicle, offers, 100.1 + NOTED_AFTER) == [["offered"]]
    assert kinds(chronicle, offers, 100.3 + NOTED_AFTER) == []


def test_what_comes_later_is_noted_once() -> None:
    chronicle, tab, made = Chronicle(), Tab("tab-1"), offer(1)
    shown(made, tab)
    offers = {made.question.id: made}
    chronicle.more(made)
    assert len(chronicle) == 0  # its turn comes
    assert kinds(chronicle, offers, 102.0) == [["offered"]]
    made.seen = {tab: 103.0}
    shown(made, Tab("tab-2"), at=103.5)
    chronicle.more(made)
    chronicle.more(made)
    assert kinds(chronicle, offers, 104.0) == [["offered", "seen"]]
    assert kinds(chronicle, offers, 105.0) == []


def test_a_question_that_was_offered_late_does_not_hide_a_younger_one() -> None:
    chronicle = Chronicle()
    young = shown(offer(1, at=100.0), Tab("tab-1"))
    old = shown(offer(2, at=10.0), Tab("tab-1"), at=100.2)
    offers = {each.question.id: each for each in (young, old)}
    assert kinds(chronicle, offers, 100.25) == [["offered"]]
    now, found = 100.25, 0
    while now < 103:
        now += 0.25
        found += len(kinds(chronicle, offers, now))
    assert found == 1
    assert young.noted_at


def test_only_the_newest_offers_are_looked_at_again() -> None:
    """What costs a step of every sweep is what came in the last moments, not all there is."""
    chronicle = Chronicle()
    offers: dict[str, Offer] = {}
    for number in range(400):
        made = offers[f"{number:032x}"] = shown(offer(number), Tab("tab-1"))
        made.noted_at = 101.5
    chronicle.due(offers, 110.0)
    chronicle.due(offers, 110.25)
    behind = next(iter(offers.values()))
    behind.noted_at = 0.0
    assert kinds(chronicle, offers, 110.5) == []


def test_what_is_too_much_is_left_out_and_counted() -> None:
    chronicle = Chronicle()
    tabs = [Tab(f"tab-{number}") for number in range(100)]
    crowded = shown(offer(1), *tabs)
    ((_, notes),) = chronicle.due({crowded.question.id: crowded}, 105.0)
    assert len(notes) == 16
    many = [offer(number) for number in range(10_001)]
    for each in many:
        each.noted_at = 1.0
        chronicle.more(each)
    assert len(chronicle) == 10_000
    assert chronicle.left_out == 1


def test_so_many_at_a_time() -> None:
    chronicle = Chronicle()
    offers = {f"{number:032x}": shown(offer(number), Tab("tab-1")) for number in range(1_200)}
    found = [len(chronicle.due(offers, 105.0 + step / 4)) for step in range(4)]
    assert found == [500, 500, 200, 0]


async def test_what_was_not_noted_is_part_of_the_outcome() -> None:
    world = World()
    tab = await world.tab("tab-1", user="ann")
    question, caller = await world.ask()
    world.now += 2
    world.router.saw(tab, question.id)
    world.now += 1
    await world.router.answer(tab, question.id, answer="blue")
    (outcome,) = caller.outcomes
    assert [(each.kind, each.at - question.created_at, each.user) for each in outcome.history] == [
        ("offered", 0.0, "ann"),
        ("seen", 2.0, "ann"),
    ]


async def test_nothing_is_kept_of_what_is_answered_at_once() -> None:
    world = World()
    tab = await world.tab("tab-1", user="ann")
    question, caller = await world.ask()
    await world.router.answer(tab, question.id, answer="blue")
    assert caller.outcomes == [
        Outcome(State.ANSWERED, world.now, "blue", by="tab-1", by_user="ann")
    ]
