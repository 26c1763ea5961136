"""The schedule is kept whatever happens, and its rate is that which was wished."""

from __future__ import annotations

import random  # noqa: TID251 - with a seed
import time
from collections.abc import Iterator

import pytest

from loadtest.arrivals import Arrivals
from loadtest.load import Load, opened_load


@pytest.fixture
def load() -> Iterator[Load]:
    with opened_load() as load:
        load.asking = True
        yield load


def test_even_arrivals_are_due_at_even_times_also_when_they_are_told_late(load: Load) -> None:
    due: list[float] = []
    arrivals = Arrivals(load, 1000.0, None, lambda meant, _now: due.append(meant))
    begun = time.perf_counter() - 0.5
    arrivals.begin(begun)
    load.run(0.01)
    assert len(due) >= 500
    assert due[:500] == pytest.approx([begun + n / 1000 for n in range(1, 501)], abs=1e-6)


def test_arrivals_by_chance_have_the_rate_on_average(load: Load) -> None:
    due: list[float] = []
    arrivals = Arrivals(load, 20_000.0, random.Random(1), lambda meant, _now: due.append(meant))
    begun = time.perf_counter() - 1
    arrivals.begin(begun)
    load.run(0.001)
    assert due == sorted(due)
    assert sum(each < begun + 1 for each in due) == pytest.approx(20_000, rel=0.05)


def test_a_shape_changes_the_rate_for_its_time(load: Load) -> None:
    due: list[float] = []
    shape = [(0.0, 1.0), (1.0, 10.0), (2.0, 1.0)]
    arrivals = Arrivals(load, 100.0, None, lambda meant, _now: due.append(meant), shape)
    begun = time.perf_counter() - 3
    arrivals.begin(begun)
    load.run(0.001)
    in_second = [sum(n <= each - begun < n + 1 for each in due) for n in range(3)]
    assert in_second == pytest.approx([100, 1000, 100], abs=12)


def test_a_rate_of_nothing_waits_for_another_one(load: Load) -> None:
    due: list[float] = []
    arrivals = Arrivals(load, 0.0, None, lambda meant, _now: due.append(meant))
    arrivals.begin(time.perf_counter())
    load.run(0.01)
    assert due == []
    arrivals.set_rate(1000.0)
    load.run(0.3)
    assert due
    load.asking = False
    load.run(0.02)
    count = len(due)
    load.run(0.02)
    assert len(due) == count
