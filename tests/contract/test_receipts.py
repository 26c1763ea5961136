"""What every store promises about signatures (`session.receipts`)."""

from __future__ import annotations

import pytest
import trio

from session.errors import StoreUnavailableError
from session.receipts import MemoryReceipts
from tests.contract.conftest import OpenReceipts, Time


async def test_instances_share_the_first_key(open_receipts: OpenReceipts) -> None:
    one, other = await open_receipts(), await open_receipts()
    key = bytes(range(256))[::8] + b"\0\xff"
    assert await one.signing_key(key) == key
    assert await other.signing_key(b"later") == key
    assert await one.signing_key(b"later still") == key


async def test_a_receipt_is_used_once_at_any_instance(open_receipts: OpenReceipts) -> None:
    one, other = await open_receipts(), await open_receipts()
    assert await one.use("a", "first", 60)
    assert not await other.use("a", "second", 60)
    assert not await one.use("a", "third", 60)
    # Who did not hear that it was the first asks again.
    assert await other.use("a", "first", 60)
    assert await other.use("b", "second", 60)


async def test_of_many_who_use_a_receipt_at_once_one_does(open_receipts: OpenReceipts) -> None:
    both = [await open_receipts(), await open_receipts()]
    for number in range(10):
        got: list[bool] = []

        async def use(which: int, name: str = str(number), got: list[bool] = got) -> None:
            got.append(await both[which % 2].use(name, str(which), 60))

        async with trio.open_nursery() as nursery:
            for which in range(10):
                nursery.start_soon(use, which)
        assert sorted(got) == [False] * 9 + [True]


async def test_a_use_is_remembered_for_its_time(open_receipts: OpenReceipts, time: Time) -> None:
    receipts = await open_receipts()
    assert await receipts.use("long", "first", 60)
    assert await receipts.use("short", "first", 1)
    await time.later(1.1)
    assert await receipts.use("short", "second", 60)
    assert not await receipts.use("long", "second", 60)


async def test_memory_that_is_full_forgets_no_use_but_refuses() -> None:
    now = 0.0
    receipts = MemoryReceipts(lambda: now, most=3)
    for name in "abc":
        assert await receipts.use(name, "first", 10)
    with pytest.raises(StoreUnavailableError):
        await receipts.use("d", "first", 10)
    assert not await receipts.use("a", "second", 10)
    assert len(receipts) == 3
    now = 11.0
    assert await receipts.use("d", "first", 10)
    assert len(receipts) == 1
