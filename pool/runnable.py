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
        # The set's own methods: a function of Python's would cost each step of each task more.
        self.task_scheduled = self.tasks.add  # type: ignore[method-assign, assignment]  # as said
        self.before_task_step = self.tasks.discard  # type: ignore[method-assign, assignment]  # too
