"""A histogram becomes a line."""

from __future__ import annotations

import pytest
from hdrh.histogram import HdrHistogram

from loadtest.percentiles import distribution, nines
from tests.loadtest.example import latency


@pytest.mark.parametrize(("quantile", "at"), [(0.0, 0), (0.9, 1), (0.99, 2), (0.999, 3)])
def test_each_nine_is_as_wide_as_the_one_before(quantile: float, at: float) -> None:
    assert nines(quantile) == pytest.approx(at)


def test_the_line_rises_to_the_longest() -> None:
    line = distribution(latency().histogram)
    assert line == sorted(line)
    assert line[-1][0] == 5.0
    assert line[-1][1] == pytest.approx(latency().max, rel=1e-3)
    p99 = next(value for at, value in line if at >= 2)
    assert p99 == pytest.approx(latency().p99, rel=1e-3)


def test_of_one_latency_there_is_one_point() -> None:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    histogram.record_value(1_500)
    assert distribution(histogram.encode().decode()) == [(0.0, 1.5)]


def test_of_none_there_is_no_line() -> None:
    assert distribution("") == []
    assert distribution(HdrHistogram(1, 3_600_000_000, 3).encode().decode()) == []
