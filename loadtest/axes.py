"""Axes of charts: where a value stands, and which values are written beside them.

Pure module. A position is a share of the axis, 0 at its beginning and 1 at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

_TICKS: Final = 5
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
# Seconds, minutes and hours are not tens of each other.
_TIMES: Final = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0),
)
# From here on the lowest values of a linear axis are one line at its foot.
_WIDE: Final = 40.0


class Axis(NamedTuple):
    """From where to where, and what is written at it."""

    start: float
    end: float
    #: Values and what they are called.
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def position(self, value: float) -> float:
        """Return where ``value`` stands, at the nearer end if it is outside."""
        if self.logarithmic:
            start, end = math.log10(self.start), math.log10(self.end)
            value = math.log10(max(value, self.start))
        else:
            start, end = self.start, self.end
        return min(1.0, max(0.0, (value - start) / (end - start)))


def linear(
    values: Iterable[float], name: Callable[[float], str], step_of: Callable[[float], float]
) -> Axis:
    """Return an axis from zero to somewhat above the greatest of the values.

    ``step_of`` gives the round number that is not below another: one of those here.
    """
    most = max((value for value in values), default=0.0)
    most = most if most > 0 else 1.0
    step = step_of(most / _TICKS)
    end = math.ceil(most * 1.02 / step) * step
    ticks = [index * step for index in range(round(end / step) + 1)]
    return Axis(0.0, end, [(tick, name(tick)) for tick in ticks])


def logarithmic(values: Iterable[float], name: Callable[[float], str]) -> Axis:
    """Return an axis of powers of ten around the values, which are greater than zero."""
    known = [value for value in values if value > 0] or [1.0]
    least, most = min(known), max(known) * 1.02
    # One more on either side, for a logarithm is rounded.
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    around = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    start = max((value for value in around if value <= least), default=around[0])
    end = min(value for value in around if value >= most and value > start)
    ticks = [value for value in around if start <= value <= end]
    if len(ticks) > _TICKS + 1:
        ticks = [10.0**power for power in powers if start <= 10.0**power <= end]
    return Axis(start, end, [(tick, name(tick)) for tick in ticks], logarithmic=True)


def fitting(values: Sequence[float], name: Callable[[float], str]) -> Axis:
    """Return a linear axis, or a logarithmic one where the values are far from each other."""
    known = sorted(value for value in values if value > 0)
    # The median, so that one idle second does not decide.
    if known and known[-1] / known[len(known) // 2] > _WIDE:
        return logarithmic(known, name)
    return linear(values, name, decimal)


def times(start: float, end: float, name: Callable[[float], str]) -> Axis:
    """Return an axis of time."""
    end = max(end, start + 1.0)
    step = next((each for each in _TIMES if (end - start) / each <= _TICKS + 1), _TIMES[-1])
    first = math.ceil(start / step)
    ticks = [index * step for index in range(first, math.floor(end / step) + 1)]
    # More than a week of days: every so many of them.
    ticks = ticks[:: math.ceil(len(ticks) / 8)] if ticks else []
    return Axis(start, end, [(tick, name(tick)) for tick in ticks])


def nines(end: float) -> Axis:
    """Return HdrHistogram's axis, on which each further nine is as wide as the one before."""
    end = max(end, 1.0)
    names = ["0%", "90%", "99%"] + [f"99.{'9' * more}%" for more in range(1, 9)]
    return Axis(0.0, end, [(at, name) for at, name in enumerate(names) if at <= end + 1e-9])


def decimal(least: float) -> float:
    """Return a step of an axis with decimals."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def whole(least: float) -> float:
    """Return a step of an axis of things that are counted."""
    return math.ceil(decimal(max(least, 1.0)))


def binary(least: float) -> float:
    """Return a step of an axis of memory, whose units are powers of two."""
    return 2.0 ** math.ceil(math.log2(least))
