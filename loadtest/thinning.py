"""Fewer points of a line that look like all of them.

Pure module. A day of seconds has more points than a screen has columns; of each
stretch the lowest and the highest stay, so that neither a spike nor a dip of
one second is lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, TypeAlias

#: When, and how much; `None` where nothing is known.
Point: TypeAlias = tuple[float, float | None]

MOST: Final = 600


def thin(points: Sequence[Point], most: int = MOST) -> Sequence[Point]:
    """Return at most ``most`` points, in order, among them the highest and the lowest.

    A stretch in which nothing at all is known stays a gap.
    """
    if len(points) <= most:
        return points
    stretches = max(1, most // 2)
    edges = [len(points) * index // stretches for index in range(stretches + 1)]
    return [
        point for start, end in itertools.pairwise(edges) for point in _extremes(points[start:end])
    ]


def _extremes(points: Sequence[Point]) -> Sequence[Point]:
    known = [(value, at) for at, value in points if value is not None]
    if not known:
        return points[:1]
    low, high = min(known), max(known)
    if low[0] == high[0]:
        return [(low[1], low[0])]
    return [(at, value) for value, at in sorted((low, high), key=lambda each: each[1])]
