"""When to stop asking something that does not answer, and when to try again.

Pure module: the time is an argument, and nothing is called from here. Closed,
everybody may try. After enough failures in a row it opens, and nobody may until it
has rested. Then it is half open: one may try, and what becomes of that one
decides. Each rest after a failed attempt is twice as long, up to a bound.
"""

from __future__ import annotations

import enum
from typing import final


class State(enum.Enum):
    """Who may try: everybody, nobody, or one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@final
class Breaker:
    """Counts failures in a row and decides who may try.

    Args:
        failures: how many in a row open it.
        rest: seconds until the first attempt after that.
        longest_rest: what the rest may grow to.
    """

    __slots__ = (
        "_failures",
        "_first_rest",
        "_in_a_row",
        "_longest_rest",
        "_rest",
        "_until",
        "state",
    )

    def __init__(self, failures: int = 5, rest: float = 1.0, longest_rest: float = 30.0) -> None:
        if failures < 1 or not 0 < rest <= longest_rest:
            raise ValueError("failures must be at least 1, and 0 < rest <= longest_rest")
        self._failures = failures
        self._first_rest = self._rest = rest
        self._longest_rest = longest_rest
        self._in_a_row = 0
        # Open: when it has rested. Half open: when the one who tries is given up.
        self._until = 0.0
        self.state = State.CLOSED

    def allows(self, now: float) -> bool:
        """Say whether the one who asks may try; tell how it went afterwards.

        One who was let through while half open and never tells (it was cancelled)
        blocks the others for one rest, not for ever.
        """
        if self.state is State.CLOSED:
            return True
        if now < self._until:
            return False
        self.state = State.HALF_OPEN
        self._until = now + self._rest
        return True

    def succeeded(self) -> None:
        """An attempt went well. One that began before it opened proves nothing."""
        if self.state is State.OPEN:
            return
        self.state = State.CLOSED
        self._in_a_row = 0
        self._rest = self._first_rest

    def failed(self, now: float) -> None:
        """An attempt failed."""
        if self.state is State.CLOSED:
            self._in_a_row += 1
            if self._in_a_row >= self._failures:
                self._open(now)
        elif self.state is State.HALF_OPEN:
            self._rest = min(self._rest * 2, self._longest_rest)
            self._open(now)

    def retry_after(self, now: float) -> float:
        """Return the seconds until somebody may try; 0.0 when one may now."""
        return 0.0 if self.state is State.CLOSED else max(self._until - now, 0.0)

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._until = now + self._rest
