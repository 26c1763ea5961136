"""What goes into a histogram comes out of it, to three digits, wherever it was merged."""

from __future__ import annotations

import pytest

from loadtest.histograms import Histogram


def test_percentiles_are_those_of_the_values() -> None:
    histogram = Histogram()
    histogram.record(number / 1000 for number in range(1, 1001))
    latency = histogram.latency()
    assert latency.count == 1000
    assert latency.p50 == pytest.approx(500, rel=0.002)
    assert latency.p99 == pytest.approx(990, rel=0.002)
    assert latency.max == pytest.approx(1000, rel=0.002)
    assert latency.mean == pytest.approx(500.5, rel=0.002)


def test_merged_ones_know_all_values() -> None:
    whole, part = Histogram(), Histogram()
    part.record([0.001])
    whole.add(part.encoded())
    part.reset()
    assert part.encoded() == ""
    part.record([0.003])
    whole.add(part.encoded())
    whole.add("")
    assert whole.count == 2
    assert whole.milliseconds(100) == pytest.approx(3, rel=0.002)


def test_an_empty_one_says_so() -> None:
    histogram = Histogram()
    histogram.reset()
    assert histogram.milliseconds(50) is None
    assert histogram.latency().p99 == 0


def test_the_longest_and_the_shortest_are_kept_in_range() -> None:
    histogram = Histogram()
    histogram.record([-1.0, 0.0, 1e9])
    assert histogram.count == 3
