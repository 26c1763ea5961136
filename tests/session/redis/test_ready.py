"""One question for each answer, in their order, as long as they say anything; with Redis, too."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from session.model import EVERYONE, Audience, Delivery, Outcome, State
from session.redis.keys import PLACES
from session.redis.ready import READY_SECONDS, Ready
from session.redis.settings import Settings
from tests.session.redis.asking import answered, now, place, question
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import QUICK, Instance, Open, until

pytestmark = pytest.mark.slow

OPS = Audience("group", "ops")


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ready(time: Time) -> Ready:
    return Ready(lambda: time.now)


def test_each_answer_is_good_for_one_question(ready: Ready) -> None:
    for instance in (b"b", b"c", b"b"):
        ready.answered("acme", EVERYONE, instance)
    assert len(ready) == 3
    assert [ready.next_for("acme", EVERYONE) for _ in range(4)] == [b"b", b"c", b"b", b""]
    assert (ready.given, len(ready)) == (3, 0)


def test_it_says_nothing_of_other_people(ready: Ready) -> None:
    ready.answered("acme", OPS, b"b")
    assert ready.next_for("acme", EVERYONE) == b""
    assert ready.next_for("other", OPS) == b""
    assert ready.next_for("acme", Audience("group", "ops")) == b"b"


def test_an_old_answer_says_nothing(ready: Ready, time: Time) -> None:
    ready.answered("acme", EVERYONE, b"b")
    time.now += READY_SECONDS
    ready.answered("acme", EVERYONE, b"c")
    assert ready.next_for("acme", EVERYONE) == b"b"
    time.now += READY_SECONDS + 0.001
    assert ready.next_for("acme", EVERYONE) == b""
    assert (ready.given, len(ready)) == (1, 0)


def test_of_more_answers_than_are_remembered_the_oldest_go(ready: Ready) -> None:
    for number in range(300):
        ready.answered("acme", EVERYONE, b"%d" % number)
    assert len(ready) == 256
    assert ready.next_for("acme", EVERYONE) == b"44"


def test_of_more_audiences_than_are_remembered_the_oldest_go(ready: Ready) -> None:
    for number in range(1_001):
        ready.answered(f"tenant {number}", EVERYONE, b"b")
    assert len(ready) == 1_000
    assert ready.next_for("tenant 0", EVERYONE) == b""
    assert ready.next_for("tenant 1", EVERYONE) == b"b"
    assert ready.next_for("tenant 1000", EVERYONE) == b"b"


class Three:
    """One who asks, one where people answer, and one that might as well; time stands still."""

    def __init__(self, asker: Instance, here: Instance, there: Instance) -> None:
        self.asker, self.here, self.there = asker, here, there

    async def answer(self, count: int = 1, outcome: Outcome | None = None, **more: Any) -> None:
        """Have somebody here answer so many, and whoever asked hear of it."""
        asked = [question(**more) for _ in range(count)]
        for each in asked:
            await self.asker.store.admit(each)
        for each in asked:
            await self.here.store.settle(each, outcome or answered())
        ended = {("acme", each.id) for each in asked}
        await until(lambda: ended <= set(self.asker.heard.settled))

    async def is_given(self, **more: Any) -> bool:
        """Ask one more; return whether it is this instance's to show, and nobody else's."""
        asked = question(**more)
        await self.asker.store.admit(asked)
        is_free = await self.there.store.hold("acme", asked.id) == asked
        assert is_free == (await self.here.store.hold("acme", asked.id) is None)
        return not is_free


async def three(open_instance: Open, settings: Settings = QUICK) -> Three:
    opened = [await open_instance(settings, now=lambda: 0.0) for _ in range(3)]
    for each in opened:
        await each.settle_in()
    return Three(*opened)


async def test_who_has_answered_is_given_the_next_with_all_there_is_to_show(
    open_instance: Open,
) -> None:
    world = await three(open_instance)
    await world.answer()
    asked = question(session_id="s")
    await world.there.store.inbox("acme")
    await world.asker.store.admit(asked)
    await until(lambda: bool(world.here.heard.given))
    assert world.here.heard.given == [asked]
    assert asked.id not in world.here.heard.opened
    assert await world.there.store.hold("acme", asked.id) is None
    assert world.there.heard.given == []
    # The others know it, and hear of it again when it is let go of.
    await until(lambda: world.there.store.statistics().listings == 1)
    assert asked.id not in world.there.heard.opened
    await world.here.store.release(asked)
    await until(lambda: asked.id in world.there.heard.opened)
    assert await world.there.store.hold("acme", asked.id) == asked
    assert world.asker.store.statistics().given == 1


async def test_one_answer_is_good_for_one_question(open_instance: Open) -> None:
    world = await three(open_instance)
    assert not await world.is_given()
    await world.answer(2)
    assert world.asker.store.statistics().ready == 2
    assert [await world.is_given() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("outcome", "is_given"),
    [
        (Outcome(State.REJECTED, at=now(), by="tab-1", reason="not me"), True),
        (Outcome(State.CANCELLED, at=now(), by="caller"), False),
        (Outcome(State.TIMED_OUT, at=now()), False),
    ],
)
async def test_only_what_people_do_says_that_they_are_there(
    open_instance: Open, outcome: Outcome, *, is_given: bool
) -> None:
    world = await three(open_instance)
    await world.answer(outcome=outcome)
    assert await world.is_given() is is_given


async def test_people_of_another_audience_say_nothing(open_instance: Open) -> None:
    world = await three(open_instance)
    await world.answer(audience=Audience("group", "ops"))
    assert not await world.is_given()
    assert await world.is_given(audience=Audience("group", "ops"))


async def test_what_is_for_all_is_given_to_nobody(open_instance: Open) -> None:
    world = await three(open_instance)
    await world.answer()
    asked = msgspec.structs.replace(question(), delivery=Delivery.ALL)
    await world.asker.store.admit(asked)
    await until(lambda: asked.id in world.here.heard.opened)
    await until(lambda: asked.id in world.there.heard.opened)
    assert world.here.heard.given == []


async def test_what_whoever_asks_shows_is_asked_for_by_nobody(open_instance: Open) -> None:
    world = await three(open_instance)
    await world.answer()
    held, free = question(place=PLACES[3]), question(place=PLACES[3])
    await world.asker.store.admit(held, hold=True)
    await world.asker.store.admit(free, hold=False)
    await until(lambda: world.here.heard.given == [free])
    assert held.id not in world.here.heard.opened
    assert await world.here.store.hold("acme", held.id) is None


async def test_whose_instance_is_gone_is_free(open_instance: Open, servers: Servers) -> None:
    world = await three(open_instance)
    await world.answer()
    asked = question()
    where = place(asked)
    servers.at(where, "ZREM", where.alive, world.here.name)
    await world.asker.store.admit(asked)
    await until(lambda: asked.id in world.there.heard.opened)
    assert await world.there.store.hold("acme", asked.id) == asked


async def test_who_leaves_is_given_nothing(open_instance: Open) -> None:
    world = await three(open_instance)
    assert world.here.store.decline() > 0
    await world.answer()
    assert not await world.is_given()


async def test_also_where_an_event_does_not_say_what_the_answer_is(open_on_cluster: Open) -> None:
    world = await three(open_on_cluster, dataclasses.replace(QUICK, durability="replicated"))
    await world.answer()
    assert await world.is_given()


async def test_a_long_one_is_read_by_whom_it_is_given(open_instance: Open) -> None:
    world = await three(open_instance, dataclasses.replace(QUICK, compress_bytes=1_000_000))
    await world.answer()
    asked = question(context="x" * 3_000)
    await world.asker.store.admit(asked)
    await until(lambda: asked.id in world.here.heard.opened)
    assert world.here.heard.given == []
    assert asked.id not in world.there.heard.opened
    assert await world.there.store.hold("acme", asked.id) is None
    assert await world.here.store.hold("acme", asked.id) == asked


async def test_what_was_given_unheard_is_found_by_a_sweep(open_instance: Open) -> None:
    world = await three(open_instance)
    await world.answer()
    asked = question()
    world.here.client.unsubscribe(place(asked).channel)
    await until(lambda: world.here.client.statistics().subscribed == len(PLACES) - 1)
    await world.asker.store.admit(asked)
    await until(lambda: asked.id in world.here.heard.opened, world.here.sweep)
    assert await world.here.store.hold("acme", asked.id) == asked
