"""Deadlines come due once, never early, and a cancelled one never."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.timers import Timer, Timers

TICK = 0.05


def test_nothing_is_due_before_its_time() -> None:
    timers: Timers[str] = Timers(100.0, TICK)
    timers.arm(1.0, "later")
    assert list(timers.due(100.99)) == []
    assert list(timers.due(101.0 + 2 * TICK)) == ["later"]


def test_what_was_due_is_not_due_again() -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    timers.arm(1.0, "once")
    assert list(timers.due(2.0)) == ["once"]
    assert list(timers.due(3.0)) == []
    assert len(timers) == 0


def test_what_is_armed_for_now_is_due_in_the_same_call_and_after_the_others() -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    timers.arm(1.0, "first")
    seen = []
    for item in timers.due(2.0):
        seen.append(item)
        if item == "first":
            timers.arm_now("more")
    assert seen == ["first", "more"]
    assert len(timers) == 0


def test_who_stops_taking_finds_the_rest_still_due() -> None:
    timers: Timers[int] = Timers(0.0, TICK)
    for number in range(3):
        timers.arm(1.0, number)
    taken = next(timers.due(2.0))
    assert sorted([taken, *timers.due(2.0)]) == [0, 1, 2]


def test_a_cancelled_deadline_never_comes_due_and_leaves_nothing() -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    timer = timers.arm(1.0, "never")
    timer.cancel()
    timer.cancel()
    assert len(timers) == 0
    assert list(timers.due(10.0)) == []


def test_cancelled_deadlines_keep_no_room() -> None:
    timers: Timers[int] = Timers(0.0, TICK)
    tracemalloc.start()
    try:
        for _ in range(100):
            timers.time += TICK
            for timer in [timers.arm(300.0, number) for number in range(1000)]:
                timer.cancel()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of each tick its place in the wheel, and not of each deadline.
    assert held < 100 * 1000


def test_one_that_is_due_can_cancel_another_that_is_due() -> None:
    timers: Timers[Timer[object] | None] = Timers(0.0, TICK)
    first = timers.arm(1.0, None)
    second = timers.arm(1.0, None)
    seen = 0
    for _ in timers.due(2.0):
        seen += 1
        first.cancel()
        second.cancel()
    assert seen == 1


def test_what_is_not_taken_stays_due() -> None:
    timers: Timers[int] = Timers(0.0, TICK)
    for number in range(5):
        timers.arm(1.0, number)
    due = timers.due(2.0)
    taken = {next(due), next(due)}
    assert taken | set(timers.due(2.0)) == set(range(5))
    assert len(timers) == 0


def test_the_clock_never_goes_back() -> None:
    timers: Timers[str] = Timers(50.0, TICK)
    list(timers.due(40.0))
    assert timers.now() == 50.0


DELAYS = st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=50)


@given(DELAYS, st.lists(st.floats(0, 10), max_size=50))
def test_each_deadline_agrees_with_a_list(
    delays: list[tuple[float, bool]], steps: list[float]
) -> None:
    """Against the naive model: due at or after its time, at most two ticks late."""
    timers: Timers[int] = Timers(0.0, TICK)
    waiting: dict[int, float] = {}
    for number, (delay, cancelled) in enumerate(delays):
        timer = timers.arm(delay, number)
        if cancelled:
            timer.cancel()
        else:
            waiting[number] = delay
    now = 0.0
    for step in steps:
        now += step
        for number in timers.due(now):
            assert waiting.pop(number) <= now
        assert all(when > now - 2 * TICK for when in waiting.values())
    assert len(timers) == len(waiting)


def test_those_that_may_be_late_come_due_together() -> None:
    timers: Timers[int] = Timers(0.0, TICK)
    for number in range(10):
        timers.arm_about(1.01 + number * TICK, 1.0, number)
    assert list(timers.due(1.99)) == []
    assert sorted(timers.due(2.01)) == list(range(10))


@given(st.floats(0.0, 1000.0), st.floats(0.0, 10.0))
def test_none_of_them_is_early_or_later_than_it_may_be(delay: float, within: float) -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    timers.arm_about(delay, within, "about")
    due = timers.next_due()
    assert due is not None
    assert delay < due <= delay + within + TICK + 1e-6


def test_what_is_due_next_is_told_to_the_tick() -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    assert timers.next_due() is None
    timers.arm(1.0, "later")
    sooner = timers.arm(0.5, "sooner")
    due = timers.next_due()
    assert due is not None
    assert 0.5 <= due <= 0.5 + TICK
    sooner.cancel()
    due = timers.next_due()
    assert due is not None
    assert list(timers.due(due - 0.001)) == []
    assert list(timers.due(due + 0.001)) == ["later"]
    assert timers.next_due() is None


def test_who_sleeps_is_told_only_of_what_is_sooner() -> None:
    timers: Timers[str] = Timers(0.0, TICK)
    told: list[float] = []
    timers.on_sooner = told.append
    for delay in (5.0, 7.0, 5.0, 3.0, 4.0):
        timers.arm(delay, "any")
    assert told == [pytest.approx(5.0, abs=TICK), pytest.approx(3.0, abs=TICK)]
