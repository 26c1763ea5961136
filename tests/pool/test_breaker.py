"""Who may try while something does not answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.breaker import Breaker, State


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(failures=2, rest=1.0, longest_rest=3.0)
    breaker.failed(now)
    breaker.failed(now)
    return breaker


def test_closed_everybody_may_try() -> None:
    breaker = Breaker()
    assert all(breaker.allows(0.0) for _ in range(100))
    assert breaker.retry_after(0.0) == 0


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(failures=2)
    breaker.failed(0.0)
    breaker.succeeded()
    breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.failed(0.0)
    assert breaker.state is State.OPEN
    assert not breaker.allows(0.0)


def test_it_says_when_to_try_again() -> None:
    breaker = opened(10.0)
    assert breaker.retry_after(10.25) == 0.75
    assert breaker.retry_after(12.0) == 0


def test_rested_it_lets_one_try() -> None:
    breaker = opened()
    assert not breaker.allows(0.99)
    assert breaker.allows(1.0)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.allows(1.5)


def test_a_good_attempt_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    breaker.failed(1.0)
    assert breaker.allows(1.0)


def test_each_failed_attempt_doubles_the_rest_up_to_a_bound() -> None:
    breaker = opened()
    rests = []
    now = 0.0
    for _ in range(4):
        now += breaker.retry_after(now)
        assert breaker.allows(now)
        breaker.failed(now)
        rests.append(breaker.retry_after(now))
    assert rests == [2, 3, 3, 3]


def test_after_a_recovery_the_rest_is_short_again() -> None:
    breaker = opened()
    breaker.allows(1.0)
    breaker.failed(1.0)
    breaker.allows(3.0)
    breaker.succeeded()
    breaker.failed(3.0)
    breaker.failed(3.0)
    assert breaker.retry_after(3.0) == 1


def test_an_attempt_that_is_never_told_of_blocks_for_one_rest() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    assert not breaker.allows(1.9)
    assert breaker.allows(2.0)


def test_what_began_before_it_opened_changes_nothing() -> None:
    breaker = opened()
    breaker.succeeded()
    breaker.failed(0.5)
    assert breaker.state is State.OPEN
    assert breaker.retry_after(0.5) == 0.5


@pytest.mark.parametrize(("failures", "rest", "longest"), [(0, 1, 1), (1, 0, 1), (1, 2, 1)])
def test_limits_that_make_no_sense_are_refused(failures: int, rest: float, longest: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Breaker(failures, rest, longest)


@given(st.lists(st.sampled_from(["ask", "good", "bad", "wait"]), max_size=60))
def test_it_never_locks_up_and_never_lets_two_through_at_once(steps: list[str]) -> None:
    """Open or half open, one gets through per rest at most; and one always will."""
    breaker = Breaker(failures=2, rest=1.0, longest_rest=4.0)
    now = 0.0
    let_through_at = -1.0
    for step in steps:
        if step == "ask":
            guarded = breaker.state is not State.CLOSED
            if breaker.allows(now) and guarded:
                assert now - let_through_at >= 1.0
                let_through_at = now
        elif step == "good":
            breaker.succeeded()
        elif step == "bad":
            breaker.failed(now)
        else:
            now += 0.5
        assert 0 <= breaker.retry_after(now) <= 4.0
    assert breaker.allows(now + breaker.retry_after(now))
