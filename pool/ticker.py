"""When deadlines are looked at: every tick while anything happens, else when one is due.

A process with nothing to do sleeps until its next deadline. The first thing that happens
then, in whatever task, finds the time told anew, as it would be after a tick, and
has the next tick follow: that one also tells how late the loop is. So nobody can tell
whether there were ticks before, but by the CPU that they would have used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import trio

from pool.timers import Timers

TICK_SECONDS: Final = 0.05


@final
class Ticker(trio.abc.Instrument):
    """The sleep between two looks at the timers; Trio tells it when anything happens."""

    def __init__(self, timers: Timers[Callable[[], None]]) -> None:
        self._timers = timers
        self._scope: trio.CancelScope | None = None
        timers.on_sooner = self._wake_by

    async def sleep(self) -> float:
        """Return when something is due, or a tick after something has happened.

        What is returned is the lag, in seconds: how much later than then it is.
        """
        asleep_at = trio.current_time()
        with trio.CancelScope() as scope:
            due = self._timers.next_due()
            if due is not None:
                scope.deadline = due
            self._scope = scope
            trio.lowlevel.add_instrument(self)
            try:
                await trio.sleep_forever()
            finally:
                self._scope = None
        return max(0.0, trio.current_time() - max(scope.deadline, asleep_at))

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's signature
        """Hear that something has happened: Trio calls it before any task goes on, this one too."""
        trio.lowlevel.remove_instrument(self)
        self._timers.time = now = trio.current_time()
        self._wake_by(now + TICK_SECONDS)

    def _wake_by(self, when: float) -> None:
        if self._scope is not None:
            # What is due by now has not made the loop late.
            when = max(when, trio.current_time())
            self._scope.deadline = min(self._scope.deadline, when)
