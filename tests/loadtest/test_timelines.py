"""Which charts there are, and that they share their time."""

from __future__ import annotations

import msgspec

from loadtest import timelines
from loadtest.result import ServerSample
from tests.loadtest.example import empty, find_limit, result, sample, second


def test_all_that_happens_over_time_has_one_axis() -> None:
    run = result(server=[sample(at) for at in range(-1, 75)])
    charts = [
        *timelines.latency(run),
        *timelines.load(run),
        *timelines.server(run),
        *timelines.client(run),
    ]
    assert {(chart.across.start, chart.across.end) for chart in charts} == {(-1.0, 74.0)}
    assert [chart.title for chart in charts] == [
        "Latency over time",
        "Throughput",
        "Questions in flight",
        "Frames that frontends received",
        "Memory",
        "CPU",
        "Loop lag",
        "Queues",
        "Bytes that wait",
        "The load's own loop lag",
        "The load's own CPU",
    ]


def test_rates_are_of_a_second_however_long_a_slice_was() -> None:
    long = msgspec.structs.replace(second(0), seconds=4.0)
    none = msgspec.structs.replace(second(4), seconds=0.0)
    throughput, _, frames = timelines.load(result(slices=[long, none]))
    assert [line.points for line in throughput.lines] == [
        [(0.0, 500.0), (4.0, None)],
        [(0.0, 500.0), (4.0, None)],
        [(0.0, 0.0), (4.0, None)],
    ]
    assert frames.lines[0].points == [(0.0, 1_000.0), (4.0, None)]


def test_the_percentiles_reach_as_many_nines_as_there_were_answers_for() -> None:
    (chart,) = timelines.percentiles(result())
    assert chart.across.end == 5.0
    assert chart.say_across(3.0) == "99.9%"


def test_each_instance_has_its_line_and_of_queues_the_fullest_counts() -> None:
    samples = [
        ServerSample(at=1.0, instance=name, queues={"channel_utilization_percent workers": full})
        for name, full in (("a:1", 5.0), ("b:2", 50.0))
    ]
    memory, *_, queues = timelines.server(result(server=samples))
    assert [line.name for line in memory.lines] == ["a:1", "b:2"]
    assert queues.note == "the fullest instance"
    assert queues.say_up(50.0) == "50%"
    assert queues.say_up(None) == "-"
    assert [(line.name, line.points) for line in queues.lines] == [
        ("channel utilization percent workers", [(1.0, 50.0)])
    ]


def test_queues_in_which_nothing_waited_are_named_and_not_drawn() -> None:
    assert timelines.always_zero(result()) == ["connections blocked"]
    names = {line.name for chart in timelines.server(result()) for line in chart.lines}
    assert names == {"127.0.0.1:8082", "worker queue depth", "outbox bytes"}


def test_the_knee_is_marked_where_there_is_one() -> None:
    latency, answered = timelines.knee(find_limit())
    assert latency.mark == answered.mark == (4_000.0, "4,000/s held")
    assert [at for at, _ in latency.lines[0].points] == [1_000, 2_000, 4_000, 6_000, 8_000]
    broken = [step for step in find_limit().steps if not step.held]
    assert next(timelines.knee(result(steps=broken))).mark is None


def test_an_empty_run_has_charts_of_nothing() -> None:
    run = empty()
    for make in (timelines.latency, timelines.percentiles, timelines.load, timelines.server):
        for chart in make(run):
            assert not any(line.points for line in chart.lines)
    assert timelines.always_zero(run) == []
