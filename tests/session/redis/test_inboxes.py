"""Inboxes are read once by all who want one, keep up with events, and are bounded."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pool.promises import Promise
from session.errors import StoreUnavailableError
from session.model import Listing
from session.redis.inboxes import Inboxes
from session.redis.keys import PLACES, Place
from session.redis.records import listing_bytes
from tests.session.redis.asking import question


def listing(tenant: str = "acme", place: Place = PLACES[0]) -> Listing:
    asked = question(place=place)
    return Listing(asked.id, tenant, asked.audience, asked.delivery)


class Lists:
    """What Redis would answer, when it is let."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.there: dict[str, list[tuple[Listing, float]]] = {}
        self.at_once = at_once
        self.waiting: list[tuple[Promise[Any], str, Place]] = []
        self.reads = 0

    def put(self, each: Listing, at: float) -> Listing:
        self.there.setdefault(each.tenant, []).append((each, at))
        return each

    def read(self, tenant: str, place: Place) -> Promise[Any]:
        self.reads += 1
        promise: Promise[Any] = Promise()
        self.waiting.append((promise, tenant, place))
        if self.at_once:
            self.answer()
        return promise

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for promise, tenant, place in waiting:
            promise.set(
                [
                    [_member(each), at]
                    for each, at in self.there.get(tenant, [])
                    if each.id.startswith(f"{place.number:x}")
                ]
            )

    def fail(self) -> None:
        waiting, self.waiting = self.waiting, []
        for promise, _, _ in waiting:
            promise.fail(StoreUnavailableError("away"))


def _member(each: Listing) -> bytes:
    asked = question(tenant=each.tenant)
    return listing_bytes(asked).replace(asked.id.encode(), each.id.encode())


def current(lists: Lists, **bounds: int) -> Inboxes:
    inboxes = Inboxes(lists.read, **bounds)
    inboxes.is_current = True
    return inboxes


async def test_places_are_merged_oldest_first_and_read_once() -> None:
    lists = Lists()
    listings = [lists.put(listing(place=PLACES[(7 * n) % 16]), float(n)) for n in range(32)]
    inboxes = current(lists)
    assert await inboxes.of("acme") == listings
    assert await inboxes.of("acme") == listings
    assert (lists.reads, inboxes.readings, inboxes.listings, len(inboxes)) == (16, 1, 32, 1)


async def test_events_keep_it_up_to_date() -> None:
    lists = Lists()
    first = lists.put(listing(), 1.0)
    inboxes = current(lists)
    await inboxes.of("acme")
    second = listing(place=PLACES[9])
    inboxes.add(second)
    inboxes.add(second)
    inboxes.add(listing("of a tenant that nobody looks at"))
    assert await inboxes.of("acme") == [first, second]
    inboxes.remove("acme", first.id)
    inboxes.remove("acme", first.id)
    inboxes.remove("nobody", first.id)
    assert await inboxes.of("acme") == [second]
    assert (inboxes.listings, inboxes.readings) == (1, 1)
    assert list(inboxes.of_place(PLACES[9])) == [second]
    assert list(inboxes.of_place(PLACES[0])) == []


async def test_ten_who_come_at_once_share_one_reading_and_see_what_happens_during_it() -> None:
    lists = Lists(at_once=False)
    old, ends = lists.put(listing(), 1.0), lists.put(listing(), 2.0)
    inboxes = current(lists)
    found: list[list[Listing]] = []

    async def look() -> None:
        found.append(await inboxes.of("acme"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        inboxes.remove("acme", ends.id)
        new, brief = listing(), listing()
        inboxes.add(new)
        inboxes.add(brief)
        inboxes.remove("acme", brief.id)
        lists.answer()
    assert found == [[old, new]] * 10
    assert (inboxes.readings, inboxes.listings) == (1, 2)


async def test_a_reading_that_fails_fails_for_all_and_is_begun_again_by_the_next() -> None:
    lists = Lists(at_once=False)
    inboxes = current(lists)
    failures = 0

    async def look() -> None:
        nonlocal failures
        with pytest.raises(StoreUnavailableError):
            await inboxes.of("acme")
        failures += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        inboxes.add(listing())
        lists.fail()
    assert (failures, inboxes.listings, len(inboxes)) == (3, 0, 0)
    lists.at_once = True
    assert await inboxes.of("acme") == []


async def test_who_waits_for_a_reading_that_was_cancelled_is_told() -> None:
    lists = Lists(at_once=False)
    inboxes = current(lists)
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def begin() -> None:
            with first:
                await inboxes.of("acme")

        async def wait() -> None:
            with pytest.raises(StoreUnavailableError):
                await inboxes.of("acme")

        nursery.start_soon(begin)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
    assert len(inboxes) == 0


async def test_a_place_that_is_read_anew_tells_what_was_missed() -> None:
    lists = Lists()
    kept, ended = lists.put(listing(), 1.0), lists.put(listing(), 2.0)
    other = lists.put(listing(place=PLACES[1]), 3.0)
    inboxes = current(lists)
    await inboxes.of("acme")
    lists.there["acme"] = [(kept, 1.0)]
    new = lists.put(listing(), 4.0)
    assert await inboxes.reread(PLACES[0]) == ([new], [ended])
    assert await inboxes.reread(PLACES[0]) == ([], [])
    assert await inboxes.of("acme") == [kept, other, new]
    assert inboxes.listings == 3


async def test_what_happens_while_a_place_is_read_anew_is_not_undone_by_it() -> None:
    lists = Lists()
    ends = lists.put(listing(), 1.0)
    inboxes = current(lists)
    await inboxes.of("acme")
    lists.at_once = False
    begun = listing()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inboxes.reread, PLACES[0])
        await trio.testing.wait_all_tasks_blocked()
        inboxes.remove("acme", ends.id)
        inboxes.add(begun)
        lists.answer()
    assert await inboxes.of("acme") == [begun]
    assert inboxes.listings == 1


async def test_while_events_go_unheard_it_is_read_each_time_and_compared_later() -> None:
    lists = Lists()
    first = lists.put(listing(), 1.0)
    inboxes = Inboxes(lists.read)
    assert await inboxes.of("acme") == [first]
    second = lists.put(listing(), 2.0)
    assert await inboxes.of("acme") == [first, second]
    assert inboxes.readings == 2
    # Who saw the first reading has not been shown the second question.
    assert await inboxes.reread(PLACES[0]) == ([second], [])


async def test_a_first_reading_that_missed_events_is_done_again() -> None:
    lists = Lists(at_once=False)
    inboxes = Inboxes(lists.read)
    found: list[list[Listing]] = []

    async def look() -> None:
        found.append(await inboxes.of("acme"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        readings, lists.waiting = lists.waiting, []
        assert await inboxes.reread(PLACES[0]) == ([], [])
        for promise, *_ in readings:
            promise.set([])
        await trio.testing.wait_all_tasks_blocked()
        unheard = lists.put(listing(), 1.0)
        lists.answer()
    assert found == [[unheard]]


async def test_a_tenant_that_must_make_room_while_it_is_read_anew_is_not_counted() -> None:
    lists = Lists()
    inboxes = current(lists, tenants=3)
    await inboxes.of("acme")
    lists.at_once = False
    found: list[Any] = []

    async def reread() -> None:
        found.append(await inboxes.reread(PLACES[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reread)
        await trio.testing.wait_all_tasks_blocked()
        unheard = lists.put(listing(), 1.0)
        held, lists.waiting = lists.waiting, []
        lists.at_once = True
        for tenant in "abc":
            await inboxes.of(tenant)
        lists.waiting = held
        lists.answer()
    assert found == [([unheard], [])]
    assert (inboxes.listings, len(inboxes)) == (0, 3)


async def test_many_tenants_are_read_anew_some_at_a_time() -> None:
    """And not one after the other: each would cost the way to Redis and back."""
    lists = Lists()
    inboxes = current(lists)
    for number in range(250):
        await inboxes.of(f"t{number}")
    unheard = [lists.put(listing(f"t{number}"), 1.0) for number in range(250)]
    lists.at_once = False
    found: list[Any] = []
    progress: list[int] = []

    async def reread() -> None:
        found.append(await inboxes.reread(PLACES[0], lambda: progress.append(lists.reads)))

    begun: list[int] = []
    before = lists.reads
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reread)
        while not found:
            await trio.testing.wait_all_tasks_blocked()
            begun.append(len(lists.waiting))
            lists.answer()
            await trio.testing.wait_all_tasks_blocked()
    assert begun == [100, 100, 50]
    assert progress == [before + 100, before + 200, before + 250]
    assert found == [(unheard, [])]


async def test_what_many_replies_bring_is_looked_at_in_steps() -> None:
    lists = Lists()
    inboxes = current(lists)
    for tenant in "ab":
        await inboxes.of(tenant)
        for number in range(1001):
            lists.put(listing(tenant), float(number))
    # Whoever is cancelled hears of it when others have their turn.
    with trio.CancelScope() as scope:
        scope.cancel()
        await inboxes.reread(PLACES[0])
    assert scope.cancelled_caught
    assert inboxes.listings == 1001
    opened, _ = await inboxes.reread(PLACES[0])
    assert len(opened) == inboxes.listings == 2002


@pytest.mark.parametrize("fault", ["fails", "is cancelled"])
async def test_what_a_reading_found_that_then_ends_early_is_told_by_the_next(fault: str) -> None:
    lists = Lists()
    inboxes = current(lists)
    ended = [lists.put(listing(f"t{number}"), 1.0) for number in range(150)]
    for each in ended:
        await inboxes.of(each.tenant)
    lists.there.clear()
    opened = [lists.put(listing(f"t{number}"), 2.0) for number in range(150)]
    lists.at_once = False
    scope = trio.CancelScope()

    async def reread() -> None:
        with scope:
            if fault == "fails":
                with pytest.raises(StoreUnavailableError):
                    await inboxes.reread(PLACES[0])
            else:
                await inboxes.reread(PLACES[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reread)
        await trio.testing.wait_all_tasks_blocked()
        lists.answer()
        await trio.testing.wait_all_tasks_blocked()
        assert len(lists.waiting) == 50
        if fault == "fails":
            lists.fail()
        else:
            scope.cancel()
    # Nobody waits for them any more, and Redis need not be asked.
    assert all(promise.done for promise, *_ in lists.waiting)
    lists.waiting.clear()
    lists.at_once = True
    assert await inboxes.reread(PLACES[0]) == (opened, ended)
    assert await inboxes.reread(PLACES[0]) == ([], [])
    assert inboxes.listings == 150


async def test_the_tenants_looked_at_longest_ago_go_first() -> None:
    lists = Lists()
    inboxes = current(lists, tenants=3)
    for tenant in ("a", "b", "c", "a", "d"):
        await inboxes.of(tenant)
    readings = inboxes.readings
    for tenant in ("c", "a", "d"):
        await inboxes.of(tenant)
    assert (inboxes.readings, len(inboxes)) == (readings, 3)
    await inboxes.of("b")
    assert inboxes.readings == readings + 1


async def test_listings_are_bounded_also_when_events_bring_them() -> None:
    lists = Lists()
    inboxes = current(lists, listings=10)
    for tenant in "ab":
        await inboxes.of(tenant)
    for _ in range(10):
        inboxes.add(listing("b"))
    inboxes.add(listing("b"))
    assert (inboxes.listings, len(inboxes)) == (0, 0)
    # One that is larger than all there may be is read each time.
    for number in range(11):
        lists.put(listing("c"), float(number))
    for _ in range(2):
        assert len(await inboxes.of("c")) == 11
    assert (inboxes.readings, inboxes.listings, len(inboxes)) == (4, 0, 0)


async def test_what_is_being_read_is_not_let_go() -> None:
    lists = Lists(at_once=False)
    inboxes = current(lists, tenants=1)
    found: list[list[Listing]] = []

    async def look(tenant: str) -> None:
        found.append(await inboxes.of(tenant))

    async with trio.open_nursery() as nursery:
        for tenant in ("a", "b", "a"):
            nursery.start_soon(look, tenant)
        await trio.testing.wait_all_tasks_blocked()
        lists.answer()
    assert found == [[], [], []]
    assert len(inboxes) == 1
