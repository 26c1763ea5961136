"""Which other tasks could go on."""

import trio
import trio.testing

from pool.runnable import Runnable


async def test_a_task_could_go_on_from_when_it_is_scheduled_until_it_does(
    nursery: trio.Nursery,
) -> None:
    runnable = Runnable()
    event = trio.Event()
    nursery.start_soon(event.wait)
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(runnable)
    assert runnable.tasks == set()
    event.set()
    assert [task.coro.__qualname__ for task in runnable.tasks] == ["Event.wait"]
    await trio.testing.wait_all_tasks_blocked()
    assert runnable.tasks == set()
    trio.lowlevel.remove_instrument(runnable)
