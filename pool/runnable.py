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

    Whatever was scheduled before this was added to Trio's instruments is not known, nor is what
    threads bring back until Trio has polled: in busy times that may be three milliseconds late.
    """

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()
        # Trio finds them by their names. They are the set's own methods, as a function of
        # Python's would cost each step of each task more.
        tasks = self.tasks
        self.task_scheduled = tasks.add  # type: ignore[method-assign, assignment]  # by name
        self.before_task_step = tasks.discard  # type: ignore[method-assign, assignment]  # by name
