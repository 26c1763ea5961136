"""The wall clock agrees with the system's, and never goes back."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.clock import WallClock


def test_it_tells_the_time_of_day() -> None:
    clock = WallClock()
    before = datetime.now(UTC).timestamp()
    assert clock.now() >= before - 0.1
    assert clock.now() <= datetime.now(UTC).timestamp() + 0.1


def test_it_never_goes_back() -> None:
    clock = WallClock()
    told = [clock.now() for _ in range(1000)]
    assert told == sorted(told)
