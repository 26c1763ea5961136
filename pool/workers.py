"""The bounded worker nursery: jobs that may wait, without a task for each.

A job is a coroutine. `Workers.start` runs it where it is called, as far as it
goes without waiting, which for most is to the end: no task, no queue, no turn of
the event loop. Only one that says it has to wait (`to_worker`) is handed to a
worker, which goes on with it where it stopped. One that waits for a promise is parked
without a worker: what parks is bounded by whoever makes the promises, as each of them
takes a place there (commands to a server, by the bound on those that are in flight).

A job that fails, is too late or is cancelled ends alone. What has no room is
refused with `QueueFullError`, never dropped; lanes (tenants) take turns, so that a
burst of one does not delay another. Jobs are steps, not waits: who waits for a
person must not hold a worker.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Final, final

import trio

from pool.fair_queue import FairQueue, QueueFullError
from pool.jobs import Job, JobOwner, Step, TooLateError, begin, go_on, name_of, resume, to_worker
from pool.parking import Parking
from pool.settings import setting

__all__ = [
    "Job",
    "QueueFullError",
    "Settings",
    "TooLateError",
    "WorkerStatistics",
    "Workers",
    "to_worker",
]

OnFailure = Callable[[str, Exception], None]

# Jobs that a worker does before Trio gets its turn; a step takes some 20 us.
_JOBS_PER_TURN: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How many workers there are, and how much may wait for them."""

    minimum: int = setting(4, "Workers that are always there.", unit="workers", minimum=1)
    maximum: int = setting(
        256, "Workers under load, each with one job at a time.", unit="workers", minimum=1
    )
    queue: int = setting(
        10_000, "Jobs that may wait for a worker; more are refused.", unit="jobs", minimum=1
    )
    queue_per_lane: int = setting(
        5_000, "Jobs of one tenant that may wait for a worker.", unit="jobs", minimum=1
    )
    idle_seconds: float = setting(
        10.0,
        "How long workers beyond the minimum stay without work.",
        unit="seconds",
        minimum=0.1,
    )

    def __post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        if self.minimum > self.maximum:
            raise ValueError(
                f"workers: minimum ({self.minimum}) must not exceed maximum ({self.maximum})"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """The workers now, and what became of jobs so far.

    ``on_the_spot`` counts jobs that ended well without a worker, ``finished`` those
    that did with one; ``parked`` are those that wait for a promise now.
    """

    workers: int
    busy: int
    queued: int
    parked: int
    lanes: int
    on_the_spot: int
    finished: int
    failed: int
    late: int
    cancelled: int
    refused: int


@final
class Workers(JobOwner):
    """Runs jobs: on the spot as far as they go, then in a bounded set of workers.

    Args:
        settings: the bounds.
        on_failure: told the lane and the error of each job that failed or was too
            late. It must not raise.
    """

    def __init__(self, settings: Settings, *, on_failure: OnFailure) -> None:
        self.settings = settings
        self._on_failure = on_failure
        self._queue: FairQueue[Job] = FairQueue(settings.queue, settings.queue_per_lane)
        self._nursery: trio.Nursery | None = None
        # Workers without work, longest idle first; the last one is woken first.
        self._idle: dict[trio.lowlevel.Task, None] = {}
        self._parked = Parking()
        self._workers = 0
        # Workers that were woken or made and have not come for work yet.
        self._coming = 0
        # Idle workers that are to go, and the fewest that were idle lately.
        self._surplus = 0
        self._fewest_idle = 0
        self._grown = trio.Event()
        self._all_done: trio.Event | None = None
        self._busy = 0
        self._on_the_spot = 0
        self._finished = 0
        self._failed = 0
        self._late = 0
        self._cancelled = 0
        self._refused = 0

    def start(self, lane: str, job: Step, *, deadline: float = math.inf) -> Job | None:
        """Run ``job`` here until it ends, is parked or awaits `to_worker`.

        ``deadline`` is on Trio's clock: a worker cancels the job then, a parked one is
        closed, and a queued one is not taken up. ``on_failure`` hears a `TooLateError`.
        Returns ``None`` when the job has ended already, well or not.

        Raises:
            QueueFullError: it has to wait for a worker and there is no room. It was
                closed; what it did before it had to wait is done.
        """
        try:
            stop = begin(job)
        except Exception as error:  # noqa: BLE001 - the job boundary, on the spot
            self._fail(lane, error)
            return None
        if stop is None:
            self._on_the_spot += 1
            return None
        rest, promise = stop
        stopped = Job(lane, job, rest, deadline, self)
        if promise is None:
            return self._enqueue(stopped)
        self._parked.enter(stopped, promise)
        return stopped

    def submit(self, lane: str, job: Step, *, deadline: float = math.inf) -> Job:
        """Queue ``job`` for a worker without running any of it here.

        Raises:
            QueueFullError: there is no room. It was closed.
        """
        return self._enqueue(Job(lane, job, job, deadline, self))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the workers until cancelled. What was queued before is taken up first.

        Once cancelled, jobs that still wait are closed, parked ones too, and no more
        are accepted.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for _ in range(self.settings.minimum):
                    self._hire(nursery)
                nursery.start_soon(self._parked.end_late_ones, self._end_late)
                task_status.started()
                await self._dismiss_surplus()
        finally:
            self._nursery = None
            self._queue.close()
            while (job := self._queue.get_nowait() or self._parked.take()) is not None:
                self._end_unfinished(job)

    async def drain(self) -> None:
        """Wait until no job is queued, parked or with a worker.

        New ones are accepted meanwhile, as the last steps of what is shut down may be
        among them: first stop what starts jobs, and bound this wait.
        """
        await trio.lowlevel.checkpoint()
        while self._queue or self._busy or self._parked:
            if self._all_done is None:
                self._all_done = trio.Event()
            await self._all_done.wait()

    def statistics(self) -> WorkerStatistics:
        """Return the numbers now."""
        return WorkerStatistics(
            workers=self._workers,
            busy=self._busy,
            queued=len(self._queue),
            parked=len(self._parked),
            lanes=len(self._queue.lanes()),
            on_the_spot=self._on_the_spot,
            finished=self._finished,
            failed=self._failed,
            late=self._late,
            cancelled=self._cancelled,
            refused=self._refused,
        )

    # -- parked

    def go_on(self, job: Job) -> None:
        """Go on with a parked job, here and now, as far as it goes."""
        self._parked.leave(job)
        error: QueueFullError | None = None
        while True:
            try:
                stop = resume(job.rest, error)
            except Exception as failure:  # noqa: BLE001 - the job boundary, on the spot
                job.done = True
                self._fail(job.lane, failure)
                break
            if stop is None:
                job.done = True
                self._on_the_spot += 1
                break
            if job.cancelled:
                self._end_unfinished(job)
                return
            if stop[1] is not None:
                self._parked.enter(job, stop[1])
                return
            try:
                self._queue_up(job)
            except QueueFullError as full:
                error = full
            else:
                return
        self._tell_if_all_done()

    # -- the way to a worker

    def _enqueue(self, job: Job) -> Job:
        try:
            self._queue_up(job)
        except QueueFullError:
            self._close(job)
            raise
        return job

    def _queue_up(self, job: Job) -> None:
        try:
            self._queue.put(job.lane, job)
        except QueueFullError:
            self._refused += 1
            raise
        self._call_workers(1)

    def _call_workers(self, wanted: int) -> None:
        """Have ``wanted`` workers on their way, or as many as there are jobs."""
        wanted = min(wanted, len(self._queue))
        while self._coming < wanted:
            if self._idle:
                task, _ = self._idle.popitem()
                self._fewest_idle = min(self._fewest_idle, len(self._idle))
                trio.lowlevel.reschedule(task)
                self._coming += 1
            elif self._nursery is not None and self._workers < self.settings.maximum:
                self._hire(self._nursery)
                self._grown.set()
            else:
                # Everybody is busy: whoever is done first comes back for more.
                return

    def _hire(self, nursery: trio.Nursery) -> None:
        self._workers += 1
        self._coming += 1
        nursery.start_soon(self._work)

    async def _dismiss_surplus(self) -> None:
        """Let workers go that were not needed for a while. No timer runs at the minimum."""
        while True:
            await self._grown.wait()
            while self._workers > self.settings.minimum:
                self._fewest_idle = len(self._idle)
                await trio.sleep(self.settings.idle_seconds)
                for _ in range(min(self._fewest_idle, self._workers - self.settings.minimum)):
                    self._surplus += 1
                    trio.lowlevel.reschedule(self._idle.popitem()[0])
            self._grown = trio.Event()

    # -- in a worker

    async def _work(self) -> None:
        try:
            while True:
                self._coming -= 1
                if await self._do_jobs():
                    self._coming += 1
                    await trio.lowlevel.checkpoint()
                    continue
                await self._wait_for_work()
                if self._surplus:
                    # Which of the workers that were woken goes is all the same.
                    self._surplus -= 1
                    return
        finally:
            self._workers -= 1

    async def _do_jobs(self) -> bool:
        """Do a turn's worth of jobs; return whether there may be more."""
        for _ in range(_JOBS_PER_TURN):
            job = self._queue.get_nowait()
            if job is None:
                return False
            await self._perform(job)
        return True

    async def _wait_for_work(self) -> None:
        task = trio.lowlevel.current_task()
        self._idle[task] = None

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._idle[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    async def _perform(self, job: Job) -> None:
        """Go on with a job to its end, whatever that is."""
        if job.deadline <= trio.current_time():
            self._end_late(job)
            return
        self._busy += 1
        job.scope = scope = trio.CancelScope(deadline=job.deadline)
        try:
            with scope:
                await go_on(job.rest, self._about_to_wait)
        except Exception as error:  # noqa: BLE001 - the job boundary, in a worker
            self._fail(job.lane, error)
        except BaseException:
            # The workers themselves are cancelled.
            self._cancelled += 1
            raise
        else:
            if not scope.cancelled_caught:
                self._finished += 1
            elif job.cancelled:
                self._cancelled += 1
            else:
                self._miss(job)
        finally:
            job.done = True
            self._busy -= 1
            self._tell_if_all_done()

    def _about_to_wait(self) -> None:
        """A worker will wait in its job. If others do as well, twice as many should come."""
        if self._queue:
            self._call_workers(2)

    # -- ends

    def withdraw(self, job: Job) -> None:
        """Cancel a job that no worker has: one that is queued or parked ends at once."""
        # Neither: it runs right now, and is closed when it stops.
        if self._parked.leave(job) or self._queue.discard(job.lane, job):
            self._end_unfinished(job)

    def _end_unfinished(self, job: Job) -> None:
        self._cancelled += 1
        self._close(job)
        self._tell_if_all_done()

    def _end_late(self, job: Job) -> None:
        self._close(job)
        self._miss(job)
        self._tell_if_all_done()

    def _close(self, job: Job) -> None:
        job.done = True
        try:
            job.rest.close()
        except Exception as error:  # noqa: BLE001 - the job boundary, at its early end
            self._fail(job.lane, error)

    def _miss(self, job: Job) -> None:
        self._late += 1
        self._on_failure(job.lane, TooLateError(name_of(job.step)))

    def _fail(self, lane: str, error: Exception) -> None:
        self._failed += 1
        self._on_failure(lane, error)

    def _tell_if_all_done(self) -> None:
        if self._all_done is not None and not self._queue and not self._busy and not self._parked:
            self._all_done.set()
            self._all_done = None
