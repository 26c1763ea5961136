"""Coroutines that begin on the spot and go on in a task."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator

import pytest
import trio
import trio.testing

from pool.jobs import Job, JobOwner, Rest, Step, TooLateError, begin, go_on, name_of, to_worker


def begun(job: Step) -> Rest | None:
    """Begin a job; return what is left of it for a worker, if anything is."""
    stop = begin(job)
    if stop is None:
        return None
    assert stop[1] is None
    return stop[0]


def nobody() -> None:
    """Called before each wait, when nobody cares."""


async def in_a_task(job: Rest) -> None:
    """Be a task that a job goes on in."""
    await go_on(job, nobody)


async def note(log: list[str], *steps: str) -> None:
    """Write the first step down, ask for a worker, then do the rest with checkpoints."""
    log.append(steps[0])
    if len(steps) > 1:
        await to_worker()
    for step in steps[1:]:
        await trio.lowlevel.checkpoint()
        log.append(step)


def test_a_job_that_never_waits_ends_where_it_begins() -> None:
    log: list[str] = []
    job = note(log, "all")
    assert begun(job) is None
    assert log == ["all"]
    assert inspect.getcoroutinestate(job) == inspect.CORO_CLOSED


async def test_a_job_that_waits_goes_on_in_another_task() -> None:
    log: list[str] = []
    rest = begun(note(log, "here", "there", "done"))
    assert rest is not None
    assert log == ["here"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_a_task, rest)
    assert log == ["here", "there", "done"]


async def test_a_job_can_begin_in_its_task() -> None:
    log: list[str] = []
    await go_on(note(log, "one", "two"), nobody)
    assert log == ["one", "two"]


async def test_where_waiting_is_possible_the_job_just_goes_on() -> None:
    """In any task, and in a task whose code has just begun another job."""
    log: list[str] = []
    await note(log, "one", "two")
    rest = begun(note(log, "begun", "finished"))
    assert rest is not None
    await to_worker()
    await go_on(rest, nobody)
    assert log == ["one", "two", "begun", "finished"]


def test_a_job_may_begin_another() -> None:
    rests: list[Rest | None] = []
    log: list[str] = []

    async def outer() -> None:
        rests.append(begun(note(log, "inner", "never")))
        # Still on the spot: the outer one has to be handed over, too.
        await to_worker()

    rests.append(begun(outer()))
    assert log == ["inner"]
    for rest in rests:
        assert rest is not None
        rest.close()


def test_a_carrier_carries_one_job_after_the_other() -> None:
    """Whatever became of the one before: ended, failed or waiting."""

    async def fail() -> None:
        raise KeyError("x")

    log: list[str] = []
    for _ in range(3):
        assert begun(note(log, "ends")) is None
        with pytest.raises(KeyError):
            begun(fail())
        rest = begun(note(log, "waits", "never"))
        assert rest is not None
        rest.close()
    assert log == ["ends", "waits"] * 3


def test_another_thread_is_another_place() -> None:
    """A job on the spot here does not make a task over there look like one."""
    waited: list[str] = []

    async def outer() -> None:
        thread = threading.Thread(target=lambda: trio.run(note, waited, "one", "two"))
        thread.start()
        thread.join()

    assert begun(outer()) is None
    assert waited == ["one", "two"]


def test_what_a_job_raises_on_the_spot_is_the_callers() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        begun(fail())


async def _sleep() -> None:
    await trio.sleep(1)


async def _checkpoint() -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("job", [_sleep, _checkpoint])
async def test_waiting_without_a_worker_is_a_clear_error(job: Callable[[], Step]) -> None:
    coroutine = job()
    with pytest.raises(
        RuntimeError, match=f"^{job.__name__} reached a checkpoint without a worker"
    ):
        begun(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


async def test_waiting_without_a_worker_does_not_wake_the_caller_later() -> None:
    """The event would wake the task that began the job, wherever that waits by then."""
    event = trio.Event()
    with pytest.raises(RuntimeError, match="without a worker"):
        begun(event.wait())
    assert event.statistics().tasks_waiting == 0


async def test_before_each_wait_somebody_is_told() -> None:
    told: list[int] = []
    await go_on(note([], "a", "b", "c"), lambda: told.append(1))
    assert len(told) == 2


async def test_cancellation_and_deadlines_reach_a_job_that_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log: list[str] = []

    async def wait() -> None:
        await to_worker()
        with trio.move_on_after(1):
            await trio.sleep_forever()
        log.append("moved on")
        try:
            await trio.sleep_forever()
        finally:
            log.append("cancelled")

    rest = begun(wait())
    assert rest is not None
    with trio.move_on_after(5) as scope:
        await go_on(rest, nobody)
    assert scope.cancelled_caught
    assert log == ["moved on", "cancelled"]
    assert trio.current_time() == pytest.approx(5)
    del autojump_clock


async def test_a_job_hears_the_value_it_waited_for() -> None:
    received: list[str] = []
    send, receive = trio.open_memory_channel[str](0)

    async def listen() -> None:
        await to_worker()
        received.append(await receive.receive())

    rest = begun(listen())
    assert rest is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_a_task, rest)
        await send.send("hello")
    assert received == ["hello"]
    receive.close()
    send.close()


def test_what_is_thrown_in_reaches_the_job() -> None:
    """Trio closes the tasks of a run that crashed; the job in one is closed with it."""
    closed: list[str] = []

    class Trap:
        def __await__(self) -> Generator[object, object, None]:
            yield "waiting"

    async def wait() -> None:
        try:
            await Trap()
        except GeneratorExit:
            closed.append("closed")
            raise

    generator = go_on(wait(), nobody)
    assert generator.send(None) == "waiting"
    generator.close()
    assert closed == ["closed"]


class Owner(JobOwner):
    """Notes which jobs it is asked to end, and to go on with."""

    def __init__(self) -> None:
        self.withdrawn: list[Job] = []

    def withdraw(self, job: Job) -> None:
        self.withdrawn.append(job)

    def go_on(self, job: Job) -> None:
        raise AssertionError


async def test_a_job_is_cancelled_once_and_only_while_it_lives() -> None:
    owner = Owner()
    coroutine = note([], "x")
    job = Job("lane", coroutine, coroutine, 0.0, owner)
    job.cancel()
    job.cancel()
    assert owner.withdrawn == [job]
    coroutine.close()

    step = note([], "x")
    ended = Job("lane", step, step, 0.0, owner)
    ended.done = True
    ended.cancel()
    assert not ended.cancelled
    ended.rest.close()


async def test_cancelling_a_job_in_a_worker_cancels_its_scope() -> None:
    step = note([], "x")
    job = Job("lane", step, step, 0.0, Owner())
    job.scope = trio.CancelScope()
    job.cancel()
    assert job.scope.cancel_called
    job.rest.close()


async def test_names_are_for_people() -> None:
    coroutine = note([], "x")
    assert name_of(coroutine) == "note"
    assert str(TooLateError(name_of(coroutine))) == "note had not ended by its deadline"
    await coroutine
