"""What `session.audit.AuditTrail` promises, in memory and in Redis."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from session import AuditTrail, MemoryAudit, parse_store_address
from session.redis.audit import RedisAudit
from session.redis.trail import RedisTrail
from tests.session.redis.instances import instances


@dataclasses.dataclass(frozen=True)
class Records:
    """Opens trails to the same records, each as another instance, and reads these."""

    open: Callable[[], Awaitable[AuditTrail]]
    entries: Callable[[str], Awaitable[list[bytes]]]


@pytest.fixture
async def records(store_url: str) -> AsyncIterator[Records]:
    if store_url == "memory":
        trail = MemoryAudit(length=100)

        async def in_memory() -> AuditTrail:
            return trail

        async def kept(tenant: str) -> list[bytes]:
            return trail.entries(tenant)

        yield Records(in_memory, kept)
        return
    # Who reads is no gateway, and may do more.
    reader = RedisTrail(parse_store_address(store_url.replace("gateway:secret@", "")))
    async with instances(store_url) as open_instance:

        async def in_redis() -> AuditTrail:
            instance = await open_instance()
            return RedisAudit(instance.client, instance=instance.name, length=100)

        async def read(tenant: str) -> list[bytes]:
            found = await trio.to_thread.run_sync(lambda: list(reader.entries(tenant)))
            return [entry for _, entry in found]

        yield Records(in_redis, read)


async def test_entries_are_kept_in_order_by_tenant(records: Records) -> None:
    trail = await records.open()
    await trail.append("acme", 1, [b"asked", b"offered"])
    await trail.append("other", 2, [b"asked elsewhere"])
    await trail.append("acme", 3, [b"answered"])
    assert await records.entries("acme") == [b"asked", b"offered", b"answered"]
    assert await records.entries("other") == [b"asked elsewhere"]
    assert await records.entries("nobody") == []


async def test_a_batch_that_is_given_again_is_appended_once(records: Records) -> None:
    trail = await records.open()
    await trail.append("acme", 7, [b"asked"])
    await trail.append("acme", 7, [b"asked"])
    await trail.append("acme", 9, [b"answered"])
    assert await records.entries("acme") == [b"asked", b"answered"]


async def test_names_of_tenants_are_any_and_nobody_is_one(records: Records) -> None:
    trail = await records.open()
    names = ["", "a:b", "{a}", "ä b", "*"]
    for number, name in enumerate(names, 1):
        await trail.append(name, number, [name.encode()])
    for name in names:
        assert await records.entries(name) == [name.encode()]


async def test_the_oldest_go_first_and_the_newest_stay(records: Records) -> None:
    """Redis trims whole nodes of a stream, of 100 entries by default: about so many."""
    trail = await records.open()
    for batch in range(1, 9):
        await trail.append("acme", batch, [b"%d" % batch] * 50)
    kept = await records.entries("acme")
    assert 100 <= len(kept) <= 250
    assert kept[-50:] == [b"8"] * 50
    assert kept[0] > b"1"


async def test_instances_share_records_but_not_the_numbers_of_batches(records: Records) -> None:
    here, there = await records.open(), await records.open()
    if here is there:
        return
    await here.append("acme", 5, [b"asked here"])
    await there.append("acme", 1, [b"answered there"])
    assert await records.entries("acme") == [b"asked here", b"answered there"]
