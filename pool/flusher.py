"""What many tasks write in one tick leaves at once: a task that is parked until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import trio


@final
class Flusher:
    """Calls ``flush`` once after all tasks of a tick have run, when one of them asked."""

    __slots__ = ("_coming", "_flush", "_parked")

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._parked: trio.lowlevel.Task | None = None
        self._coming = False

    def soon(self) -> None:
        """Flush soon; before `run` and after it, at once."""
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None
            self._coming = True
        elif not self._coming:
            self._flush()

    async def run(self) -> None:
        """Be parked until somebody asks, again and again, until cancelled."""

        def leave(_: object) -> trio.lowlevel.Abort:
            self._parked = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            self._parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(leave)
            self._coming = False
            self._flush()
