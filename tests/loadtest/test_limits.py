"""The search, on servers that are one number each."""

from __future__ import annotations

import pytest

from loadtest import limits
from loadtest.limits import Search
from loadtest.result import Latency, ServerSample, Slice, Step


def _step(rate: float, *, held: bool) -> Step:
    return Step(rate=rate, answered_rate=rate, p50=1, p99=1, failed=0, held=held)


@pytest.mark.parametrize("limit", [90.0, 500.0, 777.0, 20_000.0])
def test_the_knee_is_found_from_either_side(limit: float) -> None:
    search = Search(500.0)
    while (rate := search.rate()) is not None:
        search.tried(_step(rate, held=rate <= limit))
    assert 0.94 * limit <= search.knee <= limit
    assert len(search.steps) < 20


def test_a_server_that_holds_nothing_ends_the_search() -> None:
    search = Search(100.0)
    while (rate := search.rate()) is not None:
        search.tried(_step(rate, held=False))
    assert search.knee == 0
    assert len(search.steps) <= 25


@pytest.mark.parametrize(
    ("p99", "failed", "behind", "held"),
    [(100, 0, 10, True), (101, 0, 0, False), (1, 1, 0, False), (1, 0, 11, False)],
)
def test_a_rate_holds_when_answers_are_in_time_right_and_not_fewer_than_questions(
    p99: float, failed: int, behind: int, *, held: bool
) -> None:
    slices = [
        Slice(
            at=at, seconds=1, asked=100, answered=100, failed=failed, in_flight=5 + behind * at,
            p50=1, p99=p99, max=p99, frames=0, lag=1, cpu=0.1 + at / 10,
        )
        for at in (0, 1)
    ]  # fmt: skip
    latency = Latency(count=1, mean=1, p50=1, p90=1, p99=p99, p999=1, max=1, histogram="")
    samples = [
        ServerSample(at=at, instance=name, cpu_seconds=share * at)
        for at in (1.0, 2.0)
        for name, share in (("one", 0.25), ("other", 0.75))
    ]
    step = limits.judged(100.0, slices, latency, 5, samples)
    assert (step.held, step.answered_rate) == (held, 100)
    assert (step.client_cpu, step.server_cpu) == (0.2, 0.75)
    assert limits.judged(100.0, slices, latency, 5).server_cpu is None


@pytest.mark.parametrize(("answered", "in_flight"), [(0, 0), (1, 500), (500, 500)])
def test_one_second_is_enough_to_see_that_a_server_does_not_answer(
    answered: int, in_flight: int
) -> None:
    """What is in flight at its end says nothing without what was before."""
    only = Slice(
        at=9, seconds=1, asked=500, answered=answered, failed=0, in_flight=in_flight,
        p50=None, p99=None, max=None, frames=0, lag=1, cpu=0.1,
    )  # fmt: skip
    latency = Latency(count=answered, mean=0, p50=0, p90=0, p99=0, p999=0, max=0, histogram="")
    assert not limits.judged(500.0, [only], latency, 0).held


def test_people_who_began_to_think_when_the_step_began_are_not_behind() -> None:
    """They are in flight as long as they think, and as many as the rate makes them."""
    seconds = [
        Slice(
            at=at, seconds=1, asked=500, answered=500, failed=0, in_flight=1_000,
            p50=1, p99=1, max=1, frames=0, lag=1, cpu=0.1,
        )
        for at in (0, 1)
    ]  # fmt: skip
    latency = Latency(count=1_000, mean=1, p50=1, p90=1, p99=1, p999=1, max=1, histogram="")
    assert limits.judged(500.0, seconds, latency, 500).held


@pytest.mark.parametrize(
    ("tried", "beside"),
    [
        ([(1, True), (2, True), (4, False), (3, False)], [2, 3]),
        ([(1, False), (0.5, False)], [0.5]),
        ([(1, True), (2, True)], [2]),
        ([], []),
    ],
)
def test_the_knee_lies_between_the_highest_that_held_and_the_lowest_that_broke(
    tried: list[tuple[float, bool]], beside: list[float]
) -> None:
    search = Search(1.0)
    for rate, held in tried:
        search.tried(_step(rate, held=held))
    assert [step.rate for step, _ in search.beside_knee()] == beside
