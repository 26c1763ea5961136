"""What a figure is compared with, and what is said of it."""

from __future__ import annotations

import math
import platform
from typing import Any

import pytest

from loadtest import report
from loadtest.measures import Sample
from loadtest.server import Cores

SAMPLE = Sample(
    rate=30_000.0,
    user_us=15.0,
    system_us=5.0,
    mean=0.001,
    p50=0.001,
    p99=0.002,
    server_share=0.6,
    load_share=0.5,
    waited_share=0.0,
    busy=30.0,
    lost=0,
    streamed=0,
    failures=0,
    first_refusal=b"",
)


@pytest.mark.parametrize(
    ("changed", "target", "verdict"),
    [
        ({}, 50_000, "reached"),
        ({}, 50_001, "MISSED"),
        ({}, None, ""),
        ({"load_share": 0.99}, 50_000, "reached, the load was the limit"),
        ({"load_share": 0.99, "server_share": 0.99}, 50_000, "reached"),
        ({"waited_share": 0.4}, 50_000, "reached, others had the gateway's core for 40%"),
        ({"streamed": 3}, 50_000, "reached, 3 as a stream"),
        ({"failures": 2, "first_refusal": b"HTTP/1.1 503"}, None, "2 FAILURES b'HTTP/1.1 503'"),
        ({"user_us": math.nan, "system_us": math.nan}, 30_000, "reached"),
        ({"user_us": math.nan, "system_us": math.nan}, 30_001, "MISSED"),
        ({"user_us": 0.0, "system_us": 0.0, "rate": 4.0}, 5, "MISSED"),
    ],
)
def test_a_rate_is_judged_by_the_cpu_time_it_cost(
    changed: dict[str, Any], target: int | None, verdict: str
) -> None:
    assert report.of_rate("x", SAMPLE._replace(**changed), target).verdict == verdict


def test_a_ratio_is_that_of_the_cpu_times_beside_that_of_the_rates() -> None:
    other = SAMPLE._replace(rate=60_000.0, user_us=5.0)
    row = report.of_ratio("x", SAMPLE, other, 0.5)
    assert (row.rate, row.per_core, row.verdict) == ("0.50", "0.50", "reached")
    assert report.of_ratio("x", SAMPLE, other, 0.51).verdict == "MISSED"
    idle = SAMPLE._replace(rate=0.0, user_us=0.0, system_us=0.0)
    assert report.of_ratio("x", SAMPLE, idle, 0.5).verdict == "MISSED"


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, "reached"), (1.01, "MISSED"), (math.nan, "unknown here")]
)
def test_a_value_shall_be_small(value: float, verdict: str) -> None:
    assert report.of_value("x", value, "s", 1.0).verdict == verdict


def test_medians_are_taken_of_figures_and_failures_are_added() -> None:
    samples = [
        SAMPLE._replace(
            rate=float(rate), busy=rate, lost=rate, failures=rate, first_refusal=b"x" * (rate - 1)
        )
        for rate in (1, 9, 2)
    ]
    middle = report.middle(samples)
    assert (middle.rate, middle.failures, middle.first_refusal) == (2.0, 12, b"x" * 8)
    assert (middle.busy, middle.lost) == (2.0, 12)


def test_a_table_has_its_columns_under_each_other() -> None:
    rows = [report.of_rate("long name of a load", SAMPLE, 1), report.of_value("x", 0.5, "s", 1)]
    lines = report.table(rows).splitlines()
    assert len(lines) == 3
    column = lines[0].index("per second") + len("per second")
    assert lines[1][:column].endswith("30,000")
    assert lines[2][:column].endswith("0.50 s")


@pytest.mark.parametrize(
    ("cores", "text"), [(Cores(0, 3), "on core 3"), (Cores(None, None), "no pinning")]
)
def test_the_conditions_say_where_things_ran(cores: Cores, text: str) -> None:
    said = report.conditions(cores, 1.5, 3)
    assert text in said
    assert f"the load runs on CPython {platform.python_version()}, configured with" in said
    assert "what the gateway runs on, which matters more, is said at the end" in said
    assert "medians of 3 runs" in said
