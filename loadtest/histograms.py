"""Latencies as an HDR histogram: three digits of each value, in bounded memory.

Values are microseconds, up to a day. A histogram is told many values at once:
one at a time it would cost as much as the question that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hdrh.histogram import HdrHistogram

from loadtest.result import Latency

_DAY_US: Final = 86_400_000_000
_DIGITS: Final = 3


class Histogram:
    """How long answers took."""

    def __init__(self) -> None:
        self._counts = HdrHistogram(1, _DAY_US, _DIGITS)

    @property
    def count(self) -> int:
        """How many values there are."""
        count: int = self._counts.get_total_count()
        return count

    def record(self, seconds: Iterable[float]) -> None:
        """Add values; one of less than a microsecond counts as that much."""
        record = self._counts.record_value
        for value in seconds:
            record(min(max(int(value * 1e6), 1), _DAY_US))

    def encoded(self) -> str:
        """Return all of it as text, as other HdrHistograms read it; nothing when it is empty."""
        return self._counts.encode().decode("ascii") if self.count else ""

    def add(self, encoded: str) -> None:
        """Add all of another one."""
        if encoded:
            self._counts.decode_and_add(encoded)

    def reset(self) -> None:
        """Forget everything."""
        if self.count:
            self._counts.reset()

    def milliseconds(self, percentile: float) -> float | None:
        """Return the value that this many in a hundred do not exceed; ``None`` when empty."""
        if not self.count:
            return None
        value: int = self._counts.get_value_at_percentile(percentile)
        return value / 1000

    def latency(self) -> Latency:
        """Return what is reported of it; zeros when it is empty."""
        wanted = (50.0, 90.0, 99.0, 99.9, 100.0)
        p50, p90, p99, p999, longest = (self.milliseconds(each) or 0.0 for each in wanted)
        return Latency(
            count=self.count,
            mean=self._counts.get_mean_value() / 1000 if self.count else 0.0,
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            max=longest,
            histogram=self.encoded(),
        )
