"""How often something may be said that strangers can bring about at will.

Whoever can have a line logged for each request can fill a disk, and hide among the lines
what matters. So many of a kind pass each second; the rest is counted, and the count is
said when the second is over. It refuses to know what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, final

from pool.connection import Callback
from pool.timers import Timers

#: Lines of a kind in a second: enough to see what goes on.
PER_SECOND: Final = 10


@final
class Floodgate:
    """Lets so many of each kind through, second by second.

    Args:
        timers: end the seconds. A kind costs one while it is met, and nothing when not.
        held_back: told how many of a kind did not pass in the second that ends.
        most: how many pass in one.
    """

    __slots__ = ("_counts", "_held_back", "_most", "_timers")

    def __init__(
        self,
        timers: Timers[Callback],
        held_back: Callable[[str, int], None],
        most: int = PER_SECOND,
    ) -> None:
        self._timers = timers
        self._held_back = held_back
        self._most = most
        self._counts: dict[str, int] = {}

    def admits(self, kind: str) -> bool:
        """Return whether one more may pass. Kinds are few: what peers send is none."""
        count = self._counts.get(kind, 0)
        if not count:
            self._timers.arm(1.0, partial(self._end, kind))
        self._counts[kind] = count + 1
        return count < self._most

    def _end(self, kind: str) -> None:
        more = self._counts.pop(kind) - self._most
        if more > 0:
            self._held_back(kind, more)
