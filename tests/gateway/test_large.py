"""Large messages wait for each other, bounded, and nobody else waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway.large import Large, Settings, in_steps
from pool.workers import QueueFullError, to_worker
from session.errors import StoreUnavailableError
from session.steps import Steps


@asynccontextmanager
async def running(waiting: int = 4) -> AsyncIterator[Large]:
    failures: list[tuple[str, Exception]] = []
    large = Large(Settings(waiting), lambda lane, error: failures.append((lane, error)))
    async with trio.open_nursery() as nursery:
        await nursery.start(large.run)
        yield large
        nursery.cancel_scope.cancel()
    assert not failures


def steps(number: int, done: list[str], name: str) -> Steps[int]:
    for _ in range(number):
        done.append(name)
        yield
    return number


async def job(number: int, done: list[str], name: str) -> None:
    await to_worker()
    assert await in_steps(steps(number, done, name)) == number


async def test_others_have_their_turn_after_each_step() -> None:
    async with running() as large:
        done: list[str] = []
        large.reading.start("t", job(5, done, "reads"))
        large.writing.start("t", job(5, done, "writes"))
        while done.count("reads") < 5:
            done.append("other")
            await trio.lowlevel.checkpoint()
        await large.drain()
    assert done.count("other") >= 4


async def test_one_message_is_read_at_a_time_and_tenants_take_turns() -> None:
    async with running(8) as large:
        done: list[str] = []
        for name in ("a1", "a2", "a3"):
            large.reading.start("a", job(3, done, name))
        large.reading.start("b", job(3, done, "b1"))
        await large.drain()
    assert done == [name for name in ("a1", "b1", "a2", "a3") for _ in range(3)]


async def test_too_many_are_refused_and_half_of_the_places_are_one_tenants() -> None:
    large = Large(Settings(4), lambda *_failure: None)
    done: list[str] = []
    for _ in range(2):
        large.reading.start("a", job(1, done, "a"))
    with pytest.raises(QueueFullError):
        large.reading.start("a", job(1, done, "a"))
    for _ in range(2):
        large.reading.start("b", job(1, done, "b"))
    with pytest.raises(QueueFullError):
        large.reading.start("c", job(1, done, "c"))
    assert large.reading.statistics().refused == 2
    async with trio.open_nursery() as nursery:
        await nursery.start(large.run)
        await large.drain()
        assert sorted(done) == ["a", "a", "b", "b"]
        nursery.cancel_scope.cancel()


async def test_work_that_is_cancelled_ends_where_it_is() -> None:
    done: list[str] = []
    with trio.CancelScope() as scope:
        work = steps(5, done, "a")
        next(work)
        scope.cancel()
        await in_steps(work)
    assert scope.cancelled_caught
    assert len(done) == 2


async def test_the_store_gets_what_comes_of_its_work_one_at_a_time() -> None:
    async with running() as large:
        done: list[str] = []
        promises = [large.store("t", steps(3, done, name)) for name in "ab"]
        assert [await promise for promise in promises] == [3, 3]
        assert done == ["a"] * 3 + ["b"] * 3


async def test_what_nobody_waits_for_is_done_one_after_the_other() -> None:
    async with running() as large:
        done: list[str] = []

        def streamed(name: str) -> Steps[None]:
            yield from steps(3, done, name)

        for name in "ab":
            large.beside(streamed(name))
        assert not done
        await large.drain()
        assert done == ["a"] * 3 + ["b"] * 3


async def test_the_store_gets_what_goes_wrong() -> None:
    def wrong() -> Steps[int]:
        yield
        raise ValueError("no JSON")

    async with running() as large:
        with pytest.raises(ValueError, match="no JSON"):
            await large.store("t", wrong())


async def test_work_that_the_store_waits_for_no_more_is_not_done() -> None:
    async with running() as large:
        done: list[str] = []
        first = large.store("t", steps(2, done, "first"))
        second = large.store("t", steps(2, done, "second"))
        second.abandon()
        await first
        await large.drain()
        assert done == ["first"] * 2


async def test_a_store_with_too_much_work_cannot_be_used_now() -> None:
    large = Large(Settings(), lambda *_failure: None)
    done: list[str] = []
    most = large.storing.settings.queue_per_lane
    for _ in range(most):
        large.store("t", steps(1, done, "a"))
    with pytest.raises(StoreUnavailableError, match="too many large values"):
        await large.store("t", steps(1, done, "a"))
    assert large.storing.statistics().refused == 1
    async with trio.open_nursery() as nursery:
        await nursery.start(large.run)
        await large.drain()
        nursery.cancel_scope.cancel()
    assert done == ["a"] * most
