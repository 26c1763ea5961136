"""One value that comes later, for at most one who waits for it.

Who awaits a promise in a job that has no task yet (`pool.jobs`) holds nothing while
it waits, no worker and no task: the job goes on inside the call that sets the
promise. In a task the task waits. It refuses to be waited for twice and to be set
across threads.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar, cast

import trio

from pool.spot import is_on_the_spot

T = TypeVar("T")


class Waiter:
    """Somebody without a task who waits for a promise."""

    __slots__ = ()

    def resume(self) -> None:
        """Go on: the promise is done. This must not raise."""
        raise NotImplementedError


class Promise(Generic[T]):
    """A value, or an error, that comes later.

    Cancel safety: cancelling who waits, or closing it, abandons the promise: it is
    done, and what comes later is ignored. What was asked for may happen all the same.
    """

    __slots__ = ("_error", "_value", "_waiter", "done")

    def __init__(self) -> None:
        #: Whether it was set, failed or abandoned: nothing more will come of it.
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiter: Waiter | trio.lowlevel.Task | None = None

    def set(self, value: T) -> None:
        """Give it its value, and let who waits on the spot go on, inside this call.

        Once it is done, nothing happens. Errors of who goes on never come here.
        """
        if self.done:
            return
        self.done = True
        self._value = value
        if self._waiter is not None:
            self._wake()

    def fail(self, error: BaseException) -> None:
        """Have ``error`` raised where it is awaited; else as `set`."""
        if self.done:
            return
        self.done = True
        self._error = error
        if self._waiter is not None:
            self._wake()

    def abandon(self) -> None:
        """Ignore what comes. Nobody may wait for it then."""
        self.done = True
        self._waiter = None
        if self._error is None and self._value is None:
            self._error = trio.ClosedResourceError("this promise was abandoned")

    def park(self, waiter: Waiter) -> None:
        """Have ``waiter`` go on when it is done; `pool.jobs` calls this, for its jobs."""
        self._waiter = waiter

    async def wait_done(self) -> None:
        """Wait in a task until it is done; cancelling who waits leaves it as it was.

        Its value, or its error, is for whoever awaits it then.
        """
        if self.done:
            return
        if self._waiter is not None:
            raise RuntimeError("somebody else waits for this promise already")
        self._waiter = trio.lowlevel.current_task()

        def leave(_: object) -> trio.lowlevel.Abort:
            self._waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            if self._waiter is not None:
                raise RuntimeError("somebody else waits for this promise already")
            if is_on_the_spot():
                yield from self._wait_on_the_spot()
            else:
                yield from self._wait_in_task().__await__()
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def _wait_on_the_spot(self) -> Generator[Any, Any, None]:
        try:
            yield self
        finally:
            # It was closed, or something was thrown at it, while it waited.
            if not self.done:
                self.abandon()

    async def _wait_in_task(self) -> None:
        self._waiter = trio.lowlevel.current_task()

        def leave(_: object) -> trio.lowlevel.Abort:
            self.abandon()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if isinstance(waiter, Waiter):
            waiter.resume()
        elif waiter is not None:
            trio.lowlevel.reschedule(waiter)
