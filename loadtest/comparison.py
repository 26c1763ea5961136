"""Two runs beside each other: A, B, and how many times A is in B.

Pure module. It judges no difference, for how far two runs of the same differ is
not known from two runs; but it says when they were not of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from loadtest import figures, readings
from loadtest.result import Result

_Show = Callable[[float | None], str]


_ROWS: Final[tuple[tuple[str, _Show, readings.Read], ...]] = (
    ("answered", figures.rate, readings.answered_rate),
    ("mean", figures.milliseconds, readings.latency("mean")),
    ("p50", figures.milliseconds, readings.latency("p50")),
    ("p90", figures.milliseconds, readings.latency("p90")),
    ("p99", figures.milliseconds, readings.latency("p99")),
    ("p99.9", figures.milliseconds, readings.latency("p999")),
    ("max", figures.milliseconds, readings.latency("max")),
    ("failures", figures.count, lambda run: run.truth.failures),
    ("connecting", figures.seconds, lambda run: run.connecting.seconds),
    ("server memory, peak", figures.size, readings.worst("rss_peak")),
    ("server loop, latest", figures.milliseconds, readings.worst("lag_max")),
    ("server cores", figures.share, readings.worst("cpu")),
    ("client loop, latest", figures.milliseconds, lambda run: run.client.lag_max),
    ("client cores", figures.share, lambda run: run.client.cpu),
    ("limit", figures.rate, lambda run: readings.knee(run.steps)),
)


def text(a: Result, b: Result) -> str:
    """Return the figures of both that either has, and what warns of comparing them."""
    table = [("", "A", "B", "B to A"), *_rows(a, b)]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    lines = [
        f"A: {a.scenario}, {a.began}",
        f"B: {b.scenario}, {b.began}",
        *(f"!!! {warning}" for warning in _warnings(a, b)),
        "",
        *(
            "  ".join(
                (row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])),
            )
            for row in table
        ),
    ]
    return "\n".join(lines) + "\n"


def _rows(a: Result, b: Result) -> Iterator[tuple[str, str, str, str]]:
    for name, show, read in _ROWS:
        first, second = read(a), read(b)
        if first is not None or second is not None:
            yield name, show(first), show(second), _ratio(first, second)


def _ratio(first: float | None, second: float | None) -> str:
    if first is None or second is None:
        return figures.UNKNOWN
    if first == second:
        return "x1.00"
    # Of nothing, everything is infinitely many times as much: that says nothing.
    return f"x{second / first:.2f}" if first else figures.UNKNOWN


def _warnings(a: Result, b: Result) -> Iterator[str]:
    if a.scenario != b.scenario:
        yield f"the scenarios differ: {a.scenario} and {b.scenario}"
    for name in dict.fromkeys((*a.conditions, *b.conditions)):
        first, second = (run.conditions.get(name, "not told") for run in (a, b))
        if first != second:
            yield f"the conditions differ in {name}: {first} and {second}"
    for letter, run in (("A", a), ("B", b)):
        if run.client.bottleneck:
            yield f"the client was the limit in {letter}: {run.client.bottleneck}"
