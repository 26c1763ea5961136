"""Jobs that wait for a promise, with no worker and no task, and their deadlines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

import trio

from pool.jobs import Job
from pool.promises import Promise
from pool.timers import Timers

# How much later than its deadline a parked job may be ended.
_TICK_SECONDS: Final = 0.05


@final
class Parking:
    """The jobs that are parked now. Each takes a place at who makes its promise."""

    __slots__ = ("_deadlines", "_has_deadlines", "_jobs")

    def __init__(self) -> None:
        self._jobs: set[Job] = set()
        self._deadlines: Timers[Job] = Timers(0.0, _TICK_SECONDS)
        self._has_deadlines = trio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    def enter(self, job: Job, promise: Promise[object]) -> None:
        """Have a job go on when the promise is done."""
        promise.park(job)
        self._jobs.add(job)
        if job.deadline != math.inf:
            job.timer = self._deadlines.arm_at(job.deadline, job)
            self._has_deadlines.set()

    def leave(self, job: Job) -> bool:
        """Let a job go; return whether it was here."""
        if job not in self._jobs:
            return False
        self._jobs.remove(job)
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        return True

    def take(self) -> Job | None:
        """Let any job go, and return it."""
        for job in self._jobs:
            self.leave(job)
            return job
        return None

    async def end_late_ones(self, end: Callable[[Job], None]) -> None:
        """Let jobs go at their deadlines, and end them. No timer runs while none has one."""
        while True:
            await self._has_deadlines.wait()
            while len(self._deadlines):
                await trio.sleep(_TICK_SECONDS)
                for job in self._deadlines.due(trio.current_time()):
                    self.leave(job)
                    end(job)
            self._has_deadlines = trio.Event()
