"""Instances that share a Redis: what one does the others hear of, and find when they did not."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from session.model import EVERYONE, Audience, Outcome, Presence, State
from session.redis.keys import PLACES
from session.redis.records import listing_bytes
from tests.proxy import Proxy
from tests.session.redis.asking import another, answered, now, place, question
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import Instance, Open, until

pytestmark = pytest.mark.slow


async def _two(open_instance: Open) -> tuple[Instance, Instance]:
    one, other = await open_instance(), await open_instance()
    # Whoever comes is news to those who are there.
    await one.settle_in()
    await other.settle_in()
    await one.settle_in()
    for each in (one, other):
        assert list(await each.store.inbox("acme")) == []
    return one, other


async def _inbox(instance: Instance, tenant: str = "acme") -> list[str]:
    return [each.id for each in await instance.store.inbox(tenant)]


async def test_what_one_does_the_other_hears_once_and_nobody_hears_themselves(
    open_instance: Open,
) -> None:
    one, other = await _two(open_instance)
    readings = other.store.statistics().inbox_readings
    held = question(tenant="acme")
    await one.store.admit(held, hold=True)
    # It is no news for who might show it, but it is there.
    await until(lambda: other.store.statistics().listings == 1)
    assert (await _inbox(other), other.heard.opened) == ([held.id], [])
    await one.store.release(held)
    await until(lambda: other.heard.opened == [held.id])
    await one.store.settle(held, Outcome(State.CANCELLED, at=now(), by="agent"))
    await until(lambda: other.heard.settled == [("acme", held.id)])
    assert await _inbox(other) == await _inbox(one) == []
    one.store.notify("acme", Audience("user", "ann"), b'{"type":"x"}')
    await until(lambda: len(other.heard.told) == 1)
    assert other.heard.told == [("acme", Audience("user", "ann"), b'{"type":"x"}')]
    # One place is heard in order, so all that was said before this was heard before it.
    back = question(place=place(held))
    await other.store.admit(back)
    await until(lambda: back.id in one.heard.opened)
    for each in (one, other):
        await each.sweep()
    assert (one.heard.opened, one.heard.settled, one.heard.told) == ([back.id], [], [])
    assert (other.heard.opened, len(other.heard.settled)) == ([held.id], 1)
    assert other.store.statistics().inbox_readings == readings
    assert other.store.statistics().gaps == one.store.statistics().gaps == 0


async def test_what_a_session_gives_up_is_heard_by_the_others(open_instance: Open) -> None:
    one, other = await open_instance(), await open_instance()
    for each in (one, other):
        await each.settle_in()
    # Whatever a session is called.
    told = [("0" * 36, b'["acme","ann",null]'), ("session", b'["acme","ann","a b"]')]
    for session_id, cancellation in told:
        one.store.cancel(session_id, cancellation)
    await until(lambda: len(other.heard.cancellations) == len(told))
    assert sorted(other.heard.cancellations) == told
    assert one.heard.cancellations == []


async def test_a_hundred_questions_in_all_places_are_each_heard_once(open_instance: Open) -> None:
    one, other = await _two(open_instance)
    asked = [question(place=PLACES[number % 16]) for number in range(96)]
    async with trio.open_nursery() as nursery:
        for each in asked:
            nursery.start_soon(partial(one.store.admit, each))
        nursery.start_soon(other.sweep)
    await until(lambda: len(other.heard.opened) >= 96)
    await other.sweep()
    assert sorted(other.heard.opened) == sorted(each.id for each in asked)
    assert sorted(await _inbox(other)) == sorted(each.id for each in asked)


async def test_of_all_who_end_a_question_one_wins(open_instance: Open) -> None:
    """E1: everybody else learns who."""
    one, other = await _two(open_instance)
    wins: dict[str, list[str]] = {}
    told: dict[str, set[str]] = {}

    async def settle(instance: Instance, number: int) -> None:
        outcome = answered(f"{instance.name} {number % 3}")
        settled = await instance.store.settle(asked[number % 50], outcome)
        assert settled is not None
        told.setdefault(settled.question.id, set()).add(settled.outcome.answer)
        if settled.won:
            wins.setdefault(settled.question.id, []).append(settled.outcome.answer)

    asked = [question() for _ in range(50)]
    for each in asked:
        await one.store.admit(each)
    async with trio.open_nursery() as nursery:
        for number in range(150):
            nursery.start_soon(settle, one, number)
            nursery.start_soon(settle, other, number)
    assert {len(winners) for winners in wins.values()} == {1}
    assert told == {key: set(winners) for key, winners in wins.items()}
    assert len(wins) == 50


async def test_an_event_that_was_not_published_is_found_by_a_sweep(
    open_instance: Open, servers: Servers
) -> None:
    one, other = await _two(open_instance)
    lost, heard = question(place=PLACES[3]), question(place=PLACES[3])
    where = place(lost)
    event = one.store._events.opened + listing_bytes(lost)
    servers.at(where, "XADD", where.log, "0-*", "e", event)
    await until(lambda: other.heard.opened == [lost.id], other.sweep)
    assert other.store.statistics().found_by_sweep == 1
    # Again, and what is said after it shows the gap.
    servers.at(where, "XADD", where.log, "0-*", "e", event)
    await one.store.admit(heard)
    await until(lambda: heard.id in other.heard.opened)
    assert other.store.statistics().gaps == 1
    await until(lambda: other.heard.opened.count(lost.id) == 2, other.sweep)
    await other.sweep()
    # A gap is closed by saying all again that came after it.
    assert other.heard.opened == [lost.id, heard.id, lost.id, heard.id]
    assert other.store.statistics().rereads == 16


async def test_a_log_that_was_cut_short_has_its_place_read_anew(
    open_instance: Open, servers: Servers
) -> None:
    one, other = await _two(open_instance)
    asked = question()
    where = place(asked)
    await one.store.admit(asked)
    await until(lambda: other.heard.opened == [asked.id])
    rereads = other.store.statistics().rereads
    servers.at(where, "XTRIM", where.log, "MAXLEN", 0)
    await until(lambda: other.store.statistics().rereads == rereads + 1, other.sweep)
    (concerns,) = other.heard.missing
    assert concerns(asked.id)
    assert not concerns(question(place=another(where)).id)
    # It goes on from there.
    assert other.heard.opened == [asked.id]
    later = question(place=where)
    await one.store.admit(later)
    await until(lambda: other.heard.opened == [asked.id, later.id])
    await until(lambda: other.is_current, other.sweep)
    assert sorted(await _inbox(other)) == sorted((asked.id, later.id))


async def test_whoever_is_cut_off_finds_what_happened_meanwhile(
    open_on_node: Open, proxy: Proxy
) -> None:
    one = await open_on_node()
    other = await open_on_node(url=f"redis://127.0.0.1:{proxy.port}")
    await one.settle_in()
    before = question()
    await one.store.admit(before)
    # Somebody is there before the first sweep: what they were shown must be known, too.
    assert await _inbox(other) == [before.id]
    await other.settle_in()
    proxy.refuse()
    proxy.cut()
    await until(lambda: not other.is_current)
    await one.store.settle(before, answered())
    after = question()
    await one.store.admit(after)
    proxy.accept()
    await until(other.store.is_usable)
    await until(lambda: after.id in other.heard.opened, other.sweep)
    await until(lambda: other.is_current, other.sweep)
    assert other.heard.settled == [("acme", before.id)]
    assert any(concerns(before.id) for concerns in other.heard.missing)
    assert await _inbox(other) == [after.id]


async def test_an_instance_that_stops_sweeping_is_taken_for_dead(
    open_instance: Open,
) -> None:
    one, other = await _two(open_instance)
    here = Presence("tab", "c-one", "acme", "ann", "", (), now(), one.name)
    there = Presence("tab", "c-other", "acme", "ann", "", (), now() + 1, other.name)
    await one.store.arrive(here)
    await other.store.arrive(there)
    assert list(await other.store.present("acme")) == [here, there]
    held, free = question(), question()
    await one.store.admit(held, hold=True)
    await until(lambda: other.store.statistics().listings == 1)
    assert await other.store.hold("acme", held.id) is None
    # Nobody else is there to tell it: it finds out by its own sweep.
    await until(lambda: len(other.heard.opened) > 0, other.sweep)
    assert other.heard.opened == [held.id]
    assert await other.store.hold("acme", held.id) == held
    present: list[Presence] = []

    async def look() -> None:
        await other.sweep()
        present[:] = await other.store.present("acme")

    # Each place finds out by itself.
    await until(lambda: present == [there], look)
    assert other.store.statistics().instances == 1
    # It was only asleep.
    assert one.heard.times_forgotten == 0
    await one.sweep()
    assert one.heard.times_forgotten == 1
    assert await one.store.hold("acme", held.id) is None
    await one.store.arrive(here)
    await one.store.admit(free)
    await other.sweep()
    assert list(await other.store.present("acme")) == [here, there]


async def test_all_who_live_hear_who_is_gone_and_one_of_them_takes_over(
    open_instance: Open,
) -> None:
    one, other = await _two(open_instance)
    third = await open_instance()
    await third.settle_in()
    assert await _inbox(third) == []
    held = question()
    await one.store.admit(held, hold=True)
    await until(lambda: third.store.statistics().listings == 1)

    async def sweep() -> None:
        await other.sweep()
        await third.sweep()

    await until(lambda: other.heard.opened == third.heard.opened == [held.id], sweep)
    taken = [await each.store.hold("acme", held.id) for each in (third, other)]
    assert taken == [held, None]


async def test_an_instance_that_begins_takes_nobody_for_dead(open_instance: Open) -> None:
    """What it knows of the others is older than they are."""
    one = await open_instance()
    await one.sweep()
    here = Presence("tab", "c-one", "acme", "ann", "", (), now(), one.name)
    await one.store.arrive(here)
    other = await open_instance()
    assert list(await other.store.present("acme")) == [here]
    await other.sweep()
    assert list(await one.store.present("acme")) == [here]


async def test_hundreds_of_frontends_are_listed_once_each(open_instance: Open) -> None:
    one, _ = await _two(open_instance)
    tabs = [Presence("t", f"c{n}", "acme", "ann", "", (), now() + n, one.name) for n in range(1200)]
    async with trio.open_nursery() as nursery:
        for tab in tabs:
            nursery.start_soon(one.store.arrive, tab)
    assert list(await one.store.present("acme")) == tabs
    await one.store.leave(tabs[0])
    assert list(await one.store.present("acme")) == tabs[1:]


async def test_a_store_that_answers_is_healthy(open_instance: Open) -> None:
    one = await open_instance()
    assert one.store.shared
    assert one.store.is_usable()
    await one.store.ping()
    one.store.notify("nobody", EVERYONE, b"{}")
