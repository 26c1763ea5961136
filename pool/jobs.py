"""Coroutines that begin in one place and go on in another.

A job begins where it is made, outside of any task of its own, and most end there:
they never wait. One that has to wait says so first (`to_worker`), and whoever runs
jobs lets it go on in a task. This module has the two halves of that, `begin` and
`go_on`, and knows nothing of queues or workers (`pool.workers`).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from threading import get_ident
from typing import Any, Final, NoReturn, final

import trio

Step = Coroutine[Any, Any, None]
#: A job that has begun, or is to begin: what can be sent to, thrown into and closed.
Rest = Generator[Any, Any, None] | Step

# What a carrier yields when its job has ended, and when that has begun on the spot and
# has to wait.
_ENDED: Final = object()
_HAND_OVER: Final = object()


@final
class _Spot:
    """Which thread runs code that was called by `begin`."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = 0


_spot: Final = _Spot()
# Carriers without a job: as many as jobs have begun others, one in another.
_idle: Final[list[Generator[Any, Any, None]]] = []


class TooLateError(Exception):
    """A job had not ended by its deadline and was cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} had not ended by its deadline")


@final
class Job:
    """A job that waits, or waits to begin, for whoever may want to cancel it."""

    __slots__ = ("_withdraw", "cancelled", "deadline", "done", "lane", "name", "rest", "scope")

    def __init__(
        self, lane: str, name: str, rest: Rest, deadline: float, withdraw: Callable[[Job], None]
    ) -> None:
        self.lane = lane
        #: What the coroutine is called, for logs.
        self.name = name
        self.rest = rest
        self.deadline = deadline
        self._withdraw = withdraw
        #: Set once a worker has the job.
        self.scope: trio.CancelScope | None = None
        self.cancelled = False
        #: Whether the job has ended, however it did.
        self.done = False

    def cancel(self) -> None:
        """End the job where it is. Once it has ended, nothing happens.

        With a worker it sees `trio.Cancelled` at its next checkpoint; while queued
        it is closed at once and its place is free.
        """
        if self.done or self.cancelled:
            return
        self.cancelled = True
        if self.scope is None:
            self._withdraw(self)
        else:
            self.scope.cancel()


async def to_worker() -> None:
    """Go on where waiting is possible: a job awaits this before its first checkpoint.

    In a worker, or any other task, this returns at once. Await it before opening a
    cancel scope or a nursery: those belong to the task that opened them, as context
    variables do.
    """
    if _spot.thread == get_ident():
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


def begin(job: Step) -> Rest | None:
    """Run ``job`` here until it ends or awaits `to_worker`; return what goes on, if it does.

    Raises:
        RuntimeError: it reached a checkpoint first, and was closed.
        Exception: whatever the job raises.
    """
    if _idle:
        carrier = _idle.pop()
    else:
        carrier = _carry()
        next(carrier)
    # A job may begin another one.
    outer = _spot.thread
    _spot.thread = get_ident()
    try:
        trap = carrier.send(job)
    finally:
        _spot.thread = outer
    if trap is _ENDED:
        _idle.append(carrier)
        return None
    if trap is _HAND_OVER:
        return carrier
    # What it waits for knows the caller's task now, and would wake that.
    forget = getattr(trap, "abort_func", None)
    if forget is not None:
        forget(_never_called)
    carrier.close()
    raise RuntimeError(
        f"{name_of(job)} reached a checkpoint without a worker and was closed: "
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
    return getattr(job, "__qualname__", repr(job))


def _never_called() -> NoReturn:  # pragma: no cover - as its name says
    raise AssertionError
