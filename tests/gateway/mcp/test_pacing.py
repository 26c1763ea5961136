"""Many things, one delay."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.mcp.pacing import Pace
from pool.timers import Timers


def _tick(timers: Timers[Callable[[], None]], now: float) -> None:
    for callback in timers.due(now):
        callback()


def test_each_is_called_once_after_the_delay_in_order() -> None:
    """And never before it."""
    timers: Timers[Callable[[], None]] = Timers(0.0)
    called: list[str] = []
    pace: Pace[str] = Pace(timers, 1.0, called.append)
    pace.add("a")
    _tick(timers, 0.5)
    pace.add("b")
    _tick(timers, 0.95)
    assert called == []
    _tick(timers, 1.2)
    assert called == ["a"]
    _tick(timers, 1.7)
    assert called == ["a", "b"]
    _tick(timers, 9.0)
    assert called == ["a", "b"]
    assert len(timers) == 0


def test_what_is_discarded_is_not_called_and_not_kept() -> None:
    """Whatever is still waiting."""
    timers: Timers[Callable[[], None]] = Timers(0.0)
    called: list[str] = []
    pace: Pace[str] = Pace(timers, 1.0, called.append)
    pace.add("a")
    pace.add("b")
    pace.discard("a")
    pace.discard("unknown")
    assert len(pace) == 1
    _tick(timers, 2.0)
    assert called == ["b"]


def test_a_thousand_things_need_one_timer() -> None:
    """Adding costs no timer of its own."""
    timers: Timers[Callable[[], None]] = Timers(0.0)
    pace: Pace[int] = Pace(timers, 1.0, lambda _item: None)
    for item in range(1000):
        pace.add(item)
    assert len(timers) == 1


def test_one_may_add_itself_again_while_it_is_called() -> None:
    """A heartbeat does."""
    timers: Timers[Callable[[], None]] = Timers(0.0)
    times: list[float] = []

    def beat(item: str) -> None:
        times.append(timers.now())
        pace.add(item)

    pace: Pace[str] = Pace(timers, 1.0, beat)
    pace.add("a")
    for step in range(1, 70):
        _tick(timers, step * 0.05)
    assert times == pytest.approx([1.05, 2.1, 3.15])


def test_a_callback_that_fails_does_not_silence_the_others() -> None:
    """They have their turn at the next tick."""
    timers: Timers[Callable[[], None]] = Timers(0.0)
    called: list[str] = []

    def call(item: str) -> None:
        if item == "bad":
            raise ValueError(item)
        called.append(item)

    pace: Pace[str] = Pace(timers, 1.0, call)
    pace.add("bad")
    pace.add("good")
    with pytest.raises(ValueError, match="bad"):
        _tick(timers, 1.5)
    _tick(timers, 1.6)
    assert called == ["good"]
