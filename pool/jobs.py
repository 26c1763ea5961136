"""Coroutines that begin in one place and go on in another.

A job begins where it is made, outside of any task of its own, and most end there:
they never wait. One that waits for a promise (`pool.promises`) is parked: it goes on
where the promise is set, still without a task. One that has to wait for anything else
says so first (`to_worker`), and whoever runs jobs lets it go on in a task. This module
has the parts of that, `begin`, `resume` and `go_on`, and knows nothing of queues or
workers (`pool.workers`).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from threading import get_ident
from typing import Any, Final, NoReturn, final

import trio

from pool.promises import Promise, Waiter
from pool.spot import SPOT, is_on_the_spot
from pool.timers import Timer

Step = Coroutine[Any, Any, None]
#: A job that has begun, or is to begin: what can be sent to, thrown into and closed.
Rest = Generator[Any, Any, None] | Step

# What a carrier yields when its job has ended, and when that has begun on the spot and
# has to wait.
_ENDED: Final = object()
_HAND_OVER: Final = object()


#: What goes on with a job that has stopped, and the promise it waits for; without one it
#: waits for a worker.
Stop = tuple[Rest, Promise[Any] | None]

# Carriers without a job, to be used again: a few, as many as jobs have begun others, one in
# another, and some of those that were parked. A list that is never empty keeps its memory.
_idle: Final[list[Rest]] = []
_FEW: Final = 4
_MOST_IDLE: Final = 256


class TooLateError(Exception):
    """A job had not ended by its deadline and was cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} had not ended by its deadline")


class JobOwner:
    """Who runs jobs, as a job that has stopped knows it."""

    __slots__ = ()

    def withdraw(self, job: Job) -> None:
        """End a job that no worker has."""
        raise NotImplementedError

    def go_on(self, job: Job) -> None:
        """Go on with a parked job, here and now. This must not raise."""
        raise NotImplementedError


@final
class Job(Waiter):
    """A job that waits, or waits to begin, for whoever may want to cancel it."""

    __slots__ = (
        "_owner",
        "cancelled",
        "deadline",
        "done",
        "lane",
        "rest",
        "scope",
        "step",
        "timer",
    )

    def __init__(self, lane: str, step: Step, rest: Rest, deadline: float, owner: JobOwner) -> None:
        self.lane = lane
        #: The coroutine, whose name is for logs.
        self.step = step
        self.rest = rest
        self.deadline = deadline
        self._owner = owner
        #: For its deadline, while it is parked.
        self.timer: Timer[Job] | None = None
        #: Set once a worker has the job.
        self.scope: trio.CancelScope | None = None
        self.cancelled = False
        #: Whether the job has ended, however it did.
        self.done = False

    def cancel(self) -> None:
        """End the job where it is. Once it has ended, nothing happens.

        With a worker it sees `trio.Cancelled` at its next checkpoint; queued or parked
        it is closed at once (`GeneratorExit`) and its place is free. One that runs
        right now, on the spot, is closed when it stops next.
        """
        if self.done or self.cancelled:
            return
        self.cancelled = True
        if self.scope is None:
            self._owner.withdraw(self)
        else:
            self.scope.cancel()

    def resume(self) -> None:
        """Go on: the promise it waits for is done."""
        self._owner.go_on(self)


async def to_worker() -> None:
    """Go on where waiting is possible: a job awaits this before its first checkpoint.

    In a worker, or any other task, this returns at once. Await it before opening a
    cancel scope or a nursery: those belong to the task that opened them, as context
    variables do. Promises need no worker.

    Raises:
        QueueFullError: the job was parked before, and there is no room for it now.
            (One that was not parked is closed, and whoever started it is told.)
    """
    if is_on_the_spot():
        await _hand_over()


@types.coroutine
def _hand_over() -> Generator[Any, Any, None]:
    yield _HAND_OVER


def _carry() -> Generator[Any, Any, None]:
    """Await one job after the other, each as it is sent.

    Awaiting a coroutine costs a fraction of sending to it: at its end no exception
    says so. A job that has to wait keeps its carrier.
    """
    job: Step = yield _ENDED
    while True:
        yield from job.__await__()
        job = yield _ENDED


def begin(job: Step) -> Stop | None:
    """Run ``job`` here until it ends, is parked or awaits `to_worker`; return what goes on.

    Raises:
        RuntimeError: it reached a checkpoint first, and was closed.
        Exception: whatever the job raises.
    """
    if not _idle:
        for _ in range(_FEW):
            fresh = _carry()
            next(fresh)
            _idle.append(fresh)
    carrier = _idle.pop()
    # A job may begin another one.
    outer = SPOT.thread
    SPOT.thread = get_ident()
    try:
        trap = carrier.send(job)
    finally:
        SPOT.thread = outer
    if trap is _ENDED:
        _idle.append(carrier)
        return None
    return _stopped(carrier, trap, job)


def resume(rest: Rest, error: Exception | None = None) -> Stop | None:
    """Go on here with a job that stopped, as `begin` does; ``error`` is raised in it."""
    outer = SPOT.thread
    SPOT.thread = get_ident()
    try:
        trap = rest.send(None) if error is None else rest.throw(error)
    finally:
        SPOT.thread = outer
    if trap is _ENDED:
        if len(_idle) < _MOST_IDLE:
            _idle.append(rest)
        return None
    return _stopped(rest, trap, None)


def _stopped(carrier: Rest, trap: object, job: Step | None) -> Stop:
    """Return why it stopped; it is closed when that is none of the reasons it may have."""
    if isinstance(trap, Promise):
        return carrier, trap
    if trap is _HAND_OVER:
        return carrier, None
    # What it waits for knows the caller's task now, and would wake that.
    forget = getattr(trap, "abort_func", None)
    if forget is not None:
        forget(_never_called)
    name = name_of(job) if job is not None else "a job that was parked"
    carrier.close()
    raise RuntimeError(
        f"{name} reached a checkpoint without a worker and was closed: "
        "`await to_worker()` comes before the first thing that can wait"
    )


@types.coroutine
def go_on(job: Rest, about_to_wait: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await ``job`` in this task to its end, wherever it began.

    ``about_to_wait`` is called each time just before this task waits. (`await`
    does neither: it refuses a coroutine that has begun.)
    """
    try:
        trap = job.send(None)
        while trap is not _ENDED:
            about_to_wait()
            try:
                value = yield trap
            except BaseException as error:  # noqa: BLE001 - the job's own to handle
                trap = job.throw(error)
            else:
                trap = job.send(value)
    except StopIteration:
        return


def name_of(job: Step) -> str:
    """Return what a coroutine is called, for people."""
    name = getattr(job, "__qualname__", None)
    return repr(job) if name is None else str(name)


def _never_called() -> NoReturn:  # pragma: no cover - as its name says
    raise AssertionError
