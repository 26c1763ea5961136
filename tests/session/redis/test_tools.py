"""Tools in Redis: what is lost is found, and what is kept is bounded."""

from __future__ import annotations

import pytest
import trio

from session import Offered
from session.model import ToolOffer
from session.redis import keys
from session.redis.tools import ToolCache
from tests.session.redis.instances import PATIENCE, Instance, Open, until

DEFINITIONS = {"d1": b'{"name":"shop.one"}'}


def offer(instance: str, number: int = 1) -> ToolOffer:
    tools = {"shop.one": "d1"}
    return ToolOffer(f"c{number}", f"tab-{number}", "acme", "", instance, float(number), tools)


async def _two(open_instance: Open) -> tuple[Instance, Instance]:
    one, other = await open_instance(), await open_instance()
    for each in (one, other):
        await each.settle_in()
    return one, other


async def _offers(instance: Instance) -> tuple[ToolOffer, ...]:
    return (await instance.store.tools.of("acme")).offers


@pytest.mark.slow
async def test_a_change_is_heard_once_by_the_others_and_not_by_who_made_it(
    open_instance: Open,
) -> None:
    one, other = await _two(open_instance)
    here = offer(one.name)
    await one.store.tools.offer(here, DEFINITIONS)
    await until(lambda: other.heard.tools == ["acme"])
    assert await _offers(other) == (here,)
    assert one.heard.tools == []


@pytest.mark.slow
async def test_a_change_that_was_not_heard_is_found_by_the_sweep(open_instance: Open) -> None:
    one, other = await _two(open_instance)
    assert await _offers(other) == ()
    channel = keys.place_of_tenant("acme").channel
    other.client.unsubscribe(channel)
    await one.store.tools.offer(offer(one.name), DEFINITIONS)
    await other.sweep()
    assert other.heard.tools == ["acme"]
    assert await _offers(other) == (offer(one.name),)


@pytest.mark.slow
async def test_what_a_dead_instance_offered_is_not_there(open_instance: Open) -> None:
    one, other = await _two(open_instance)
    here, there = offer(one.name, 1), offer(other.name, 2)

    async def both_are_there() -> None:
        """Have `one` say that it lives, and what it offers, until the other one knows."""
        with trio.fail_after(PATIENCE):
            while await _offers(other) != (here, there):
                await one.sweep()
                await one.store.tools.offer(here, DEFINITIONS)

    await other.store.tools.offer(there, DEFINITIONS)
    await both_are_there()
    heard = len(other.heard.tools)
    # Who lives is who sweeps: `one` does not.
    await until(lambda: len(other.heard.tools) > heard, other.sweep)
    assert await _offers(other) == (there,)
    # It was only asleep, and says all anew.
    await both_are_there()


@pytest.mark.slow
async def test_a_definition_that_was_lost_comes_back_with_the_next_renewal(
    open_instance: Open,
) -> None:
    one, other = await _two(open_instance)
    await one.store.tools.offer(offer(one.name), DEFINITIONS)
    place = keys.place_of_tenant("acme")
    await one.client.execute("DEL", place.tool("acme", "d1"), slot=place.slot)
    await until(lambda: other.heard.tools == ["acme"])
    assert (await other.store.tools.of("acme")).definitions == {}
    assert not await one.store.tools.offer(offer(one.name), DEFINITIONS)
    assert (await other.store.tools.of("acme")).definitions == DEFINITIONS


@pytest.mark.slow
async def test_progress_is_told_to_all_others(open_instance: Open) -> None:
    one, other = await _two(open_instance)
    call_id = "a" * 32
    one.store.progress("acme", call_id, b'[1.0,null,"half"]')
    await until(lambda: other.heard.progress == [("acme", call_id, b'[1.0,null,"half"]')])
    assert one.heard.progress == []


def _offered(number: int, size: int) -> Offered:
    here = offer("here", number)
    return Offered((here,), {"d1": b"x" * size})


def test_of_so_many_tenants_something_is_kept() -> None:
    cache = ToolCache(tenants=2)
    for tenant in ("a", "b", "c"):
        kept = cache.begin(tenant)
        cache.put(kept, _offered(1, 10), kept.generation)
    assert len(cache) == 2
    assert cache.size == 20
    assert not cache.begin("a").is_fresh
    assert cache.begin("c").is_fresh


def test_so_many_bytes_are_kept_of_all() -> None:
    cache = ToolCache(size=100)
    for tenant in ("a", "b", "c"):
        kept = cache.begin(tenant)
        cache.put(kept, _offered(1, 40), kept.generation)
    assert (len(cache), cache.size) == (2, 80)


def test_what_is_heard_to_change_while_it_is_read_is_read_again() -> None:
    cache = ToolCache()
    kept = cache.begin("a")
    generation = kept.generation
    cache.invalidate("a")
    cache.put(kept, _offered(1, 1), generation)
    assert not kept.is_fresh


def test_the_same_is_the_same_object() -> None:
    cache = ToolCache()
    kept = cache.begin("a")
    first = cache.put(kept, _offered(1, 1), 0)
    assert cache.put(kept, _offered(1, 1), 0) is first
    assert cache.put(kept, _offered(2, 1), 0) is not first


def test_tenants_are_found_by_their_place() -> None:
    cache = ToolCache()
    cache.begin("acme")
    assert cache.of_place(keys.place_of_tenant("acme")) == ["acme"]
    assert sum(len(cache.of_place(place)) for place in keys.PLACES) == 1
