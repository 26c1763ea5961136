"""Thousands of deadlines that fall due at once, and whoever asked is dead.

DUE=100000 in the environment has so many of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest
import trio

from gateway.clock import WallClock
from haproxy.redis_cluster import RedisCluster
from session.model import Question, State
from session.redis.keys import PLACES
from session.redis.settings import Settings
from tests.cluster.instances import Instance, running_instances, until
from tests.session.redis.asking import question
from tests.session.redis.instances import instances as stores

pytestmark = pytest.mark.slow

DUE = int(os.environ.get("DUE", "5000"))
_PENDING = 20 * DUE
_LATE_SECONDS = 5.0
_ADMITTED_AT_ONCE = 500
# So many are asked first, to see how long all may take, and this much longer.
_TRIED = 500
_MARGIN = 4
now = WallClock().now


@pytest.fixture
def living(own_cluster: RedisCluster) -> Iterator[list[Instance]]:
    with running_instances(own_cluster.url, 2, "--redis-pending", str(_PENDING)) as two:
        yield two


async def asked(url: str) -> tuple[list[str], float]:
    """Ask all, due at one time, and be gone without having swept; return ids and that time."""
    async with stores(url) as open_one:
        asker = await open_one(Settings(pending=_PENDING))

        async def ask(questions: list[Question]) -> None:
            for each in questions:
                assert (await asker.store.admit(each)).fresh

        async def ask_all(questions: list[Question]) -> None:
            async with trio.open_nursery() as nursery:
                for share in range(_ADMITTED_AT_ONCE):
                    nursery.start_soon(ask, questions[share::_ADMITTED_AT_ONCE])

        begun = now()
        await ask_all([question(seconds=3600, tenant="tried") for _ in range(_TRIED)])
        deadline = now() + 1 + (now() - begun) * _MARGIN * DUE / _TRIED
        questions = [question(seconds=deadline - now(), tenant="due") for _ in range(DUE)]
        await ask_all(questions)
    return [each.id for each in questions], deadline


async def test_e4_what_a_dead_asker_left_is_timed_out_in_time(
    own_cluster: RedisCluster, living: list[Instance]
) -> None:
    """By five seconds after the deadline all of it, each by one of those who live."""
    ids, deadline = await asked(own_cluster.url)
    assert now() < deadline, "this machine is too slow: they were not due at once"
    nodes = [own_cluster.primary_of(place.slot) for place in PLACES]

    async def all_have_ended() -> bool:
        left = [
            node.command("ZCOUNT", place.due, "-inf", int(deadline + 60))
            for place, node in zip(PLACES, nodes, strict=True)
        ]
        return not any(left)

    await until(all_have_ended, "all have ended", deadline - now() + _LATE_SECONDS, every=0.1)
    late = now() - deadline
    status = 'user_questions_total{status="timed_out"}'
    counts = [await each.metric(status) for each in living]
    stalls = [await each.metric("frontend_router_loop_stall_seconds") for each in living]
    print(f"{DUE} have ended {late:.1f} s late, {counts}, longest stalls {stalls}")
    # An ending that was brought about is counted by who did it: none was, twice.
    await until(partial(all_are_counted, living, status), "all are counted")
    async with stores(own_cluster.url) as open_one:
        witness = await open_one()
        for each in ids[:: DUE // 100]:
            found = await witness.store.find("due", each)
            assert found is not None
            assert found.outcome is not None
            assert found.outcome.state is State.TIMED_OUT


async def all_are_counted(living: list[Instance], status: str) -> bool:
    return sum([await each.metric(status) for each in living]) == DUE
