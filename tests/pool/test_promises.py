"""One value that comes later, for a task that waits for it; jobs are in `test_workers`."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pool.promises import Promise, Waiter


class Noting(Waiter):
    """Somebody without a task, who counts."""

    def __init__(self) -> None:
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


async def test_what_is_there_already_is_not_waited_for() -> None:
    promise = Promise[int]()
    promise.set(1)
    assert promise.done
    assert await promise == 1
    failed = Promise[int]()
    failed.fail(KeyError("x"))
    with pytest.raises(KeyError):
        await failed


async def test_a_task_waits() -> None:
    one, other = Promise[int](), Promise[int]()
    heard: list[object] = []

    async def wait() -> None:
        heard.append(await one)
        with pytest.raises(KeyError):
            await other
        heard.append("failed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        one.set(1)
        # Not before its turn.
        assert heard == []
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [1]
        other.fail(KeyError("x"))
    assert heard == [1, "failed"]


async def test_a_second_one_may_not_wait() -> None:
    promise = Promise[int]()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await promise == 1

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="somebody else"):
            await promise
        promise.set(1)


async def test_a_promise_that_nobody_waits_for_any_more_is_abandoned() -> None:
    promise = Promise[int]()
    with trio.move_on_after(0):
        await promise
    assert promise.done
    promise.set(1)
    promise.fail(KeyError("x"))
    with pytest.raises(trio.ClosedResourceError):
        await promise


async def test_whoever_only_looks_when_it_is_done_leaves_it_to_others() -> None:
    promise = Promise[int]()
    with trio.move_on_after(0) as scope:
        await promise.wait_done()
    assert scope.cancelled_caught
    assert not promise.done
    async with trio.open_nursery() as nursery:
        nursery.start_soon(promise.wait_done)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="somebody else"):
            await promise.wait_done()
        promise.set(1)
    await promise.wait_done()
    assert await promise == 1


def test_who_is_parked_goes_on_once() -> None:
    promise = Promise[int]()
    waiter = Noting()
    promise.park(waiter)
    promise.set(1)
    promise.set(2)
    promise.fail(KeyError("x"))
    assert waiter.resumed == 1
