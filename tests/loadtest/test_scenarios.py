"""The table makes sense, at every size."""

from __future__ import annotations

import pytest

from loadtest import thinking
from loadtest.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_has_somebody_to_ask_and_enough_who_ask(name: str) -> None:
    scenario = SCENARIOS[name]
    mean = thinking.parse(scenario.think).mean
    assert scenario.frontends > 0
    # In flight are so many on average; as many again is room for chance.
    assert scenario.callers >= 2 * scenario.peak_rate * mean
    assert (scenario.callers > 0) != (scenario.messages > 0)


def test_another_size_keeps_the_proportions() -> None:
    baseline = SCENARIOS["baseline"]
    small = baseline.of_size(100)
    assert (small.frontends, small.callers, small.rate) == (100, 50, 10.0)
    assert small.think == baseline.think
    assert SCENARIOS["messages"].of_size(10).callers == 0
