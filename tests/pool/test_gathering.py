"""When a poll waits for more, for how long, and when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from pool.gathering import PAUSE_SECONDS, Gathering

REST: Final = ("rest", 0.002)
LOOK: Final = ("poll", 0)
WAIT: Final = ("poll", PAUSE_SECONDS)


class World:
    """Finds as many as it is told, and notes what is done for that."""

    def __init__(self, owed: int = 0) -> None:
        self.done: list[tuple[str, float]] = []
        self.found: list[int] = []
        self.others: set[Any] = set()
        self.gathering = Gathering(self.others)
        self.gathering.rest = lambda seconds: self.done.append(("rest", seconds))
        self.gathering.owed = lambda: owed

    def poll(self, seconds: float, limit: int) -> Sequence[tuple[int, int]]:
        self.done.append(("poll", seconds))
        return [(number, 1) for number in range(self.found.pop(0))][:limit]

    def ready(self, *found: int, is_busy: bool = True) -> tuple[int, list[tuple[str, float]]]:
        """Return how many were ready in the end, and what was done for that."""
        self.done, self.found = [], list(found)
        selector: Any = self
        return len(self.gathering.ready(selector, is_busy=is_busy)), self.done


def test_in_a_quiet_time_nothing_is_waited_for() -> None:
    world = World(owed=100)
    assert world.ready(0, is_busy=False) == (0, [LOOK])
    assert world.ready(3, is_busy=False) == (3, [LOOK])


def test_in_busy_times_the_next_one_is_waited_for() -> None:
    world = World()
    assert world.ready(0, 2) == (2, [LOOK, WAIT])
    assert world.ready(0, 0) == (0, [LOOK, WAIT])
    assert world.ready(5) == (5, [LOOK])


@pytest.mark.parametrize(("owed", "gathers"), [(3, False), (4, True)])
def test_many_replies_are_gathered(owed: int, *, gathers: bool) -> None:
    world = World(owed)
    rest = [REST] if gathers else []
    for found in (1, 15, 0):
        assert world.ready(found, 0)[1] == [*rest, LOOK, *([] if found else [WAIT])]
    assert world.ready(16) == (16, [*rest, LOOK])
    # That was enough to do: what is ready by then is next.
    assert world.ready(2) == (2, [LOOK])
    assert world.ready(2) == (2, [*rest, LOOK])


def test_while_others_could_go_on_nothing_is_waited_for() -> None:
    world = World(owed=100)
    world.others.add("a task")
    assert world.ready(0) == (0, [LOOK])
    world.others.clear()
    assert world.ready(0, 1) == (1, [REST, LOOK, WAIT])
