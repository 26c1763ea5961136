"""A quiet tenant beside a noisy one: how they are let in, made, and judged."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from gateway.auth.keys import KeyTable, records_of_file
from loadtest import neighbours, targets
from loadtest.coordinator import LoadError
from loadtest.places import Target, mcp_place, ws_place
from loadtest.plans import Plan, Wishes
from loadtest.result import Result, Truth
from loadtest.scenarios import SCENARIOS
from tests.loadtest.example import latency, result
from tests.loadtest.loads import small_plan

NOISY = SCENARIOS["noisy-neighbour"]


def test_a_gateway_of_our_own_knows_both_and_limits_one() -> None:
    with neighbours.gateway_flags(NOISY) as (flags, tokens):
        files = dict(zip(flags[::2], flags[1::2], strict=True))
        keys = Path(files["--auth-keys"])
        assert keys.stat().st_mode & 0o077 == 0
        table = KeyTable(records_of_file(keys.read_bytes()))
        assert [table.find(token, 0.0).tenant for token in tokens] == ["quiet", "noisy"]
        quotas = tomllib.loads(Path(files["--quotas-file"]).read_text("utf-8"))
        assert quotas == {"noisy": {"asks_per_second": NOISY.noise / 10}}
    assert not keys.exists()


def _plan(*tokens: str) -> Plan:
    target = Target(ws_place(1), mcp_place(2))
    return small_plan(target, "noisy-neighbour", Wishes(tokens=tokens))


def test_the_noise_is_there_before_and_after_what_is_measured() -> None:
    plan = _plan("a", "b")
    noise = neighbours.noisy_plan(plan)
    assert noise.scenario.rate == plan.scenario.noise
    assert noise.scenario.duration > plan.scenario.duration
    assert noise.wishes.tokens == ("b",)
    assert noise.run != plan.run
    assert noise.frontend_route(0).place.token == "b"
    assert plan.frontend_route(0).place.token == "a"


@pytest.mark.parametrize("tokens", [(), ("a",), ("a", "b", "c")])
def test_two_tenants_need_two_credentials(tokens: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="two credentials"):
        neighbours.noisy_plan(_plan(*tokens))


def _run(p99: float, **truth: object) -> Result:
    found = result(truth=msgspec.convert({"asked": 10, "answered": 10, **truth}, Truth))
    found.latency = msgspec.structs.replace(latency(), p99=p99)
    found.conditions["questions"] = "500 a second"
    return found


def test_the_ratio_is_that_of_the_quiet_ones_p99() -> None:
    noise = _run(1.0, asked=100, answered=10, refused={"over the quota asks_per_second": 90})
    judged = neighbours.judged(_run(10.0), _run(11.5), noise)
    other = judged.neighbour
    assert other is not None
    assert other.ratio == pytest.approx(1.15)
    assert (other.asked, other.answered, other.over_quota) == (100, 10, 90)
    assert judged.truth.failures == 0
    assert judged.conditions["neighbour"] == "500 a second"


def test_what_went_wrong_with_either_is_a_failure() -> None:
    refused = {"over the quota asks_per_second": 9, "due, and never asked: x": 5, "boom": 2}
    noise = _run(1.0, crossed=1, refused=refused)
    alone = _run(0.0, lost=2, refused={"late": 1})
    judged = neighbours.judged(alone, _run(11.0, late=1), noise)
    truth = judged.truth
    assert (truth.crossed, truth.lost, truth.late) == (1, 2, 1)
    assert truth.refused == {"alone: late": 1, "noisy: boom": 2}
    assert judged.neighbour is not None
    assert judged.neighbour.ratio is None


def test_a_neighbour_that_was_never_held_back_shows_nothing() -> None:
    judged = neighbours.judged(_run(1.0), _run(1.0), _run(1.0))
    assert judged.truth.refused == {"noisy: it was never over its quota": 1}


@pytest.mark.slow
def test_a_whole_run_measures_both() -> None:
    scenario = msgspec.structs.replace(NOISY.of_size(10), callers=10, noise=300.0, duration=1.0)
    wishes = Wishes(processes=1, timeout=10.0)
    with targets.running(scenario, wishes, ()) as (used, shown):
        plan = msgspec.structs.replace(
            small_plan(used[0], "noisy-neighbour", shown), scenario=scenario
        )
        found = neighbours.run(plan, [], lambda: None)
    assert found.truth.failures == 0, found.truth
    assert found.neighbour is not None
    assert found.neighbour.over_quota > found.neighbour.answered > 0
    assert found.neighbour.p99_alone > 0


@pytest.mark.slow
def test_a_noisy_one_that_is_not_let_in_is_said() -> None:
    scenario = msgspec.structs.replace(NOISY.of_size(10), callers=4, duration=0.3)
    wishes = Wishes(processes=1, timeout=5.0)
    with targets.running(scenario, wishes, ()) as (used, shown):
        wrong = msgspec.structs.replace(shown, tokens=(shown.tokens[0], "wrong"))
        plan = msgspec.structs.replace(
            small_plan(used[0], "noisy-neighbour", wrong), scenario=scenario
        )
        with pytest.raises(LoadError, match="noisy tenant"):
            neighbours.run(plan, [], lambda: None, connect_seconds=4.0)
