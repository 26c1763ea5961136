"""Coroutines that begin in one place and go on in another.

A job begins where it is made, outside of any task of its own, and most end there:
they never wait. One that has to wait says so first (`to_worker`), and whoever runs
jobs lets it go on in a task. This module has the two halves of that, `begin` and
`go_on`, and knows nothing of queues or workers (`pool.workers`).
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, NoReturn, final

import trio

Step = Coroutine[Any, Any, None]

# What a job yields when it has begun on the spot and has to wait.
_HAND_OVER: Final = object()


class _Spot(threading.local):
    """Whether the code that runs in this thread was called by `begin`."""

    taken = False


_spot: Final = _Spot()


class TooLateError(Exception):
    """A job had not ended by its deadline and was cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} had not ended by its deadline")


@final
class Job:
    """A job that waits, or waits to begin, for whoever may want to cancel it."""

    __slots__ = ("_withdraw", "cancelled", "coroutine", "deadline", "done", "lane", "scope")

    def __init__(
        self, lane: str, coroutine: Step, deadline: float, withdraw: Callable[[Job], None]
    ) -> None:
        self.lane = lane
        self.coroutine = coroutine
        self.deadline = deadline
        self._withdraw = withdraw
        #: Set once a worker has the job.
        self.scope: trio.CancelScope | None = None
        self.cancelled = False
        #: Whether the job has ended, however it did.
        self.done = False

    @property
    def name(self) -> str:
        """What the coroutine is called, for logs."""
        return name_of(self.coroutine)

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
    if _spot.taken:
        await _hand_over()


@types.coroutine
def _hand_over() -> Generator[Any, Any, None]:
    yield _HAND_OVER


def begin(job: Step) -> bool:
    """Run ``job`` here until it ends or awaits `to_worker`; return whether it goes on.

    Raises:
        RuntimeError: it reached a checkpoint first, and was closed.
        Exception: whatever the job raises.
    """
    spot = _spot
    # A job may begin another one.
    nested = spot.taken
    spot.taken = True
    try:
        trap = job.send(None)
    except StopIteration:
        return False
    finally:
        spot.taken = nested
    if trap is _HAND_OVER:
        return True
    # What it waits for knows the caller's task now, and would wake that.
    forget = getattr(trap, "abort_func", None)
    if forget is not None:
        forget(_never_called)
    job.close()
    raise RuntimeError(
        f"{name_of(job)} reached a checkpoint without a worker and was closed: "
        "`await to_worker()` comes before the first thing that can wait"
    )


@types.coroutine
def go_on(job: Step, about_to_wait: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await ``job`` in this task to its end, wherever it began.

    ``about_to_wait`` is called each time just before this task waits. (`await`
    does neither: it refuses a coroutine that has begun.)
    """
    try:
        trap = job.send(None)
        while True:
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
