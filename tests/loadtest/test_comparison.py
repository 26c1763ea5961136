"""Two runs, and when they are not to be compared."""

from __future__ import annotations

import msgspec

from loadtest import comparison
from tests.loadtest.example import broken, empty, find_limit, result


def row(text: str, name: str) -> list[str]:
    (line,) = (each for each in text.splitlines() if each.startswith(f"{name}  "))
    return line.removeprefix(name).split()


def test_a_run_is_itself_once() -> None:
    said = comparison.text(result(), result())
    assert "!!!" not in said
    assert row(said, "answered") == ["2,000/s", "2,000/s", "x1.00"]
    assert row(said, "failures") == ["0", "0", "x1.00"]
    assert said.count("x1.00") == 14


def test_a_figure_is_told_as_how_many_times_the_first_it_is() -> None:
    slower = msgspec.structs.replace(result().latency, p99=result().latency.p99 * 1.5)
    said = comparison.text(result(), result(latency=slower))
    assert row(said, "p99")[-1] == "x1.50"
    assert row(said, "p50")[-1] == "x1.00"


def test_different_scenarios_conditions_and_a_limiting_client_are_warned_of() -> None:
    other = result(conditions={"rate": "9/s", "tls": "on"})
    said = comparison.text(other, msgspec.structs.replace(broken(), scenario="burst"))
    assert [line for line in said.splitlines() if line.startswith("!!!")] == [
        "!!! the scenarios differ: steady and burst",
        "!!! the conditions differ in rate: 9/s and 2,000/s",
        "!!! the conditions differ in tls: on and not told",
        "!!! the conditions differ in processor: not told and Imaginary 9000, 8 cores",
        "!!! the client was the limit in B: its loop was 950 ms late",
    ]
    assert row(said, "failures") == ["0", "17", "-"]


def test_what_one_of_them_lacks_is_a_dash_and_what_both_lack_is_not_told() -> None:
    said = comparison.text(find_limit(), empty())
    assert row(said, "limit") == ["4,000/s", "-", "-"]
    assert row(said, "p99")[-1] == "-"
    assert "limit" not in comparison.text(result(), empty())
