"""How much passes, and that the rest is counted."""

from __future__ import annotations

from gateway.floodgate import PER_SECOND, Floodgate
from tests.wire import Clock


def test_some_pass_each_second_and_the_rest_is_counted_when_it_is_over() -> None:
    clock, held_back = Clock(), list[tuple[str, int]]()
    gate = Floodgate(clock.timers, lambda kind, count: held_back.append((kind, count)))
    passed = sum(gate.admits("wrong") for _ in range(1_000))
    assert passed == PER_SECOND
    assert held_back == []
    clock.pass_time(1.1)
    assert held_back == [("wrong", 1_000 - PER_SECOND)]
    assert gate.admits("wrong")


def test_a_flood_of_one_kind_hides_no_other() -> None:
    clock = Clock()
    gate = Floodgate(clock.timers, lambda _kind, _count: None, most=1)
    assert [gate.admits("missing") for _ in range(3)] == [True, False, False]
    assert gate.admits("scope")


def test_what_is_rare_is_never_counted_and_leaves_nothing() -> None:
    clock, held_back = Clock(), list[str]()
    gate = Floodgate(clock.timers, lambda kind, _count: held_back.append(kind))
    for _ in range(5):
        assert gate.admits("wrong")
        clock.pass_time(1.1)
    assert held_back == []
    assert len(clock.timers) == 0
