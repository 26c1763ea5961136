"""Deadlines by the hundred thousand: armed and cancelled in constant time.

Pure module: it never reads a clock. Whoever owns the wheel tells it the time
with `Timers.due` and gets what is due. Deadlines are rounded up to the
wheel's tick, so a callback is never early and at most one tick late.

A heap would keep every cancelled deadline until it is due; at 40,000 questions
a second that each wait up to five minutes this is twelve million dead entries.
Here an entry goes at once, and what remains is one small dict per tick between
now and the furthest deadline.

Its owner may sleep for as long as nothing is due (`Timers.next_due`), and is told
when that is to be sooner than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class Timer(Generic[T]):
    """One armed deadline and what it is for."""

    __slots__ = ("bucket", "item")

    bucket: dict[Timer[T], None]
    item: T

    def cancel(self) -> None:
        """Disarm. Doing so twice, or once it was due, changes nothing."""
        bucket = self.bucket
        bucket.pop(self, None)
        if not bucket:
            # A dict keeps the room of all it ever held: minutes of it, until the tick is due.
            bucket.clear()


@final
class Timers(Generic[T]):
    """A wheel of deadlines.

    Args:
        now: the time at the start, in seconds on whatever clock the owner uses.
        tick: resolution in seconds.
    """

    __slots__ = ("_buckets", "_per_second", "_slots", "on_sooner", "time")

    def __init__(self, now: float, tick: float = 0.05) -> None:
        #: The time the owner last told; the same as `now` returns.
        self.time = now
        #: Told of a time at which something is due, before anything else is.
        self.on_sooner: Callable[[float], None] | None = None
        self._per_second = 1 / tick
        self._buckets: dict[int, dict[Timer[T], None]] = {}
        self._slots: list[int] = []

    def now(self) -> float:
        """Return the time the owner last told."""
        return self.time

    def arm(self, delay: float, item: T) -> Timer[T]:
        """Have ``item`` come due once, ``delay`` seconds from now."""
        return self.arm_at(self.time + delay, item)

    def arm_at(self, when: float, item: T) -> Timer[T]:
        """Have ``item`` come due once, at ``when``."""
        return self._arm(int(when * self._per_second) + 1, item)

    def arm_about(self, delay: float, within: float, item: T) -> Timer[T]:
        """Have ``item`` come due once, together with others, up to ``within`` seconds late."""
        apart = max(1, int(within * self._per_second))
        slot = int((self.time + delay) * self._per_second) + 1
        return self._arm(slot + -slot % apart, item)

    def arm_now(self, item: T) -> Timer[T]:
        """Have ``item`` be what is due next, after those that are due already."""
        return self._arm(int(self.time * self._per_second), item)

    def _arm(self, slot: int, item: T) -> Timer[T]:
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
            heappush(self._slots, slot)
            if self.on_sooner is not None and self._slots[0] == slot:
                self.on_sooner(slot / self._per_second)
        timer: Timer[T] = Timer()
        timer.bucket = bucket
        timer.item = item
        bucket[timer] = None
        return timer

    def due(self, now: float) -> Iterator[T]:
        """Move the time to ``now`` and yield what is due, earliest tick first.

        Within one tick the order is not defined. Use each as it comes: one may
        cancel another that is due as well. What is not taken from the iterator
        stays due.
        """
        self.time = max(now, self.time)
        current = int(self.time * self._per_second)
        while self._slots and self._slots[0] <= current:
            bucket = self._buckets[self._slots[0]]
            while bucket:
                # From the end: taking the first of a dict walks over all that were
                # taken before.
                yield bucket.popitem()[0].item
            del self._buckets[heappop(self._slots)]

    def next_due(self) -> float | None:
        """Return when something is due next; it may be cancelled until then."""
        while self._slots:
            slot = self._slots[0]
            if self._buckets[slot]:
                return slot / self._per_second
            del self._buckets[heappop(self._slots)]
        return None

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))
