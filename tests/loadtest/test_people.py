"""A crowd that is cut off at once, seen from the loop that does it.

What one person does is a part of whole runs: tests/loadtest/test_coordinator.py.
"""

from __future__ import annotations

import time

from loadtest.load import Load, opened_load
from loadtest.people import Storm


class Crowd:
    """Counts who was cut off, and how many at most between two turns of the loop."""

    def __init__(self, load: Load, count: int) -> None:
        self.cut = 0
        self.most_in_a_turn = 0
        self._load = load
        self._count = count
        self._seen = 0

    def reconnect(self) -> None:
        self.cut += 1

    def watch(self, _now: float) -> None:
        """Look once in each turn, until everybody was cut off."""
        self.most_in_a_turn = max(self.most_in_a_turn, self.cut - self._seen)
        self._seen = self.cut
        if self._seen < self._count:
            self._load.at(time.perf_counter(), self.watch)
        else:
            self._load.stop()


def test_a_storm_cuts_everybody_off_but_few_in_one_turn() -> None:
    count = 1_000
    with opened_load() as load:
        crowd = Crowd(load, count)
        now = time.perf_counter()
        load.at(now, Storm(load, [crowd] * count).go_on)
        load.at(now, crowd.watch)
        load.run(10.0)
    assert crowd.cut == count
    assert 0 < crowd.most_in_a_turn <= 64
