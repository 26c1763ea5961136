"""Which charts a result gives: what they show, in which order, over which axis.

Pure module. All charts over time share one axis, from the beginning of the load
to the last that anybody measured, so that one moment is at one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from loadtest import axes, figures, readings
from loadtest.axes import Axis
from loadtest.charts import Chart, Line
from loadtest.percentiles import distribution
from loadtest.result import Result, ServerSample
from loadtest.thinning import Point

__all__ = ["Chart", "always_zero", "client", "knee", "latency", "load", "percentiles", "server"]

_COLOURS: Final = ("a", "b", "d", "e", "f", "c")
_Show: TypeAlias = Callable[[float | None], str]

_STEPS: Final[Mapping[_Show, Callable[[float], float]]] = {
    figures.size: axes.binary,
    figures.count: axes.whole,
}
_PREFIX: Final = "frontend_router_"


def latency(result: Result) -> Iterator[Chart]:
    """Yield how long answers took, over time."""
    slices = result.slices
    lines = [
        Line("max", "c thin", [(each.at, each.max) for each in slices]),
        Line("p99", "b", [(each.at, each.p99) for each in slices]),
        Line("p50", "a", [(each.at, each.p50) for each in slices]),
    ]
    yield _over_time(result, "Latency over time", lines, figures.milliseconds)


def percentiles(result: Result) -> Iterator[Chart]:
    """Yield the whole distribution."""
    points = distribution(result.latency.histogram)
    line = Line("latency", "a", points)
    yield Chart(
        title="Latency by percentile",
        lines=[line],
        across=axes.nines(points[-1][0] if points else 0.0),
        up=axes.fitting([value for _, value in points], figures.milliseconds),
        say_across=_percent,
        say_up=figures.milliseconds,
        note=f"{result.latency.count:,} answers",
    )


def load(result: Result) -> Iterator[Chart]:
    """Yield what was asked of the server, and what came of it."""

    def per_second(name: str) -> list[Point]:
        return [
            (each.at, getattr(each, name) / each.seconds if each.seconds > 0 else None)
            for each in result.slices
        ]

    throughput = [
        Line("asked", "n", per_second("asked")),
        Line("answered", "a", per_second("answered")),
        Line("failed", "c", per_second("failed")),
    ]
    yield _over_time(result, "Throughput", throughput, figures.rate)
    waiting = Line("in flight", "e", [(each.at, float(each.in_flight)) for each in result.slices])
    yield _over_time(result, "Questions in flight", [waiting], figures.count)
    frames = Line("frames", "f", per_second("frames"))
    yield _over_time(result, "Frames that frontends received", [frames], figures.rate)


def server(result: Result) -> Iterator[Chart]:
    """Yield what the instances said of themselves."""
    by_instance = readings.by_instance(result.server)

    def lines(read: Callable[[Sequence[ServerSample]], Sequence[Point]]) -> list[Line]:
        return [
            Line(address, _COLOURS[index % len(_COLOURS)], read(samples))
            for index, (address, samples) in enumerate(by_instance.items())
        ]

    memory = lines(lambda samples: [(each.at, each.rss_bytes) for each in samples])
    yield _over_time(result, "Memory", memory, figures.size)
    cpu = lines(readings.cpu_shares)
    yield _over_time(result, "CPU", cpu, figures.share, "of a core")
    lag = lines(lambda samples: [(each.at, each.loop_lag) for each in samples])
    yield _over_time(result, "Loop lag", lag, figures.milliseconds)
    yield from _queues(result)


def client(result: Result) -> Iterator[Chart]:
    """Yield how the load's own side did."""
    lag = Line("lag", "b", [(each.at, each.lag) for each in result.slices])
    yield _over_time(result, "The load's own loop lag", [lag], figures.milliseconds)
    cpu = Line("cpu", "d", [(each.at, each.cpu) for each in result.slices])
    yield _over_time(
        result, "The load's own CPU", [cpu], figures.share, "busiest process, of a core"
    )


def knee(result: Result) -> Iterator[Chart]:
    """Yield what each rate led to, and the highest that held."""
    steps = sorted(result.steps, key=lambda step: step.rate)
    across = axes.linear([step.rate for step in steps], figures.rate, axes.decimal)
    limit = readings.knee(steps)
    mark = None if limit is None else (limit, f"{figures.rate(limit)} held")
    times = [
        Line("p99", "b", [(step.rate, step.p99) for step in steps], marked=True),
        Line("p50", "a", [(step.rate, step.p50) for step in steps], marked=True),
    ]
    yield Chart(
        title="Latency by rate",
        lines=times,
        across=across,
        up=_up(times, figures.milliseconds),
        say_across=figures.rate,
        say_up=figures.milliseconds,
        mark=mark,
    )
    rates = [
        Line("asked", "n", [(0.0, 0.0), *((step.rate, step.rate) for step in steps)]),
        Line("answered", "a", [(step.rate, step.answered_rate) for step in steps], marked=True),
    ]
    yield Chart(
        title="Answered by rate",
        lines=rates,
        across=across,
        up=_up(rates, figures.rate),
        say_across=figures.rate,
        say_up=figures.rate,
        mark=mark,
    )


def always_zero(result: Result) -> list[str]:
    """Return the queues in which nothing ever waited, for they need no chart."""
    highest: dict[str, float] = {}
    for sample in result.server:
        for name, value in sample.queues.items():
            highest[name] = max(value, highest.get(name, 0.0))
    return sorted(_short(name) for name, value in highest.items() if value <= 0)


def _queues(result: Result) -> Iterator[Chart]:
    """Yield a chart for each unit of what waits; of several instances the fullest counts."""
    fullest: dict[str, dict[float, float]] = {}
    for sample in result.server:
        for name, value in sample.queues.items():
            points = fullest.setdefault(name, {})
            points[sample.at] = max(value, points.get(sample.at, 0.0))
    waiting = {name: points for name, points in fullest.items() if max(points.values()) > 0}
    note = "the fullest instance" if len(readings.by_instance(result.server)) > 1 else ""
    for title, ours, show in (
        ("Queues", lambda name: "bytes" not in name and "percent" not in name, figures.count),
        ("Queues, how full", lambda name: "percent" in name, _of_hundred),
        ("Bytes that wait", lambda name: "bytes" in name, figures.size),
    ):
        lines = [
            Line(_short(name), _COLOURS[index % len(_COLOURS)], list(waiting[name].items()))
            for index, name in enumerate(sorted(filter(ours, waiting)))
        ]
        if lines:
            yield _over_time(result, title, lines, show, note)


def _over_time(
    result: Result,
    title: str,
    lines: Sequence[Line],
    show: _Show,
    note: str = "",
) -> Chart:
    return Chart(
        title=title,
        lines=lines,
        across=_time_axis(result),
        up=_up(lines, show),
        say_across=figures.clock,
        say_up=show,
        note=note,
    )


def _time_axis(result: Result) -> Axis:
    ends = (
        result.seconds,
        *(each.at + each.seconds for each in result.slices),
        *(each.at for each in result.server),
    )
    starts = (0.0, *(each.at for each in result.server[:1]))
    return axes.times(min(starts), max(ends), figures.clock)


def _up(lines: Sequence[Line], show: _Show) -> Axis:
    values = [value for line in lines for _, value in line.points if value is not None]
    if show is figures.milliseconds:
        # A stall is a hundred times what is usual, and both are to be seen.
        return axes.fitting(values, show)
    return axes.linear(values, show, _STEPS.get(show, axes.decimal))


def _short(name: str) -> str:
    return name.removeprefix(_PREFIX).replace("_", " ")


def _of_hundred(value: float | None) -> str:
    return figures.share(None if value is None else value / 100)


def _percent(nines: float) -> str:
    return f"{100 - 100 * 10**-nines:.6g}%"
