"""How late a loop is, and the longest that it was lately.

Pure module: who measures tells it.
"""

from __future__ import annotations

from typing import Final, final

# For how long a stall is told: scrapes come every 15 seconds or less.
_STALLS_SECONDS: Final = 15.0


@final
class Lag:
    """Remembers the longest lag for `_STALLS_SECONDS` to twice as long."""

    __slots__ = ("_before", "_longest", "_period_ends", "now")

    def __init__(self, now: float) -> None:
        #: The last one, in seconds.
        self.now = 0.0
        # The longest in this period, and in the one before.
        self._longest = self._before = 0.0
        self._period_ends = now + _STALLS_SECONDS

    def note(self, time: float, lag: float) -> None:
        """Note a lag that was measured at ``time``."""
        self.now = lag
        if time >= self._period_ends:
            self._before, self._longest = self._longest, 0.0
            self._period_ends = time + _STALLS_SECONDS
        self._longest = max(self._longest, lag)

    def longest(self) -> float:
        """Return the longest lately."""
        return max(self._longest, self._before)
