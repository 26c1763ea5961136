"""The contract of quotas, over memory, one Redis and a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from pool.portions import Account, Slots, Tokens
from session import MemoryQuotas, Quotas
from session.model import McpSession
from session.redis.quotas import RedisQuotas
from tests.contract.conftest import Time
from tests.session.redis.instances import QUICK, Instance, instances

SESSION = "00000000-0000-4000-8000-00000000000{}"


class Side:
    """One instance's end of the quotas, with its sessions."""

    def __init__(self, quotas: Quotas, instance: Instance | None) -> None:
        self.quotas = quotas
        self._instance = instance
        self.sessions: set[str] = set()

    async def begin(self, number: int) -> str:
        session_id = SESSION.format(number)
        self.sessions.add(session_id)
        if self._instance is not None:
            session = McpSession(session_id, "acme", "ann", "2025-11-25", 0.0)
            await self._instance.store.save_session(session)
        return session_id

    async def end(self, number: int) -> None:
        self.sessions.discard(SESSION.format(number))
        if self._instance is not None:
            await self._instance.store.end_session(SESSION.format(number))


@pytest.fixture
async def side(store_url: str, time: Time) -> AsyncIterator[Side]:
    """The quotas of one instance."""
    if store_url == "memory":
        here = Side(MemoryQuotas(time, lambda key: key in here.sessions), None)
        yield here
        return
    async with instances(store_url) as open_instance:
        instance = await open_instance()
        quotas = RedisQuotas(
            instance.client, QUICK, instance=instance.name, instances=lambda: 1, kept={}
        )
        yield Side(quotas, instance)


def tokens(rate: float, burst: float, tenant: str = "acme") -> Tokens:
    found = Tokens(Account("asks_per_second", tenant, ""), "asks_per_second")
    found.set_limit(rate, rate, burst, 1)
    return found


def slots(limit: int, kind: str = "pending", subject: str = "") -> Slots:
    found = Slots(Account(kind, "acme", subject), kind, [])
    found.set_limit(limit, 1, shared=True)
    return found


async def test_tokens_are_given_until_there_are_none(side: Side, time: Time) -> None:
    # One in five seconds: none comes back while this asks.
    asked = tokens(0.2, 4)
    assert (await side.quotas.take(asked, 1, 2)).granted == 3
    granted, wait, left = await side.quotas.take(asked, 1, 2)
    assert (granted, wait) == (1, 0)
    granted, wait, left = await side.quotas.take(asked, 1, 2)
    assert granted == 0
    assert 2 < wait <= 5
    assert 0 <= left < 1
    await time.later(wait)
    assert (await side.quotas.take(asked, 1, 0)).granted == 1


async def test_tokens_in_advance_are_taken_when_there_is_one(side: Side) -> None:
    asked = tokens(0.1, 3)
    assert (await side.quotas.take(asked, 0, 2)).granted == 2
    assert (await side.quotas.take(asked, 0, 2)).granted == 1
    assert (await side.quotas.take(asked, 0, 2)).granted == 0
    assert (await side.quotas.take(asked, 0, 2)).wait > 5


async def test_more_than_a_bucket_is_taken_from_a_full_one(side: Side) -> None:
    asked = tokens(0.5, 5)
    assert (await side.quotas.take(asked, 50, 0)).granted == 50
    granted, wait, left = await side.quotas.take(asked, 1, 0)
    assert (granted, left) == (0, 0)
    assert 80 < wait < 92.1


async def test_buckets_are_apart_by_tenant(side: Side) -> None:
    assert (await side.quotas.take(tokens(1, 1), 1, 0)).granted == 1
    assert (await side.quotas.take(tokens(1, 1), 1, 0)).granted == 0
    assert (await side.quotas.take(tokens(1, 1, "other:acme"), 1, 0)).granted == 1


async def test_slots_are_leased_up_to_the_limit(side: Side) -> None:
    some = slots(10)
    assert await side.quotas.lease(some, 0, 1, 3) == 4
    assert await side.quotas.lease(some, 4, 1, 3) == 8
    assert await side.quotas.lease(some, 9, 1, 3) == 10
    assert await side.quotas.lease(some, 10, 1, 3) == 10
    assert await side.quotas.lease(some, 2, 0, 3) == 5
    assert await side.quotas.lease(some, 0, 0, 0) == 0
    assert await side.quotas.lease(some, 0, 0, 0) == 0


async def test_slots_are_apart_by_kind_and_subject(side: Side) -> None:
    for each in (slots(1), slots(1, "frontends"), slots(1, subject="ann")):
        assert await side.quotas.lease(each, 0, 1, 0) == 1
        assert await side.quotas.lease(each, 1, 1, 0) == 1


async def test_what_is_leased_twice_for_the_same_use_is_leased_once(side: Side) -> None:
    some = slots(2)
    assert await side.quotas.lease(some, 0, 1, 0) == 1
    assert await side.quotas.lease(some, 0, 1, 0) == 1


async def test_sessions_are_counted_for_all_accounts_or_none(side: Side) -> None:
    tenant, subject = Account("sessions", "acme", ""), Account("sessions", "acme", "ann")
    both = [(tenant, 2), (subject, 1)]
    assert await side.quotas.open_session(both, await side.begin(1)) == -1
    assert await side.quotas.open_session(both, await side.begin(2)) == 1
    assert await side.quotas.open_session(both[:1], await side.begin(2)) == -1
    assert await side.quotas.open_session(both[:1], await side.begin(3)) == 0
    assert await side.quotas.open_session([], await side.begin(3)) == -1
    await side.quotas.end_session([tenant, subject], SESSION.format(1))
    await side.quotas.end_session([tenant, subject], SESSION.format(1))
    assert await side.quotas.open_session(both, await side.begin(4)) == -1


async def test_sessions_that_ended_by_themselves_are_found_when_there_are_many(side: Side) -> None:
    tenant = [(Account("sessions", "acme", ""), 3)]
    for number in range(3):
        assert await side.quotas.open_session(tenant, await side.begin(number)) == -1
    assert await side.quotas.open_session(tenant, await side.begin(4)) == 0
    await side.end(1)
    assert await side.quotas.open_session(tenant, await side.begin(5)) == -1
    assert await side.quotas.open_session(tenant, await side.begin(6)) == 0


async def test_many_at_once_have_no_more_than_there_is(side: Side) -> None:
    asked, got = tokens(0.1, 20), []

    async def take() -> None:
        got.append((await side.quotas.take(asked, 1, 1)).granted)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(take)
    assert sum(got) == 20
