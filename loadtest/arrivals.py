"""When questions are due: a schedule that does not care how the server is doing.

With a rate that follows from nobody's answer a server that stalls is asked on,
and all that it kept waiting is seen (no coordinated omission).
"""

from __future__ import annotations

import bisect
import random  # noqa: TID251 - arrivals that nobody coordinates
from collections.abc import Callable, Sequence
from typing import Final

from loadtest.load import Load

# How often a rate of nothing looks whether it changed by itself.
_IDLE_SECONDS: Final = 0.1


class Arrivals:
    """Calls for a question at each time that is due.

    Args:
        load: whose timers are used.
        rate: questions a second.
        chance: where gaps come from; ``None`` makes them even.
        due: told the time that was meant, and the time that it is.
        shape: from which second on the rate is how many times as high.
    """

    def __init__(
        self,
        load: Load,
        rate: float,
        chance: random.Random | None,
        due: Callable[[float, float], None],
        shape: Sequence[tuple[float, float]] = (),
    ) -> None:
        self._load = load
        self._rate = rate
        self._chance = chance
        self._due = due
        self._starts = [start for start, _ in shape]
        self._factors = [factor for _, factor in shape]
        self._begun = 0.0
        self._next = 0.0

    def begin(self, now: float) -> None:
        """Start the schedule."""
        self._begun = self._next = now
        self._arrive(now)

    def set_rate(self, rate: float) -> None:
        """Go on at another rate, from the next question on."""
        self._rate = rate

    def rate_at(self, when: float) -> float:
        """Return the rate at this time of the clock."""
        place = bisect.bisect_right(self._starts, when - self._begun)
        return self._rate * (self._factors[place - 1] if place else 1.0)

    def _arrive(self, now: float) -> None:
        if not self._load.asking:
            return
        while self._next <= now:
            rate = self.rate_at(self._next)
            if rate <= 0:
                self._next = now + _IDLE_SECONDS
                break
            gap = 1.0 if self._chance is None else self._chance.expovariate(1.0)
            due = self._next + gap / rate
            if due > now:
                self._next = due
                self._load.at(due, self._ask)
                return
            self._next = due
            self._due(due, now)
        self._load.at(self._next, self._arrive)

    def _ask(self, now: float) -> None:
        if self._load.asking:
            self._due(self._next, now)
            self._arrive(now)
