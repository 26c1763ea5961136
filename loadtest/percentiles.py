"""The whole distribution of the latencies, out of the histogram that a result carries.

Pure module. The horizontal axis is HdrHistogram's: as far from 90% to 99% as
from 99% to 99.9%, so that a tail takes the room it deserves.
"""

from __future__ import annotations

import math

from hdrh.histogram import HdrHistogram


def nines(quantile: float) -> float:
    """Return where a quantile below 1 stands on the axis: 0.9 at 1, 0.99 at 2."""
    return -math.log10(1 - quantile)


def distribution(histogram: str) -> list[tuple[float, float]]:
    """Return how many nines of the latencies were up to how many milliseconds.

    The last point is the longest of all; it stands where the one before it would
    be if it were the only one of its kind, for a hundred percent has no end of nines.
    """
    if not histogram:
        return []
    decoded = HdrHistogram.decode(histogram)
    total = decoded.get_total_count()
    so_far = 0
    found = []
    for step in decoded.get_recorded_iterator():
        so_far += step.count_at_value_iterated_to
        left = max(total - so_far, 1)
        found.append((math.log10(total / left), step.value_iterated_to / 1e3))
    return found
