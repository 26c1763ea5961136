"""An idle process sleeps until its next deadline, and nobody can tell but by its CPU."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pool.ticker import TICK_SECONDS, Ticker
from pool.timers import Timers


class Counter(trio.abc.Instrument):
    """Counts how often the process woke up."""

    def __init__(self) -> None:
        self.wakes = 0

    def after_io_wait(self, timeout: float) -> None:
        self.wakes += timeout > 0


class Clock:
    """A ticker as `pool.connections` uses it, and when it came back from its sleeps."""

    def __init__(self) -> None:
        self.timers: Timers[Callable[[], None]] = Timers(trio.current_time())
        self.ticker = Ticker(self.timers)
        self.ticks: list[float] = []
        self.lags: list[float] = []
        self.ticked = trio.Event()

    async def run(self) -> None:
        while True:
            self.lags.append(await self.ticker.sleep())
            now = trio.current_time()
            self.ticks.append(now)
            for callback in self.timers.due(now):
                callback()
            self.ticked.set()
            self.ticked = trio.Event()


def nothing() -> None:
    """Be due."""


def instruments() -> int:
    """Return how many listen to what happens in this run of Trio."""
    return len(trio.lowlevel.current_task()._runner.instruments["_all"])


async def test_while_nothing_happens_nothing_wakes_up(nursery: trio.Nursery) -> None:
    clock = Clock()
    counter = Counter()
    nursery.start_soon(clock.run)
    trio.lowlevel.add_instrument(counter)
    await trio.sleep(20 * TICK_SECONDS)
    # Its own end has happened, and perhaps its beginning with a tick that followed it.
    assert counter.wakes <= 3
    assert len(clock.ticks) <= 1


async def test_a_tick_follows_the_first_thing_that_happens(nursery: trio.Nursery) -> None:
    clock = Clock()
    nursery.start_soon(clock.run)
    await trio.sleep(3 * TICK_SECONDS)
    asleep = trio.current_time()
    await trio.sleep(5 * TICK_SECONDS)
    # It was told the time of this event, and not that of the last tick.
    told = clock.timers.now()
    assert told >= asleep + 5 * TICK_SECONDS
    with trio.fail_after(10):
        await clock.ticked.wait()
    assert clock.ticks[-1] >= told + TICK_SECONDS


@pytest.mark.parametrize("delay", [0.0, TICK_SECONDS / 2, 3 * TICK_SECONDS])
async def test_what_is_armed_while_it_sleeps_comes_due_in_time(
    nursery: trio.Nursery, delay: float
) -> None:
    clock, done = Clock(), trio.Event()
    nursery.start_soon(clock.run)
    clock.timers.arm(1000.0, nothing)
    await wait_all_tasks_blocked()
    await trio.sleep(2.5 * TICK_SECONDS)
    armed = trio.current_time()
    clock.timers.arm(delay, done.set)
    with trio.fail_after(10):
        await done.wait()
    assert trio.current_time() - armed >= delay


class Behind(trio.abc.Instrument):
    """Arms a deadline right after the step in which the ticker went to sleep."""

    def __init__(self, clock: Clock, item: Callable[[], None]) -> None:
        self.clock = clock
        self.item = item

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.clock.ticks and task.name.endswith("Clock.run"):
            trio.lowlevel.remove_instrument(self)
            self.clock.timers.arm(TICK_SECONDS, self.item)


async def test_who_arms_just_after_the_tick_is_heard(nursery: trio.Nursery) -> None:
    """Nothing else happens after it: the sleep has begun, and no wait for events has."""
    clock, done = Clock(), trio.Event()
    nursery.start_soon(clock.run)
    with trio.fail_after(10):
        await trio.sleep(TICK_SECONDS)
        await clock.ticked.wait()
        trio.lowlevel.add_instrument(Behind(clock, done.set))
        await done.wait()


async def test_a_stall_is_told(nursery: trio.Nursery) -> None:
    clock = Clock()
    nursery.start_soon(clock.run)
    await trio.sleep(3 * TICK_SECONDS)
    until = trio.current_time() + 4 * TICK_SECONDS
    while trio.current_time() < until:
        pass
    with trio.fail_after(10):
        await clock.ticked.wait()
    assert clock.lags[-1] >= 2 * TICK_SECONDS


async def test_sleep_is_no_lag(nursery: trio.Nursery) -> None:
    clock = Clock()
    nursery.start_soon(clock.run)
    await trio.sleep(12 * TICK_SECONDS)
    with trio.fail_after(10):
        await clock.ticked.wait()
    assert max(clock.lags) < 6 * TICK_SECONDS


async def test_what_was_left_from_before_is_no_lag() -> None:
    timers: Timers[Callable[[], None]] = Timers(trio.current_time() - 1000.0)
    timers.arm_now(nothing)
    assert await Ticker(timers).sleep() < 500.0


async def test_what_is_due_as_it_is_armed_is_no_lag() -> None:
    # With ticks of a thousand seconds the present one began long ago.
    timers: Timers[Callable[[], None]] = Timers(trio.current_time(), 1000.0)
    async with trio.open_nursery() as sleeping:

        async def sleep() -> None:
            assert await Ticker(timers).sleep() < 6 * TICK_SECONDS

        sleeping.start_soon(sleep)
        await trio.sleep(12 * TICK_SECONDS)
        timers.arm_now(nothing)


async def test_a_cancelled_sleep_leaves_nobody_listening() -> None:
    before = instruments()
    clock = Clock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert instruments() == before
    # Nobody sleeps who could be woken.
    clock.timers.arm(0.0, nothing)
    assert clock.timers.next_due() is not None
