"""What instances that share a Redis have of a limit, when some of them die or are late."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from pool.portions import Account, Slots
from session import RedisSettings
from session.redis import keys
from session.redis.quotas import RedisQuotas
from tests.session.redis.instances import QUICK, Instance, Open, instances

pytestmark = pytest.mark.slow


@pytest.fixture
async def open_instance(redis_url: str) -> AsyncIterator[Open]:
    async with instances(redis_url) as opened:
        yield opened


def quotas(instance: Instance, keep: float = 0.0, settings: RedisSettings = QUICK) -> RedisQuotas:
    return RedisQuotas(
        instance.client,
        settings,
        instance=instance.name,
        instances=lambda: instance.store.statistics().instances,
        kept={"pending": keep},
    )


def slots(limit: int) -> Slots:
    found = Slots(Account("pending", "acme", ""), "pending", [])
    found.set_limit(limit, 2, shared=True)
    return found


async def both_alive(one: Instance, other: Instance) -> None:
    for instance in (one, other, one):
        await instance.sweep()


async def test_instances_share_a_limit(open_instance: Open) -> None:
    one, other = await open_instance(), await open_instance()
    await both_alive(one, other)
    mine, theirs = quotas(one), quotas(other)
    assert mine.shared
    assert (mine.holders(), theirs.holders()) == (2, 2)
    some = slots(20)
    assert await mine.lease(some, 0, 10, 1) == 11
    assert await theirs.lease(some, 0, 9, 1) == 9
    # What one has in reserve is no reason to refuse the other.
    assert await theirs.lease(some, 9, 1, 1) == 10
    assert await theirs.lease(some, 10, 1, 1) == 10
    assert await mine.lease(some, 11, 0, 1) == 11
    assert await mine.lease(some, 5, 0, 1) == 6
    assert await theirs.lease(some, 10, 1, 0) == 11


async def test_what_a_dead_instance_had_is_free_when_it_is_taken_for_dead(
    open_instance: Open,
) -> None:
    one, other = await open_instance(), await open_instance()
    await both_alive(one, other)
    some = slots(10)
    assert await quotas(one).lease(some, 0, 10, 0) == 10
    assert await quotas(other).lease(some, 0, 1, 0) == 0
    # Nobody sweeps for the first one any more.
    await trio.sleep(QUICK.lease_seconds + 0.1)
    await other.sweep()
    assert await quotas(other).lease(some, 0, 1, 0) == 1


async def test_who_lives_keeps_its_slots_without_a_word_about_them(open_instance: Open) -> None:
    # Long enough for a machine that stands still for a moment.
    settings = dataclasses.replace(QUICK, lease_seconds=4.0)
    one, other = await open_instance(settings), await open_instance(settings)
    some = slots(10)
    assert await quotas(one, settings=settings).lease(some, 0, 10, 0) == 10
    for _ in range(6):
        await trio.sleep(settings.lease_seconds / 4)
        await both_alive(one, other)
    assert await quotas(other, settings=settings).lease(some, 0, 1, 0) == 0


async def test_questions_of_a_dead_instance_count_until_they_are_over(open_instance: Open) -> None:
    one, other = await open_instance(), await open_instance()
    await both_alive(one, other)
    some, keep = slots(10), 2.0
    assert await quotas(one, keep).lease(some, 0, 6, 0) == 6
    await trio.sleep(QUICK.lease_seconds + 0.1)
    await other.sweep()
    theirs = quotas(other, keep)
    assert await theirs.lease(some, 0, 4, 0) == 4
    assert await theirs.lease(some, 4, 1, 0) == 4
    await trio.sleep(keep)
    assert await theirs.lease(some, 4, 6, 0) == 10


async def test_all_that_is_kept_of_a_tenant_ends(
    open_instance: Open, redis_node: RedisNode
) -> None:
    one = await open_instance()
    some = slots(10)
    await quotas(one).lease(some, 0, 1, 0)
    key = keys.place_of_tenant("acme").quota("pending", "acme", "").decode()
    assert 0 < int(redis_node.command("TTL", key)) <= 3600
    await quotas(one).lease(some, 0, 0, 0)
    assert int(redis_node.command("EXISTS", key)) == 0
