"""Deadlines, lost replies and lost questions, seen by instances that share a Redis."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio

from haproxy.redis_cluster import RedisNode
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import Ballot, Outcome, Question, State
from session.redis import scripts
from session.redis.keys import PLACES
from session.redis.records import listing_bytes
from session.redis.settings import Settings
from session.steps import PIECE, WHOLE, Steps, T
from tests.proxy import Proxy
from tests.session.redis.asking import answered, place, question
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import QUICK, Instance, Open, until

pytestmark = pytest.mark.slow


async def test_whose_asker_is_gone_is_timed_out_by_one_of_those_who_sweep(
    open_instance: Open,
) -> None:
    """E4. The asker never sweeps, as if it had died."""
    asker, one, other = [await open_instance() for _ in range(3)]
    asked = [question(seconds=0.5, place=PLACES[n % 16], session_id="s") for n in range(80)]
    for each in asked:
        await asker.store.admit(each)
    settled: Counter[str] = Counter()

    async def sweep(instance: Instance) -> None:
        for settlement in await instance.store.sweep(0.0, 7):
            assert settlement.won
            assert settlement.outcome.state is State.TIMED_OUT
            settled[settlement.question.id] += 1

    async def sweep_both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sweep, one)
            nursery.start_soon(sweep, other)

    await until(lambda: len(settled) == 80, sweep_both)
    await sweep_both()
    assert settled == Counter(each.id for each in asked)
    late = await asker.store.settle(asked[0], answered())
    assert late is not None
    assert (late.won, late.outcome.state) == (False, State.TIMED_OUT)


async def test_many_that_are_due_at_once_are_ended_in_one_sweep(open_instance: Open) -> None:
    one = await open_instance()
    asked = [question(seconds=-1, place=PLACES[n % 16]) for n in range(200)]
    for each in asked:
        await one.store.admit(each)
    assert len(await one.store.sweep(0.0, 200)) == 200


@pytest.mark.parametrize("step", ["admit", "settle", "hold"])
async def test_a_step_whose_reply_is_lost_is_done_once_and_counts(
    open_on_node: Open, proxy: Proxy, step: str
) -> None:
    """D5: it is sent again, and finds its own work done."""
    one = await open_on_node(url=f"redis://127.0.0.1:{proxy.port}")
    await one.settle_in()
    asked = question()
    if step != "admit":
        await one.store.admit(asked)
    script = {"admit": scripts.ADMIT, "settle": scripts.SETTLE, "hold": scripts.HOLD}[step]
    # So that the first call is the one that is done: the server knows the script.
    warm = question()
    await one.store.admit(warm)
    await one.store.hold("acme", warm.id)
    await one.store.settle(warm, answered())
    proxy.lose_replies(1, when=lambda data: script.sha1 in data)
    if step == "admit":
        admission = await one.store.admit(asked)
        assert (admission.fresh, admission.question, admission.outcome) == (True, asked, None)
    elif step == "settle":
        outcome = answered()
        settled = await one.store.settle(asked, outcome)
        assert settled is not None
        assert (settled.won, settled.outcome) == (True, outcome)
    else:
        assert await one.store.hold("acme", asked.id) == asked
    assert proxy.replies_lost == 1
    assert [each.id for each in await one.store.inbox("acme")] == [asked.id] * (step != "settle")


async def test_the_same_answer_by_two_people_is_won_by_one(open_instance: Open) -> None:
    """What tells them apart is not what they say."""
    one = await open_instance()
    asked = question()
    await one.store.admit(asked)
    outcome = answered()
    settled = [await one.store.settle(asked, outcome) for _ in range(2)]
    assert [each is not None and each.won for each in settled] == [True, False]


async def test_a_question_that_redis_lost_is_put_back_to_be_ended(
    open_instance: Open, servers: Servers
) -> None:
    one, other = await open_instance(), await open_instance()
    await one.settle_in()
    await other.settle_in()
    asked = question(idempotency_key="k")
    asked = (await one.store.admit(asked)).question
    assert len(asked.id) == 33
    servers.flush()
    assert await one.store.find("acme", asked.id) is None
    outcome = answered()
    assert await one.store.settle(asked, outcome) is None
    assert (await one.store.admit(asked)).outcome is None
    settled = await one.store.settle(asked, outcome)
    assert settled is not None
    assert (settled.won, settled.outcome) == (True, outcome)
    await until(lambda: ("acme", asked.id) in other.heard.settled, other.sweep)
    again = await other.store.settle(asked, answered("red"))
    assert again is not None
    assert (again.won, again.outcome) == (False, outcome)


async def test_a_question_that_redis_lost_is_admitted_again_under_its_key(
    open_instance: Open, servers: Servers
) -> None:
    one = await open_instance()
    asked = (await one.store.admit(question(idempotency_key="k"))).question
    servers.flush()
    again = await one.store.admit(asked)
    assert (again.fresh, again.question) == (True, asked)
    repeated = await one.store.admit(msgspec.structs.replace(question(), idempotency_key="k"))
    assert (repeated.fresh, repeated.question) == (False, asked)


async def test_an_answer_is_kept_until_the_deadline_however_short_its_own_time(
    open_instance: Open,
) -> None:
    """Else a second answer would find no question, put it back, and win as well."""
    one = await open_instance(quick(answer_seconds=1.0))
    asked = question(seconds=4)
    await one.store.admit(asked)
    assert await one.store.settle(asked, answered()) is not None
    gone = question(seconds=0.2)
    await one.store.admit(gone)
    await one.store.settle(gone, answered())

    async def look() -> None:
        found.append(await one.store.find("acme", gone.id) is not None)

    found = [True]
    await until(lambda: not found[-1], look)
    late = await one.store.settle(asked, answered("red"))
    assert late is not None
    assert (late.won, late.outcome.answer) == (False, "blue")


def quick(**changed: float) -> Settings:
    """Return quick settings with some of them changed."""
    return Settings(lease_seconds=QUICK.lease_seconds, **changed)  # type: ignore[arg-type]


async def test_a_foreign_hold_takes_nothing(open_instance: Open) -> None:
    one, other = await open_instance(), await open_instance()
    for each in (one, other):
        await each.sweep()
    asked = question()
    await one.store.admit(asked)
    assert await one.store.hold("other", asked.id) is None
    assert await other.store.hold("acme", asked.id) == asked


async def test_what_another_version_wrote_stops_no_sweep(
    open_instance: Open, servers: Servers
) -> None:
    one = await open_instance()
    where = PLACES[2]
    strange = question(place=where)
    listing = listing_bytes(strange)
    for member in (b"nonsense", listing.replace(b'"one"', b'"some"'), listing):
        servers.at(where, "ZADD", where.due, 1, member)
    # Its own key is there and cannot be read.
    servers.at(where, "HSET", where.question(strange.id), "b", "{}")
    asked = question(seconds=-1, place=where)
    await one.store.admit(asked)
    settled = await one.sweep()
    assert [each.question for each in settled] == [asked]


async def test_a_question_that_is_gone_leaves_the_lists_and_makes_room(
    open_instance: Open, servers: Servers
) -> None:
    """As all do that nobody swept for an hour after their answers would have gone."""
    one = await open_instance(quick(pending_per_session=48))
    where = PLACES[3]
    asked = [question(seconds=-1, place=where, session_id="s") for _ in range(3)]
    for each in asked:
        await one.store.admit(each)
    with pytest.raises(TooManyPendingError):
        await one.store.admit(question(place=where, session_id="s"))
    for each in asked:
        servers.at(where, "DEL", where.question(each.id))
    assert await one.sweep() == []
    assert servers.at(where, "ZCARD", where.due) == 0
    assert servers.at(where, "EXISTS", where.inbox("acme")) == 0
    assert servers.at(where, "EXISTS", where.pending) == 0
    assert await one.store.find("acme", asked[0].id) is None
    assert list(await one.store.inbox("acme")) == []
    for _ in range(3):
        assert (await one.store.admit(question(place=where, session_id="s"))).fresh


async def test_a_question_that_is_put_back_is_counted_once(
    open_instance: Open, servers: Servers
) -> None:
    one = await open_instance()
    asked = question(session_id="s")
    where = place(asked)
    for _ in range(2):
        await one.store.admit(asked)
        # Its own key is lost, the lists are not.
        servers.at(where, "DEL", where.question(asked.id))
    await one.store.admit(asked)
    assert servers.at(where, "HGETALL", where.pending) == ["ss", "1"]
    await one.store.settle(asked, answered())
    assert servers.at(where, "EXISTS", where.pending) == 0


async def test_replicated_is_accepted_when_a_replica_has_it(
    open_on_cluster: Open,
) -> None:
    one = await open_on_cluster(Settings(durability="replicated"))
    asked = question()
    assert (await one.store.admit(asked)).fresh
    settled = await one.store.settle(asked, answered())
    assert settled is not None
    assert settled.won


async def test_a_redis_that_is_full_refuses_what_is_new_and_ends_what_is_there(
    open_on_node: Open, redis_node: RedisNode
) -> None:
    """D11."""
    one = await open_on_node()
    await one.settle_in()
    asked, due = question(), question(seconds=-1)
    await one.store.admit(asked)
    await one.store.admit(due)
    redis_node.command("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailableError, match="memory is full"):
            await one.store.admit(question())
        assert await one.store.hold("acme", asked.id) == asked
        await one.store.release(asked)
        assert [each.question for each in await one.sweep()] == [due]
        settled = await one.store.settle(asked, answered())
    finally:
        redis_node.command("CONFIG", "SET", "maxmemory", 0)
    assert settled is not None
    assert settled.won
    assert (await one.store.admit(question())).fresh


class Stepper:
    """Takes its time for large values: others have their turn after each step."""

    def __init__(self) -> None:
        self.tenants: list[str] = []
        self.steps = 0
        self.before: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, tenant: str, steps: Steps[T], /) -> T:
        self.tenants.append(tenant)
        before, self.before = self.before, None
        if before is not None:
            await before()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            self.steps += 1
            await trio.lowlevel.checkpoint()


# Uncompressed, so that it is not small again.
PLAIN = dataclasses.replace(QUICK, compress_bytes=0)
LONG = '\\"\n\u2192x' * (WHOLE // 4)


def large_question(**more: Any) -> Question:
    return msgspec.structs.replace(question(**more), context=LONG)


async def test_what_is_large_is_written_and_read_in_steps(open_instance: Open) -> None:
    one, other = Stepper(), Stepper()
    asks = await open_instance(PLAIN, stepper=one)
    answers = await open_instance(PLAIN, stepper=other)
    asked, outcome = large_question(), answered(LONG)
    await asks.store.admit(asked)
    assert await answers.store.hold("acme", asked.id) == asked
    assert (one.tenants, other.tenants) == (["acme"], ["acme"])
    settled = await answers.store.settle(asked, outcome)
    assert settled is not None
    assert settled.won
    late = await asks.store.settle(asked, answered("late"))
    assert late is not None
    assert (late.won, late.outcome) == (False, outcome)
    found = await asks.store.find("acme", asked.id)
    assert found is not None
    assert (found.question, found.outcome) == (asked, outcome)
    assert one.tenants == ["acme"] * 4
    assert other.tenants == ["acme"] * 2
    # Written and read, and no step has more than a piece of it.
    assert min(one.steps, other.steps) > 2 * len(LONG) // PIECE


async def test_what_is_small_is_not(open_instance: Open) -> None:
    stepper = Stepper()
    instance = await open_instance(PLAIN, stepper=stepper)
    asked = question()
    await instance.store.admit(asked)
    await instance.store.settle(asked, answered())
    await instance.store.find("acme", asked.id)
    assert not stepper.tenants


@pytest.mark.parametrize("others", [0, 1])
async def test_a_large_question_that_ends_while_it_is_read_has_its_outcome(
    open_instance: Open, others: int
) -> None:
    """Also when others begin to read it when it has ended."""
    stepper = Stepper()
    instance = await open_instance(PLAIN, stepper=stepper)
    asked, outcome = large_question(), answered()
    await instance.store.admit(asked)

    async def end() -> None:
        await instance.store.settle(asked, outcome)
        for _ in range(others):
            await instance.store.find("acme", asked.id)

    stepper.before = end
    found = await instance.store.find("acme", asked.id)
    assert found is not None
    assert found.outcome == outcome
    again = large_question()
    await instance.store.admit(again)

    async def end_again() -> None:
        await instance.store.settle(again, outcome)
        for _ in range(others):
            await instance.store.find("acme", again.id)

    stepper.before = end_again
    assert await instance.store.hold("acme", again.id) is None


async def test_many_large_answers_are_read_in_steps(open_instance: Open) -> None:
    stepper = Stepper()
    instance = await open_instance(PLAIN, stepper=stepper)
    asked = msgspec.structs.replace(question(), quorum=3)
    await instance.store.admit(asked)
    ballots = tuple(Ballot(1.5, f"tab-{number}", "", "x" * WHOLE) for number in range(2))
    for ballot in ballots:
        tally = await instance.store.vote(asked, ballot.by, ballot)
    assert tally is not None
    assert tally.answers == ballots
    found = await instance.store.find("acme", asked.id)
    assert found is not None
    assert found.answers == ballots
    assert len(stepper.tenants) == 3


async def test_large_questions_that_are_due_are_read_in_steps(open_instance: Open) -> None:
    stepper = Stepper()
    instance = await open_instance(PLAIN, stepper=stepper)
    asked = large_question(seconds=0.0)
    await instance.store.admit(asked)
    ended: list[Outcome] = []

    async def sweep() -> None:
        ended.extend(each.outcome for each in await instance.store.sweep(0.0, 7))

    await until(lambda: bool(ended), sweep)
    assert ended[0].state is State.TIMED_OUT
    assert len(stepper.tenants) == 2
