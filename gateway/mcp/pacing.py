"""Many things that each want a call after one and the same delay.

Pure module: time comes from the wheel it is given. As the delay is the same for
all, those added first are due first: a dict in order of insertion does, and the
wheel holds one timer for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final, Generic, TypeVar, final

from pool.timers import Timers

T = TypeVar("T")

# Called back in one go; whoever keeps the wheel may do something else in between.
_AT_A_TIME: Final = 64


@final
class Pace(Generic[T]):
    """Calls back with each item once, ``delay`` seconds after it was added."""

    __slots__ = ("_armed", "_callback", "_timers", "_waiting", "delay")

    def __init__(
        self, timers: Timers[Callable[[], None]], delay: float, callback: Callable[[T], None]
    ) -> None:
        self.delay = delay
        self._timers = timers
        self._callback = callback
        self._waiting: dict[T, float] = {}
        self._armed = False

    def add(self, item: T) -> None:
        """Have ``item`` called back, if it is not waiting already."""
        self._waiting[item] = self._timers.now() + self.delay
        if not self._armed:
            self._armed = True
            self._timers.arm(self.delay, self._due)

    def discard(self, item: T) -> None:
        """Leave ``item`` alone, and let go of it."""
        self._waiting.pop(item, None)

    def _due(self) -> None:
        waiting = self._waiting
        now = self._timers.now()
        try:
            # A list: each look at the first of a dict walks over all that were taken before.
            for item, due in list(islice(waiting.items(), _AT_A_TIME)):
                if due > now:
                    return
                if waiting.pop(item, None) is not None:
                    self._callback(item)
        finally:
            # Also when a callback failed: the others have their turn.
            self._armed = bool(waiting)
            if waiting:
                first = next(iter(waiting.values()))
                if first > now:
                    self._timers.arm_at(first, self._due)
                else:
                    self._timers.arm_now(self._due)

    def __len__(self) -> int:
        return len(self._waiting)
