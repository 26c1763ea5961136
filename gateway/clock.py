"""The wall clock of the process: everything else is told the time."""

from __future__ import annotations

from time import monotonic, time  # noqa: TID251 - the one place that reads it
from typing import Final, final

# What is final costs compiled code no look-up.
_counted: Final = monotonic


@final
class WallClock:
    """Seconds since the epoch that never jump: set once, then counted."""

    __slots__ = ("_start",)

    def __init__(self) -> None:
        self._start = time() - _counted()

    def now(self) -> float:
        """Return the time in seconds since the Unix epoch."""
        return self._start + _counted()
