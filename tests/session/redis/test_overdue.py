"""Thousands of deadlines that fall due at once, when whoever asked is dead."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import pytest
import trio

from haproxy.redis_cluster import RedisCluster, RedisNode
from session.model import Outcome, State
from session.redis import scripts
from session.redis.keys import PLACES
from session.redis.settings import Settings
from tests.proxy import Proxy
from tests.session.redis.asking import answered, now, question
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import PATIENCE, Instance, Open
from tests.yardstick import as_a_gateway, as_if_idle

pytestmark = pytest.mark.slow

# More are in `tests/cluster/test_deadlines.py`, with processes of their own for all.
DUE = 2000
_STALL_SECONDS = 0.05
_TURN_SECONDS = 0.005
_ADMITTED_AT_ONCE = 500
_PER_SWEEP = 512


async def all_due(asker: Instance) -> set[str]:
    """Ask all, due before anybody sweeps, and return their ids."""
    asked = [question(seconds=-1, session_id="s") for _ in range(DUE)]

    async def ask(share: int) -> None:
        for each in asked[share::_ADMITTED_AT_ONCE]:
            assert (await asker.store.admit(each)).fresh

    async with trio.open_nursery() as nursery:
        for share in range(_ADMITTED_AT_ONCE):
            nursery.start_soon(ask, share)
    return {each.id for each in asked}


async def test_e4_all_that_is_due_at_once_is_ended_by_others(
    open_on_cluster: Open, redis_cluster: RedisCluster
) -> None:
    """The asker is dead; two end all of it, each once, and nothing else has to wait for them."""
    settings = Settings(lease_seconds=2.0, pending=10 * DUE, pending_per_session=10 * DUE)
    servers = Servers(redis_cluster.url, redis_cluster)
    asker, one, other = [await open_on_cluster(settings) for _ in range(3)]
    for each in (one, other):
        await each.settle_in()
    ids = await all_due(asker)
    begun = now()
    ended: Counter[str] = Counter()
    by: Counter[str] = Counter()
    longest = 0.0

    async def sweep(instance: Instance) -> None:
        while len(ended) < DUE:
            settled = await instance.store.sweep(0.0, _PER_SWEEP)
            for settlement in settled:
                assert (settlement.won, settlement.outcome.state) == (True, State.TIMED_OUT)
                ended[settlement.question.id] += 1
            by[instance.name] += len(settled)
            if not settled:
                await trio.sleep(_TURN_SECONDS)

    async def look() -> None:
        """Be the other work, which takes its turns on the same loop; others share the CPU."""
        nonlocal longest
        while len(ended) < DUE:
            since = time.thread_time()
            await trio.sleep(_TURN_SECONDS)
            longest = max(longest, time.thread_time() - since)

    with as_a_gateway(), trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            for each in (one, other):
                nursery.start_soon(sweep, each)
    print(f"{DUE} ended in {now() - begun:.2f} s, longest turn {longest * 1000:.0f} ms, {by}")
    assert ended == Counter(ids)
    assert min(by.values()) > 0
    assert as_if_idle(longest) < _STALL_SECONDS
    for where in PLACES:
        assert servers.at(where, "ZCARD", where.due) == 0
        assert servers.at(where, "EXISTS", where.pending) == 0
    found = await other.store.find("acme", next(iter(ids)))
    assert found is not None
    assert found.outcome is not None
    assert found.outcome.at == found.question.deadline


async def test_endings_whose_reply_is_lost_are_told_by_who_brought_them_about(
    open_on_node: Open, proxy: Proxy
) -> None:
    """Sent again, they find their own outcomes."""
    one = await open_on_node(url=f"redis://127.0.0.1:{proxy.port}")
    await one.settle_in()
    asked = [question(seconds=-1, place=PLACES[3]) for _ in range(20)]
    for each in asked:
        await one.store.admit(each)
    proxy.lose_replies(1, lambda data: scripts.EXPIRE.sha1 in data)
    settled = await one.sweep()
    assert proxy.replies_lost == 1
    assert [each.question for each in settled] == asked
    assert await one.sweep() == []


async def test_each_session_has_as_many_open_as_it_has_when_some_are_due_and_some_are_gone(
    open_on_node: Open, redis_node: RedisNode, proxy: Proxy
) -> None:
    """Also when those that end together are told of twice, as their first reply is lost."""
    one = await open_on_node(url=f"redis://127.0.0.1:{proxy.port}")
    await one.settle_in()
    where = PLACES[3]
    due = [question(seconds=-1, place=where, session_id=name) for name in ("a", "a", "b", "")]
    gone = [question(seconds=-1, place=where, session_id=name) for name in ("a", "b", "")]
    later = [question(place=where, session_id="a") for _ in range(2)]
    for each in (*due, *gone, *later):
        await one.store.admit(each)
    for each in gone:
        redis_node.command("DEL", where.question(each.id))
    assert redis_node.command("HGET", where.pending, "sa") == "5"
    proxy.lose_replies(1, lambda data: scripts.EXPIRE.sha1 in data)
    settled = await one.sweep()
    assert proxy.replies_lost == 1
    assert {each.question.id for each in settled} == {each.id for each in due}
    assert redis_node.command("HGETALL", where.pending) == ["sa", "2"]
    assert redis_node.command("ZCARD", where.due) == 2
    assert {each.id for each in await one.store.inbox("acme")} == {each.id for each in later}
    for each in later:
        await one.store.settle(each, answered())
    assert redis_node.command("EXISTS", where.pending, where.due) == 0


async def test_only_what_is_due_by_the_clock_of_redis_is_ended(open_instance: Open) -> None:
    """And only for its own tenant, and not when somebody was faster."""
    one = await open_instance()
    where = PLACES[3]
    due, later, settled = [question(seconds=n, place=where) for n in (-1, 60, -1)]
    foreign = question(seconds=-1, place=where)
    for each in (due, later, settled, foreign):
        await one.store.admit(each)
    assert await one.store.settle(settled, answered())
    foreign = msgspec.structs.replace(foreign, tenant="other")
    overdue = one.store._sweeps._overdue
    outcome = Outcome(State.TIMED_OUT, due.deadline)
    given = [(each, outcome) for each in (due, later, settled, foreign)]
    assert await overdue.end(where, given) == [1, 0, 0, 0]
    (rest,) = await one.sweep()
    assert rest.question.id == foreign.id
