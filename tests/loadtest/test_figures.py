"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest import figures


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (figures.milliseconds, 0.0, "0 ms"),
        (figures.milliseconds, 0.85, "850 us"),
        (figures.milliseconds, 1.2345, "1.23 ms"),
        (figures.milliseconds, 20.0, "20 ms"),
        (figures.milliseconds, 12.34, "12.3 ms"),
        (figures.milliseconds, 999.4, "999 ms"),
        (figures.milliseconds, 1_500.0, "1.5 s"),
        (figures.milliseconds, 3_600_000.0, "3,600 s"),
        (figures.seconds, 0.0421, "42.1 ms"),
        (figures.count, 1_234_567, "1,234,567"),
        (figures.rate, 40_000.4, "40,000/s"),
        (figures.rate, 2.55, "2.5/s"),
        (figures.rate, 0.0, "0/s"),
        (figures.size, 512, "512 B"),
        (figures.size, 2048, "2 KiB"),
        (figures.size, 80.5 * 2**20, "80.5 MiB"),
        (figures.size, 3 * 2**30, "3 GiB"),
        (figures.ratio, 1.149, "1.15 times"),
        (figures.share, 0.014, "1.4%"),
        (figures.share, 0.00014, "0.014%"),
        (figures.share, 0.0, "0%"),
        (figures.share, 0.62, "62%"),
        (figures.share, -0.02, "-2.0%"),
    ],
)
def test_a_figure_is_short_and_has_its_unit(
    write: Callable[[float | None], str], value: float, text: str
) -> None:
    assert write(value) == text
    assert write(None) == figures.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (5.9, "0:05"), (720, "12:00"), (86_400, "24:00:00")]
)
def test_a_time_is_read_from_a_clock(seconds: float, text: str) -> None:
    assert figures.clock(seconds) == text
