"""What follows from a result, and what does not."""

from __future__ import annotations

import pytest

from loadtest import readings
from loadtest.result import ServerSample
from tests.loadtest.example import broken, empty, find_limit, result, sample


def test_rates_and_shares_are_of_the_load() -> None:
    assert readings.answered_rate(result()) == 2_000
    assert readings.failure_share(broken()) == pytest.approx(17 / 120_000)


def test_of_nothing_nothing_follows() -> None:
    assert readings.answered_rate(empty()) is None
    assert readings.failure_share(empty()) is None
    assert readings.knee(empty().steps) is None
    assert readings.instances([]) == []
    assert readings.latency("p99")(empty()) is None
    assert readings.worst("rss_peak")(empty()) is None
    assert readings.cpu_shares([]) == []


def test_the_knee_is_the_highest_rate_that_held_in_whatever_order_they_were_tried() -> None:
    assert readings.knee(find_limit().steps) == 4_000


def test_each_instance_has_its_own_costs() -> None:
    samples = [each for at in range(41) for each in (sample(at, "a:1"), sample(at, "b:2"))]
    samples.append(ServerSample(at=41, instance="b:2"))
    first, second = readings.instances(samples)
    assert (first.address, second.address) == ("a:1", "b:2")
    assert first.rss_start == 80 * 2**20
    assert first.rss_end == first.rss_peak == 80 * 2**20 + 800_000
    assert first.rss_growth == pytest.approx(800_000 / (80 * 2**20))
    assert first.lag_max == 210
    assert first.cpu == pytest.approx(0.55)
    assert second[1:] == first[1:]


def test_an_instance_that_never_answered_is_unknown() -> None:
    (silent,) = readings.instances([ServerSample(at=0, instance="a:1")])
    assert silent[1:] == (None, None, None, None, None)
    assert silent.rss_growth is None


def test_a_process_that_was_started_anew_has_no_share_for_that_moment() -> None:
    samples = [
        ServerSample(at=at, instance="a:1", cpu_seconds=cpu)
        for at, cpu in ((0, 1.0), (2, 2.0), (3, 0.1), (4, None), (5, 0.2), (5, 0.3))
    ]
    assert readings.cpu_shares(samples) == [(2, 0.5), (3, None), (4, None), (5, None), (5, None)]


def test_of_several_instances_the_worst_counts() -> None:
    run = result(server=[sample(39, "a:1"), sample(40, "b:2")])
    assert readings.worst("lag_max")(run) == 210
    assert readings.latency("p50")(run) == run.latency.p50
