"""Questions that several people answer, each once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InvalidAskError
from gateway.offers import Settings
from session.model import Audience, Choice, Delivery, Outcome, Question, State
from tests.gateway.routing import Caller, Tab, World

PICKS = (Choice("yes"), Choice("no"))
TEAM = Audience("group", "team")


async def world_of(*users: str, **more: Any) -> tuple[World, list[Tab], Question, Caller]:
    """Return a question that two of these people must answer, and their tabs."""
    world = World(more.pop("settings", None))
    names = enumerate(users)
    tabs = [await world.tab(f"tab-{at}", user=user, groups=("team",)) for at, user in names]
    asked: dict[str, Any] = {"quorum": 2, "choices": PICKS, "audience": TEAM} | more
    question, caller = await world.ask(**asked)
    return world, tabs, question, caller


async def say(world: World, tab: Tab, question: Question, answer: str) -> tuple[str, str]:
    world.now += 1
    ack = await world.router.answer(tab, question.id, answer=answer)
    return ack.status, "" if ack.state is None else ack.state.text


async def test_a_question_waits_for_so_many_people() -> None:
    world, (ann, bob, eve), question, caller = await world_of("ann", "bob", "eve")
    assert await say(world, ann, question, "yes") == ("accepted", "open")
    assert caller.outcomes == []
    # Who has answered has no part in it any more.
    assert question.id not in ann.offers
    assert await say(world, bob, question, "no") == ("accepted", "answered")
    (outcome,) = caller.outcomes
    assert (outcome.state, outcome.answer) == (State.ANSWERED, "yes: 1\nno: 1")
    assert [(each.by_user, each.answer) for each in outcome.answers] == [
        ("ann", "yes"),
        ("bob", "no"),
    ]
    assert eve.told(question) == ["offer", "answered"]
    assert ann.told(question) == ["offer"]
    assert await say(world, eve, question, "no") == ("duplicate", "answered")


async def test_each_person_answers_once_at_whichever_frontend() -> None:
    world, (ann, same, bob), question, caller = await world_of("ann", "ann", "bob")
    assert await say(world, ann, question, "yes") == ("accepted", "open")
    assert same.told(question) == ["offer", "answered"]
    for tab in (ann, same):
        assert await say(world, tab, question, "no") == ("duplicate", "open")
    # Nor is it shown to them anew.
    again = await world.tab("tab-9", user="ann", groups=("team",))
    assert again.told(question) == []
    assert (await world.tab("tab-8", user="kim", groups=("team",))).told(question) == ["offer"]
    assert caller.outcomes == []
    assert await say(world, bob, question, "yes") == ("accepted", "answered")
    assert caller.outcomes[0].answer == "yes: 2"


async def test_without_a_user_a_frontend_is_a_person() -> None:
    world, (one, other), question, caller = await world_of("", "")
    assert await say(world, one, question, "yes") == ("accepted", "open")
    assert await say(world, one, question, "yes") == ("duplicate", "open")
    assert await say(world, other, question, "yes") == ("accepted", "answered")
    assert len(caller.outcomes[0].answers) == 2


async def test_an_answer_that_is_none_counts_for_nothing() -> None:
    world, (ann, _), question, _ = await world_of("ann", "bob")
    assert (await say(world, ann, question, "perhaps"))[0] == "invalid"
    assert (await say(world, ann, question, "yes"))[0] == "accepted"


async def test_time_runs_out_with_some_answers() -> None:
    world, (ann, _), question, caller = await world_of("ann", "bob", timeout=10.0)
    await say(world, ann, question, "yes")
    world.now += 10
    for settlement in await world.store.sweep(world.now, 10):
        world.router.conclude(settlement.question, settlement.outcome, None)
    (outcome,) = caller.outcomes
    assert outcome.state is State.TIMED_OUT
    assert [each.by_user for each in outcome.answers] == ["ann"]


async def test_who_declines_ends_it_for_all() -> None:
    world, (ann, bob), question, caller = await world_of("ann", "bob")
    await say(world, ann, question, "yes")
    assert (await world.router.reject(bob, question.id, "Not us.")).status == "accepted"
    (outcome,) = caller.outcomes
    assert (outcome.state, outcome.reason, len(outcome.answers)) == (
        State.REJECTED,
        "Not us.",
        1,
    )


async def test_all_answers_together_are_bounded() -> None:
    settings = Settings(answer_bytes=1024)
    world, (ann, _), question, _ = await world_of("ann", "bob", settings=settings, choices=())
    assert (await say(world, ann, question, "x" * 600))[0] == "invalid"
    assert (await say(world, ann, question, "x" * 400))[0] == "accepted"


async def test_answers_that_were_complete_when_an_instance_died_are_the_outcome() -> None:
    world, (ann, _), question, caller = await world_of("ann", "bob", timeout=10.0)
    await say(world, ann, question, "yes")
    ballot = world.store._records[question.id].answers[0]
    # Its voter's instance counted it, and went no further.
    await world.store.vote(question, "u:bob", ballot)
    world.now += 10
    for settlement in await world.store.sweep(world.now, 10):
        world.router.conclude(settlement.question, settlement.outcome, None)
    assert caller.outcomes[0].state is State.ANSWERED


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"audience": Audience("user", "ann")}, "several people"),
        ({"audience": Audience("frontend", "tab-1")}, "several people"),
        ({"delivery": Delivery.ONE}, "delivery"),
    ],
)
async def test_what_cannot_have_a_quorum(more: dict[str, Any], hint: str) -> None:
    with pytest.raises(InvalidAskError, match=hint):
        await World().ask(quorum=2, **more)


async def test_a_deployment_that_asks_one_after_the_other_asks_all_for_a_quorum() -> None:
    world = World()
    world.router._delivery = Delivery.ONE
    question, _ = await world.ask(quorum=2)
    assert question.delivery is Delivery.ALL
    assert isinstance((await world.ask())[0].delivery, Delivery)


def test_an_outcome_without_answers_is_as_before() -> None:
    assert Outcome(State.ANSWERED, 1.0).answers == ()
