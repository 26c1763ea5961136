"""Which other tasks could go on now.

Trio's statistics say how many there are, after counting everything else as well: that costs
as much as serving somebody, and tasks which are to go on in the same tick are not among them.
"""

from __future__ import annotations

from typing import final

import trio


@final
class Runnable(trio.abc.Instrument):
    """The tasks that are scheduled and have not gone on yet, but for who looks at them.

    Whatever was scheduled before this was added to Trio's instruments is not known.
    """

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Hear from Trio that a task is to go on."""
        self.tasks.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Hear from Trio that a task goes on."""
        self.tasks.discard(task)
