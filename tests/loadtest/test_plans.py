"""Who goes where: everybody once, evenly, and from addresses that have ports for it."""

from __future__ import annotations

import collections
from typing import Any

import msgspec
import pytest

from loadtest import places, plans
from loadtest.places import Target
from loadtest.plans import Plan, Wishes
from loadtest.scenarios import SCENARIOS

TARGETS = tuple(Target(places.ws_place(port), places.mcp_place(port + 1)) for port in (8080, 9080))


def _plan(name: str = "baseline", **changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "name": name, "scenario": SCENARIOS[name], "wishes": Wishes(), "targets": TARGETS,
        "sources": (), "processes": 3, "run": "x",
    }  # fmt: skip
    return Plan(**(usual | changes))


def test_everybody_belongs_to_one_process() -> None:
    plan = _plan()
    everybody = [number for part in range(3) for number in plan.frontends_of(part)]
    assert sorted(everybody) == list(range(1000))
    assert sum(plan.share_of(part) for part in range(3)) == pytest.approx(1)


def test_targets_and_sources_meet_in_all_ways() -> None:
    plan = _plan(sources=("127.0.0.1", "127.0.0.2"))
    routes = collections.Counter(plan.frontend_route(number) for number in range(1000))
    assert len(routes) == 4
    assert set(routes.values()) == {250}


@pytest.mark.parametrize("name", ["fanout", "slow"])
def test_of_all_who_are_shown_a_question_exactly_one_has_the_turn(name: str) -> None:
    plan = _plan(name, targets=TARGETS[:1])
    turns = [plan.turn(number) for number in range(plan.scenario.frontends)]
    for token in range(1_000_000_000_000, 1_000_000_000_150):
        having = [n for n, turn in enumerate(turns) if str(token).endswith(turn)]
        assert len(having) == 1
        assert not plan.is_slow(having[0])


def test_few_who_are_shown_everything_have_one_who_answers() -> None:
    scenario = msgspec.structs.replace(SCENARIOS["fanout"], frontends=5)
    plan = _plan("fanout", scenario=scenario, targets=TARGETS[:1])
    assert [plan.turn(number) for number in range(5)] == ["", *["nobody"] * 4]


def test_the_slow_ones_receive_little_ahead() -> None:
    plan = _plan("slow")
    slow = [n for n in range(200) if plan.frontend_route(n).receive_bytes]
    assert slow == [n for n in range(200) if plan.is_slow(n)] == list(range(180, 200))


def test_many_connections_get_more_processes_instances_and_sources() -> None:
    stress = SCENARIOS["stress"]
    assert plans.instances(stress) == 5
    assert plans.processes(stress, Wishes(processes=1)) == 5
    assert plans.sources(stress, Wishes(), TARGETS[:1]) == ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    assert plans.sources(stress, Wishes(), TARGETS * 2) == ()
    assert plans.sources(stress, Wishes(sources=("::1",)), TARGETS) == ("::1",)
    assert plans.processes(SCENARIOS["baseline"], Wishes()) >= 1


def test_conditions_name_what_is_unusual() -> None:
    told = dict(plans.conditions(_plan("slow", sources=("127.0.0.9",))))
    assert told["stop reading"] == "10% of the frontends"
    assert told["from"] == "127.0.0.9"
    assert told["payload"] == "2,000 bytes each way"
    assert "25%, 50%, 75%" in str(dict(plans.conditions(_plan("storm"))))
    assert "10 a second each" in str(dict(plans.conditions(_plan("messages"))))
    assert "from 500" in str(dict(plans.conditions(_plan("find-limit"))))
    closed = msgspec.structs.replace(SCENARIOS["baseline"], rate=None)
    assert "as soon as" in str(dict(plans.conditions(_plan(scenario=closed))))
