"""Counts and histograms by the values of their labels, in bounded families.

Pure module. As in Prometheus' own clients a family has a child for each set of
label values (`Counter.labels`); who counts often keeps the child, and counting is
then an addition. A family refuses to grow with what peers send: past its bound,
further label sets are counted together as ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, TypeAlias, final

Labels: TypeAlias = tuple[str, ...]

_OTHER: Final = "other"
_LABEL_LENGTH: Final = 100
# What is counted is not negative; if it were, it would only take longer.
_BELOW_ALL: Final = -1.0


@final
class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count so many more."""
        self.value += amount


@final
class Histogram:
    """How often a value fell into each bucket."""

    __slots__ = ("_above", "_bounds", "_counts", "_last", "_up_to", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [Count() for _ in range(len(bounds) + 1)]
        self.total = 0.0
        # The bucket that counted last, and what falls into it: often the next value as well.
        self._last = self._counts[0]
        self._above, self._up_to = _BELOW_ALL, bounds[0]

    def observe(self, value: float) -> None:
        """Count a value; a bucket includes its upper bound."""
        if not self._above < value <= self._up_to:
            index = bisect_left(self._bounds, value)
            self._last = self._counts[index]
            self._above = self._bounds[index - 1] if index else _BELOW_ALL
            # What is beyond all bounds is looked up each time.
            self._up_to = self._bounds[index] if index < len(self._bounds) else self._above
        self._last.value += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return upper bounds and how many values are up to each."""
        so_far = 0
        cumulative = []
        names = [*map(str, self._bounds), "+Inf"]
        for name, count in zip(names, self._counts, strict=True):
            so_far += count.value
            cumulative.append((name, float(so_far)))
        return cumulative


@final
class Counter:
    """Counts by label values: ``family.labels("GET", "/mcp").inc()``."""

    __slots__ = ("_children", "_limit", "help", "label_names", "name")

    def __init__(self, name: str, help_: str, label_names: Labels, limit: int) -> None:
        self.name = name
        self.help = help_
        self.label_names = label_names
        self._limit = limit
        self._children: dict[Labels, Count] = {}

    def labels(self, *values: str) -> Count:
        """Return the count of these label values, or of all that have no room.

        Raises:
            ValueError: these are not the labels of this family.
        """
        child = self._children.get(values)
        if child is None:
            key = _bounded(self.name, self.label_names, values, full=self._is_full())
            child = self._children.setdefault(key, Count())
        return child

    def samples(self) -> dict[Labels, float]:
        """Return the counts as they are to be shown."""
        if not self.label_names:
            return {(): self.labels().value}
        return {labels: child.value for labels, child in self._children.items()}

    def total(self) -> int:
        """Return the sum over all label values."""
        return sum(child.value for child in self._children.values())

    def _is_full(self) -> bool:
        return len(self._children) >= self._limit


@final
class Histograms:
    """Histograms by label values: ``family.labels("GET", "/mcp").observe(0.01)``."""

    __slots__ = ("_bounds", "_children", "_limit", "help", "label_names", "name")

    def __init__(
        self, name: str, help_: str, label_names: Labels, bounds: tuple[float, ...], limit: int
    ) -> None:
        self.name = name
        self.help = help_
        self.label_names = label_names
        self._bounds = bounds
        self._limit = limit
        self._children: dict[Labels, Histogram] = {}

    def labels(self, *values: str) -> Histogram:
        """Return the histogram of these label values, or of all that have no room.

        Raises:
            ValueError: these are not the labels of this family.
        """
        child = self._children.get(values)
        if child is None:
            full = len(self._children) >= self._limit
            key = _bounded(self.name, self.label_names, values, full=full)
            child = self._children.setdefault(key, Histogram(self._bounds))
        return child

    def children(self) -> dict[Labels, Histogram]:
        """Return all of them."""
        return dict(self._children)


def _bounded(name: str, names: Labels, values: Labels, *, full: bool) -> Labels:
    """Return the values under which to count what has no child yet."""
    if len(values) != len(names):
        raise ValueError(f"{name} has the labels {names}, not {values}")
    if full or max(map(len, values), default=0) > _LABEL_LENGTH:
        return (_OTHER,) * len(names)
    return values
