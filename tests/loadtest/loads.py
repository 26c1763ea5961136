"""Small loads for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest import plans
from loadtest.coordinator import Coordinator
from loadtest.places import Target
from loadtest.plans import Plan, Wishes
from loadtest.result import Result
from loadtest.scenarios import SCENARIOS


def small_plan(
    target: Target, scenario: str = "baseline", wishes: Wishes | None = None, **changes: Any
) -> Plan:
    """Return a plan for a second with few people."""
    chosen = SCENARIOS[scenario].of_size(20)
    usual: dict[str, Any] = {"duration": 1.0, "think": "0"}
    if chosen.callers:
        usual |= {"callers": 8, "rate": 60.0}
    chosen = msgspec.structs.replace(chosen, **(usual | changes))
    wishes = wishes or Wishes(processes=1, timeout=10.0)
    return Plan(
        name=scenario,
        scenario=chosen,
        wishes=wishes,
        targets=(target,),
        sources=plans.sources(chosen, wishes, [target]),
        processes=plans.processes(chosen, wishes),
        run="test",
    )


def loaded(plan: Plan) -> Result:
    """Return what comes of it."""
    return Coordinator(plan, [], None).run()
