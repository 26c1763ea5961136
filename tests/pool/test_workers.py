"""Jobs end alone, nothing is dropped, nothing leaks; every number comes back to its baseline."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.jobs import Step
from pool.promises import Promise
from pool.workers import (
    Job,
    QueueFullError,
    Settings,
    TooLateError,
    Workers,
    WorkerStatistics,
    to_worker,
)

SMALL = Settings(minimum=1, maximum=2, queue=4, queue_per_lane=3, idle_seconds=10)
Failures = list[tuple[str, Exception]]


class Bench:
    """Workers that run, and what they reported."""

    def __init__(self, limits: Settings) -> None:
        self.failures: Failures = []
        self.workers = Workers(
            limits, on_failure=lambda lane, error: self.failures.append((lane, error))
        )
        self.log: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[trio.Nursery]:
        """Run the workers for a while."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.workers.run)
            yield nursery
            nursery.cancel_scope.cancel()

    @property
    def now(self) -> WorkerStatistics:
        """The statistics."""
        return self.workers.statistics()

    async def note(self, *steps: str) -> None:
        """Write each step down, with a checkpoint between them."""
        await to_worker()
        for step in steps:
            self.log.append(step)
            await trio.lowlevel.checkpoint()

    async def note_at_once(self, step: str) -> None:
        """Write one step down in a worker, without waiting."""
        await to_worker()
        self.log.append(step)

    async def wait_for(self, event: trio.Event, step: str = "waited") -> None:
        """Hold a worker until something happens."""
        await to_worker()
        await event.wait()
        self.log.append(step)

    async def fail(self) -> None:
        """Fail in a worker."""
        await to_worker()
        await trio.lowlevel.checkpoint()
        raise KeyError("in a worker")


async def at_once(log: list[str]) -> None:
    log.append("done")


async def fail_at_once() -> None:
    raise KeyError("on the spot")


async def never_waits_properly() -> None:
    await trio.sleep(1)


def kinds(failures: Failures) -> list[tuple[str, type[Exception]]]:
    return [(lane, type(error)) for lane, error in failures]


# -- on the spot


def test_a_job_that_never_waits_needs_no_worker_and_no_event_loop() -> None:
    bench = Bench(SMALL)
    assert bench.workers.start("a", at_once(bench.log)) is None
    assert bench.log == ["done"]
    assert bench.now.on_the_spot == 1
    assert bench.now.queued == 0


def test_a_failure_on_the_spot_is_reported_and_not_raised() -> None:
    bench = Bench(SMALL)
    assert bench.workers.start("a", fail_at_once()) is None
    assert kinds(bench.failures) == [("a", KeyError)]
    assert bench.now.failed == 1


async def test_a_checkpoint_without_a_worker_is_reported_and_harms_nobody() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        job = never_waits_properly()
        assert bench.workers.start("a", job) is None
        assert inspect.getcoroutinestate(job) == inspect.CORO_CLOSED
        assert kinds(bench.failures) == [("a", RuntimeError)]
        bench.workers.start("a", bench.note("next"))
        await bench.workers.drain()
    assert bench.log == ["next"]


# -- with a worker


async def test_a_job_that_has_to_wait_goes_on_in_a_worker() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        job = bench.workers.start("a", bench.note("one", "two"))
        assert job is not None
        ended_before = job.done
        await bench.workers.drain()
        assert (ended_before, job.done) == (False, True)
    assert bench.log == ["one", "two"]
    assert bench.now.finished == 1


async def test_a_submitted_job_does_not_begin_on_the_spot() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        job = bench.workers.submit("a", at_once(bench.log))
        assert bench.log == []
        await bench.workers.drain()
        assert job.done
    assert bench.log == ["done"]


async def test_what_is_queued_before_the_workers_run_is_done_when_they_do() -> None:
    bench = Bench(SMALL)
    for number in range(3):
        bench.workers.start("a", bench.note(str(number)))
    assert bench.now.queued == 3
    async with bench.running():
        await bench.workers.drain()
    assert sorted(bench.log) == ["0", "1", "2"]


async def test_a_failure_in_a_worker_ends_that_job_only() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        for _ in range(3):
            bench.workers.start("a", bench.fail())
        bench.workers.start("b", bench.note("fine"))
        await bench.workers.drain()
        assert bench.now.workers >= SMALL.minimum
    assert kinds(bench.failures) == [("a", KeyError)] * 3
    assert bench.log == ["fine"]
    assert bench.now.failed == 3


async def test_a_job_may_open_scopes_and_nurseries_once_in_a_worker(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(SMALL)

    async def busy() -> None:
        await to_worker()
        with trio.move_on_after(1) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0.5)
                nursery.start_soon(trio.sleep_forever)
        bench.log.append(f"{scope.cancelled_caught} {trio.current_time() - begun:.1f}")

    begun = autojump_clock.current_time()
    async with bench.running():
        bench.workers.start("a", busy())
        await bench.workers.drain()
    assert bench.log == ["True 1.0"]


async def test_a_job_may_start_others() -> None:
    bench = Bench(SMALL)

    async def parent() -> None:
        bench.workers.start("a", at_once(bench.log))
        await to_worker()
        bench.workers.start("a", at_once(bench.log))
        bench.workers.start("a", bench.note("child"))
        bench.workers.submit("b", at_once(bench.log))

    async with bench.running():
        bench.workers.start("a", parent())
        await bench.workers.drain()
    assert sorted(bench.log) == ["child", "done", "done", "done"]


# -- fairness and bounds


async def test_a_burst_of_one_lane_does_not_delay_another() -> None:
    bench = Bench(Settings(minimum=1, maximum=1))
    for number in range(1000):
        bench.workers.start("busy", bench.note(f"b{number}"))
    bench.workers.start("calm", bench.note("c"))
    async with bench.running():
        await bench.workers.drain()
    assert bench.log.index("c") == 1
    assert len(bench.log) == 1001


async def test_a_long_queue_of_quick_jobs_does_not_starve_other_tasks() -> None:
    bench = Bench(Settings(minimum=1, maximum=1))
    done_between: list[int] = []
    async with bench.running():
        for _ in range(1000):
            bench.workers.start("a", bench.note_at_once("x"))
        while bench.now.queued:
            before = len(bench.log)
            await trio.lowlevel.checkpoint()
            done_between.append(len(bench.log) - before)
        assert max(done_between) <= 128
        # Nor does each of them take a turn of the event loop.
        assert len(done_between) < 100


async def test_what_has_no_room_is_refused_and_closed() -> None:
    bench = Bench(SMALL)
    begun = bench.note("never")
    fresh = at_once(bench.log)
    for _ in range(SMALL.queue_per_lane):
        bench.workers.start("a", bench.note("x"))
    with pytest.raises(QueueFullError, match="lane 'a'"):
        bench.workers.start("a", begun)
    bench.workers.start("b", bench.note("x"))
    with pytest.raises(QueueFullError, match="4 are already waiting in the queue"):
        bench.workers.submit("c", fresh)
    for job in (begun, fresh):
        assert inspect.getcoroutinestate(job) == inspect.CORO_CLOSED
    assert bench.now.refused == 2
    assert bench.now.lanes == 2
    # What needs no room is not refused.
    bench.workers.start("a", at_once(bench.log))
    assert bench.log == ["done"]
    async with bench.running():
        await bench.workers.drain()
        bench.workers.start("a", bench.note("room again"))
        await bench.workers.drain()
    assert bench.log == ["done", *["x"] * 4, "room again"]


async def test_a_job_that_waits_lets_others_come() -> None:
    """However many workers the waiting ones hold, the rest goes on up to the maximum."""
    bench = Bench(Settings(minimum=1, maximum=8))
    event = trio.Event()
    async with bench.running():
        for _ in range(7):
            bench.workers.start("a", bench.wait_for(event))
        for _ in range(20):
            bench.workers.start("b", bench.note("passed"))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.log == ["passed"] * 20
        assert bench.now.workers == 8
        assert bench.now.busy == 7
        event.set()
        await bench.workers.drain()


async def test_beyond_the_maximum_jobs_wait_their_turn() -> None:
    bench = Bench(SMALL)
    event = trio.Event()
    async with bench.running():
        for _ in range(5):
            with contextlib.suppress(QueueFullError):
                bench.workers.start("a", bench.wait_for(event))
            await trio.testing.wait_all_tasks_blocked()
        assert (bench.now.workers, bench.now.busy, bench.now.queued) == (2, 2, 3)
        event.set()
        await bench.workers.drain()
    assert bench.log == ["waited"] * 5


class Stepped(trio.abc.Instrument):
    """Counts the turns that tasks have."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count one."""
        del task
        self.steps += 1


async def test_many_quick_jobs_wake_one_worker() -> None:
    bench = Bench(Settings(minimum=8, maximum=8))
    async with bench.running():
        await trio.testing.wait_all_tasks_blocked()
        turns = Stepped()
        trio.lowlevel.add_instrument(turns)
        for _ in range(10):
            for _ in range(5):
                bench.workers.start("a", bench.note_at_once("x"))
            await bench.workers.drain()
        trio.lowlevel.remove_instrument(turns)
    assert bench.log == ["x"] * 50
    # One turn each of the worker, and at most two of this task, for five jobs.
    assert turns.steps <= 30


# -- growing and shrinking


async def test_workers_come_with_the_queue_and_go_when_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    limits = Settings(minimum=2, maximum=16, idle_seconds=10)
    bench = Bench(limits)
    async with bench.running():
        await trio.testing.wait_all_tasks_blocked()
        assert bench.now.workers == 2
        for _ in range(2):
            event = trio.Event()
            for _ in range(30):
                bench.workers.start("a", bench.wait_for(event))
            await trio.testing.wait_all_tasks_blocked()
            assert bench.now.workers == 16
            event.set()
            await bench.workers.drain()
            await trio.sleep(9)
            assert bench.now.workers == 16
            await trio.sleep(20)
            assert bench.now.workers == 2
        # At the minimum no timer is left.
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        bench.workers.start("a", bench.note("still here"))
        await bench.workers.drain()
    assert bench.log[-1] == "still here"
    assert bench.now.workers == 0


async def test_workers_that_are_needed_now_and_then_stay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who goes is counted by the fewest that were idle, not by who is idle now."""
    del autojump_clock
    bench = Bench(Settings(minimum=1, maximum=4, idle_seconds=10))
    async with bench.running():
        for _ in range(10):
            for _ in range(4):
                bench.workers.start("a", bench.note("x", "y"))
            await bench.workers.drain()
            await trio.sleep(4)
        assert bench.now.workers == 4


# -- cancelling


async def test_a_queued_job_that_is_cancelled_leaves_its_place_at_once() -> None:
    bench = Bench(SMALL)
    coroutine = bench.note("never")
    job = bench.workers.start("a", coroutine)
    assert job is not None
    job.cancel()
    job.cancel()
    assert job.done
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert (bench.now.queued, bench.now.cancelled) == (0, 1)
    fresh = bench.workers.submit("a", at_once(bench.log))
    fresh.cancel()
    async with bench.running():
        await bench.workers.drain()
    assert bench.log == []
    assert bench.failures == []
    assert bench.now.cancelled == 2


@pytest.mark.parametrize("checkpoint", range(4))
async def test_a_job_can_be_cancelled_at_each_of_its_checkpoints(checkpoint: int) -> None:
    bench = Bench(SMALL)
    handle: list[Job] = []

    async def steps() -> None:
        await to_worker()
        try:
            for step in range(4):
                if step == checkpoint:
                    handle[0].cancel()
                await trio.lowlevel.checkpoint()
                bench.log.append(str(step))
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            bench.log.append("cleaned up")

    async with bench.running():
        handle.append(bench.workers.submit("a", steps()))
        await bench.workers.drain()
        assert handle[0].done
        bench.workers.start("a", bench.note("next"))
        await bench.workers.drain()
    assert bench.log == [*map(str, range(checkpoint)), "cleaned up", "next"]
    assert (bench.now.cancelled, bench.now.finished) == (1, 1)
    assert bench.failures == []


async def test_a_job_that_ends_although_it_was_cancelled_has_finished() -> None:
    bench = Bench(SMALL)

    async def stubborn() -> None:
        await to_worker()
        handle[0].cancel()
        bench.log.append("done")

    handle: list[Job] = []
    async with bench.running():
        handle.append(bench.workers.submit("a", stubborn()))
        await bench.workers.drain()
    assert (bench.now.finished, bench.now.cancelled) == (1, 0)


async def test_a_job_that_fails_while_it_is_closed_is_reported() -> None:
    bench = Bench(SMALL)

    async def clings() -> None:
        try:
            await to_worker()
        finally:
            await to_worker()
            await trio.lowlevel.checkpoint()

    async def stumbles() -> None:
        try:
            await to_worker()
        finally:
            raise KeyError("while closing")

    for coroutine in (clings(), stumbles()):
        job = bench.workers.start("a", coroutine)
        assert job is not None
        job.cancel()
    assert kinds(bench.failures) == [("a", RuntimeError), ("a", KeyError)]
    assert bench.now.queued == 0


# -- deadlines


async def test_a_job_is_cancelled_at_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(SMALL)
    async with bench.running():
        deadline = autojump_clock.current_time() + 5
        job = bench.workers.start("a", bench.wait_for(trio.Event()), deadline=deadline)
        bench.workers.start("b", bench.note("x"), deadline=deadline)
        await bench.workers.drain()
        assert trio.current_time() == pytest.approx(deadline)
        assert job is not None
        assert job.done
    assert kinds(bench.failures) == [("a", TooLateError)]
    assert "wait_for had not ended by its deadline" in str(bench.failures[0][1])
    assert (bench.now.late, bench.now.finished, bench.now.failed) == (1, 1, 0)


async def test_a_job_still_queued_at_its_deadline_is_not_taken_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(Settings(minimum=1, maximum=1))
    event = trio.Event()
    coroutine = bench.note("never")
    async with bench.running():
        bench.workers.start("a", bench.wait_for(event))
        bench.workers.start("a", coroutine, deadline=autojump_clock.current_time() + 1)
        await trio.sleep(2)
        event.set()
        await bench.workers.drain()
    assert bench.log == ["waited"]
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert kinds(bench.failures) == [("a", TooLateError)]
    assert bench.now.late == 1


# -- shutting down


async def test_draining_waits_for_all_there_is_and_all_that_comes() -> None:
    bench = Bench(SMALL)
    event = trio.Event()
    drained: list[str] = []

    async def drain(name: str) -> None:
        await bench.workers.drain()
        drained.append(name)

    async with bench.running() as nursery:
        await bench.workers.drain()
        bench.workers.start("a", bench.wait_for(event))
        nursery.start_soon(drain, "one")
        nursery.start_soon(drain, "two")
        await trio.testing.wait_all_tasks_blocked()
        assert drained == []
        bench.workers.start("a", bench.wait_for(event, "late comer"))
        event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(drained) == ["one", "two"]
    assert bench.log == ["waited", "late comer"]


async def test_draining_ends_when_the_last_job_is_cancelled() -> None:
    bench = Bench(SMALL)
    job = bench.workers.submit("a", at_once(bench.log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.workers.drain)
        await trio.testing.wait_all_tasks_blocked()
        job.cancel()
    assert bench.log == []


async def test_cancelling_a_drain_changes_nothing() -> None:
    bench = Bench(SMALL)
    event = trio.Event()
    async with bench.running():
        with trio.CancelScope() as before:
            before.cancel()
            await bench.workers.drain()
        assert before.cancelled_caught
        bench.workers.start("a", bench.wait_for(event))
        with trio.CancelScope() as during:
            event_loop = trio.lowlevel.current_trio_token()
            event_loop.run_sync_soon(during.cancel)
            await bench.workers.drain()
        assert during.cancelled_caught
        event.set()
        await bench.workers.drain()
    assert bench.log == ["waited"]


async def test_workers_that_were_stopped_close_what_waits_and_accept_no_more() -> None:
    bench = Bench(Settings(minimum=1, maximum=1))
    coroutines = [bench.wait_for(trio.Event()) for _ in range(3)]
    async with bench.running():
        jobs = [bench.workers.submit("a", coroutine) for coroutine in coroutines]
        await trio.testing.wait_all_tasks_blocked()
    assert all(job.done for job in jobs)
    assert {inspect.getcoroutinestate(each) for each in coroutines} == {inspect.CORO_CLOSED}
    assert (bench.now.cancelled, bench.now.queued, bench.now.workers) == (3, 0, 0)
    with pytest.raises(QueueFullError, match="nothing more is accepted"):
        bench.workers.start("a", bench.note("never"))
    bench.workers.start("a", at_once(bench.log))
    assert bench.log == ["done"]
    # Nobody waits for what will not come.
    await bench.workers.drain()


class CutAt(trio.abc.Instrument):
    """Cancels a scope once the whole run has taken so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.scope = trio.CancelScope()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        del task
        self.steps -= 1
        if self.steps == 0:
            self.scope.cancel()


async def cut_short(bench: Bench, cut: CutAt, coroutines: list[Step]) -> None:
    """Run every kind of job, until the cut."""
    fresh = at_once(bench.log)
    coroutines += [
        *(bench.note("1", "2", "3") for _ in range(3)),
        bench.fail(),
        bench.note_at_once("x"),
        bench.wait_for(trio.Event()),
        fresh,
    ]
    with cut.scope:
        async with bench.running():
            for number, coroutine in enumerate(coroutines[:-1]):
                bench.workers.start("ab"[number % 2], coroutine)
            bench.workers.submit("c", fresh, deadline=math.inf)
            await bench.workers.drain()
    for coroutine in coroutines:
        # Those that the cut kept from being started.
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()


def test_wherever_the_run_is_cut_nothing_is_left() -> None:
    """Cancel at each step that any task takes, until there is none left to cut."""
    for steps in range(1, 200):
        cut = CutAt(steps)
        bench = Bench(Settings(minimum=1, maximum=3))
        coroutines: list[Step] = []
        run = partial(cut_short, bench, cut, coroutines)
        with contextlib.suppress(trio.TooSlowError):
            trio.run(
                _bounded, run, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[cut]
            )
        states = {inspect.getcoroutinestate(each) for each in coroutines}
        assert states <= {inspect.CORO_CLOSED}
        now = bench.now
        assert (now.workers, now.busy, now.queued, now.lanes) == (0, 0, 0, 0)
        assert now.finished + now.failed + now.cancelled in (0, len(coroutines))
        if cut.steps > 0:
            break
    else:
        pytest.fail("the run never ended")
    gc.collect()


async def _bounded(run: Callable[[], Awaitable[None]]) -> None:
    """Give up on a run that was not cut and waits for ever."""
    with trio.fail_after(60):
        await run()


# -- everything together

KINDS = ["at once", "fails at once", "quick", "long", "fails", "sleeps"]
OPERATIONS = st.lists(
    st.tuples(
        st.just("start"),
        st.sampled_from("abc"),
        st.sampled_from(KINDS),
        st.sampled_from([math.inf, 0.5, 3.0]),
    )
    | st.tuples(st.just("cancel"), st.integers(0, 30), st.just(""), st.just(0.0))
    | st.tuples(st.just("wait"), st.integers(0, 3), st.just(""), st.just(0.0)),
    max_size=40,
)


class Replay:
    """Counts what should become of jobs beside what does."""

    def __init__(self) -> None:
        self.bench = Bench(
            Settings(minimum=1, maximum=3, queue=8, queue_per_lane=4, idle_seconds=1)
        )
        self.outcomes: Counter[str] = Counter()
        self.jobs: list[Job | None] = []

    async def job(self, kind: str) -> None:
        """Do what the kind says, and count the end of it."""
        try:
            await self._do(kind)
        except (trio.Cancelled, GeneratorExit):
            self.outcomes["stopped"] += 1
            raise
        except KeyError:
            self.outcomes["failed"] += 1
            raise
        self.outcomes["ended"] += 1

    async def _do(self, kind: str) -> None:
        if kind == "at once":
            return
        if kind == "fails at once":
            raise KeyError(kind)
        await to_worker()
        if kind == "long":
            for _ in range(3):
                await trio.lowlevel.checkpoint()
        elif kind == "sleeps":
            await trio.sleep(2)
        elif kind == "fails":
            await trio.lowlevel.checkpoint()
            raise KeyError(kind)

    async def run(self, operations: list[tuple[str, str | int, str, float]]) -> None:
        """Do all that, drain, and compare."""
        asked = 0
        async with self.bench.running():
            before = dataclasses.replace(self.bench.now, workers=0)
            for name, which, kind, seconds in operations:
                if name == "start":
                    asked += 1
                    deadline = trio.current_time() + seconds
                    with contextlib.suppress(QueueFullError):
                        coroutine = self.job(kind)
                        self.jobs.append(
                            self.bench.workers.start(str(which), coroutine, deadline=deadline)
                        )
                elif name == "wait":
                    await trio.sleep(float(which))
                elif int(which) < len(self.jobs):
                    job = self.jobs[int(which)]
                    if job is not None:
                        job.cancel()
            with trio.fail_after(1000):
                await self.bench.workers.drain()
        now = self.bench.now
        assert sum(self.outcomes.values()) == asked
        assert now.on_the_spot + now.finished == self.outcomes["ended"]
        assert now.failed == self.outcomes["failed"]
        assert now.late + now.cancelled + now.refused == self.outcomes["stopped"]
        assert all(job is None or job.done for job in self.jobs)
        assert (now.workers, now.busy, now.queued, now.lanes) == (
            before.workers,
            before.busy,
            before.queued,
            before.lanes,
        )


@settings(deadline=None)
@given(OPERATIONS)
def test_every_job_ends_once_and_is_counted_once(
    operations: list[tuple[str, str | int, str, float]],
) -> None:
    trio.run(Replay().run, operations, clock=trio.testing.MockClock(autojump_threshold=0))


# -- settings


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"minimum \(5\) must not exceed maximum \(4\)"):
        Settings(minimum=5, maximum=4)


# -- parked


async def hear(bench: Bench, promise: Promise[str], *, then_work: bool = False) -> None:
    """Wait for a promise, write down what it was, and perhaps go on in a worker."""
    try:
        bench.log.append(await promise)
    except KeyError as error:
        bench.log.append(f"failed {error}")
    except GeneratorExit:
        bench.log.append("closed")
        raise
    if then_work:
        try:
            await to_worker()
        except QueueFullError:
            bench.log.append("refused")
            return
        await trio.lowlevel.checkpoint()
        bench.log.append("worked")


def test_a_job_that_waits_for_a_promise_goes_on_where_it_is_set() -> None:
    """Without workers, tasks or an event loop."""
    bench = Bench(SMALL)
    one, other = Promise[str](), Promise[str]()

    async def both() -> None:
        await hear(bench, one)
        await hear(bench, other)

    job = bench.workers.start("a", both())
    assert job is not None
    assert bench.now.parked == 1
    one.set("one")
    assert bench.log == ["one"]
    assert bench.now.parked == 1
    other.fail(KeyError("x"))
    assert bench.log == ["one", "failed 'x'"]
    assert (bench.now.parked, bench.now.on_the_spot) == (0, 1)
    assert job.done
    job.cancel()
    assert bench.now.cancelled == 0


def test_what_a_parked_job_raises_ends_at_its_boundary() -> None:
    bench = Bench(SMALL)
    promise = Promise[str]()

    async def fail() -> None:
        await promise
        raise KeyError("x")

    async def never_waits() -> None:
        await promise
        await trio.sleep(1)

    bench.workers.start("a", fail())
    promise.set("x")
    assert kinds(bench.failures) == [("a", KeyError)]
    assert (bench.now.parked, bench.now.failed) == (0, 1)


async def test_a_parked_job_that_reaches_a_checkpoint_is_closed() -> None:
    bench = Bench(SMALL)
    promise = Promise[str]()

    async def never_waits_properly_later() -> None:
        await promise
        await trio.sleep(1)

    bench.workers.start("a", never_waits_properly_later())
    promise.set("x")
    assert kinds(bench.failures) == [("a", RuntimeError)]
    await trio.lowlevel.checkpoint()


def test_a_parked_job_is_cancelled_at_once_and_its_promise_abandoned() -> None:
    bench = Bench(SMALL)
    promise = Promise[str]()
    job = bench.workers.start("a", hear(bench, promise))
    assert job is not None
    job.cancel()
    assert bench.log == ["closed"]
    assert (bench.now.parked, bench.now.cancelled) == (0, 1)
    assert promise.done
    promise.set("late")
    promise.fail(KeyError("late"))
    assert bench.log == ["closed"]


def test_a_job_that_cancels_itself_is_closed_when_it_stops() -> None:
    bench = Bench(SMALL)
    one, other = Promise[str](), Promise[str]()
    jobs: list[Job | None] = []

    async def cancel_myself() -> None:
        await one
        assert jobs[0] is not None
        jobs[0].cancel()
        await hear(bench, other)

    jobs.append(bench.workers.start("a", cancel_myself()))
    one.set("x")
    assert bench.log == ["closed"]
    assert (bench.now.parked, bench.now.cancelled) == (0, 1)


async def test_a_parked_job_goes_on_in_a_worker() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        promise = Promise[str]()
        bench.workers.start("a", hear(bench, promise, then_work=True))
        promise.set("set")
        assert bench.now.queued == 1
        await bench.workers.drain()
        assert bench.log == ["set", "worked"]
        assert (bench.now.finished, bench.now.on_the_spot) == (1, 0)


async def test_a_parked_job_without_room_for_a_worker_is_told() -> None:
    bench = Bench(SMALL)
    blocker = trio.Event()
    async with bench.running():
        promise = Promise[str]()
        bench.workers.start("a", hear(bench, promise, then_work=True))
        for _ in range(SMALL.queue_per_lane):
            bench.workers.submit("a", bench.wait_for(blocker))
        promise.set("set")
        assert bench.log == ["set", "refused"]
        assert (bench.now.refused, bench.now.parked) == (1, 0)
        blocker.set()


async def test_draining_waits_for_parked_jobs() -> None:
    bench = Bench(SMALL)
    async with bench.running() as nursery:
        promise = Promise[str]()
        bench.workers.start("a", hear(bench, promise))
        drained = trio.Event()

        async def drain() -> None:
            await bench.workers.drain()
            drained.set()

        nursery.start_soon(drain)
        await trio.testing.wait_all_tasks_blocked()
        assert not drained.is_set()
        promise.set("set")
        await drained.wait()


async def test_parked_jobs_are_closed_when_the_workers_are_cancelled() -> None:
    bench = Bench(SMALL)
    async with bench.running():
        bench.workers.start("a", hear(bench, Promise[str]()))
    assert bench.log == ["closed"]
    assert (bench.now.parked, bench.now.cancelled) == (0, 1)


async def test_a_parked_job_ends_at_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(SMALL)
    async with bench.running():
        now = trio.current_time()
        promise = Promise[str]()
        bench.workers.start("a", hear(bench, promise), deadline=now + 5)
        bench.workers.start("a", hear(bench, Promise[str]()), deadline=now + 1)
        await trio.sleep(2)
        assert bench.log == ["closed"]
        assert kinds(bench.failures) == [("a", TooLateError)]
        assert (bench.now.parked, bench.now.late) == (1, 1)
        promise.set("in time")
        await trio.sleep(10)
        assert bench.log == ["closed", "in time"]
        assert bench.now.late == 1
