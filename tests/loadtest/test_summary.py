"""What the table says, and what it says loudly."""

from __future__ import annotations

import re

from loadtest import summary
from loadtest.result import Truth
from tests.loadtest.example import broken, empty, find_limit, result


def line(text: str, name: str) -> str:
    return next(each for each in text.splitlines() if each.startswith(f"  {name} "))


def test_a_good_run_is_told_without_alarm() -> None:
    said = summary.text(result())
    assert said.startswith("steady, 2026-03-01T12:00:00Z, 1:00\n  rate ")
    assert not re.search("NOT ZERO|LIMIT|FAILED|REFUSED|!!!", said)
    assert line(said, "asked").split() == ["asked", "120,000"]
    assert line(said, "frames received").split()[-1] == "240,000"
    assert "500 in 800 ms" in line(said, "connecting")
    assert "80 MiB to 81.1 MiB (1.4%), at most 81.1 MiB" in line(said, "127.0.0.1:8082")
    assert "loop at most 210 ms late, 55% of a core" in said
    for name in ("mean", "p50", "p90", "p99", "p99.9", "max"):
        assert line(said, name).split()[-1] in ("ms", "us")


def test_what_is_not_zero_and_did_not_hold_stands_out() -> None:
    said = summary.text(broken())
    assert said.count("NOT ZERO") == 5
    assert line(said, "refused: HTTP 503").split()[3] == "7"
    assert line(said, "lost==0").split()[1:] == ["FAILED:", "3"]
    assert line(said, "p99<20ms").split()[1:] == ["holds:", "4.1", "ms"]


def test_a_client_that_was_the_limit_has_the_first_and_the_last_word() -> None:
    lines = summary.text(broken()).splitlines()
    assert lines[0] == lines[-1]
    assert "THE CLIENT WAS THE LIMIT" in lines[0]
    assert "its loop was 950 ms late" in lines[0]


def test_the_steps_of_a_search_are_in_order_with_the_knee_below() -> None:
    said = summary.text(find_limit())
    steps = re.findall(r"^  ([\d,]+)/s +(held|BROKE)", said, re.MULTILINE)
    assert [step[0] for step in steps] == ["1,000", "2,000", "4,000", "6,000", "8,000"]
    assert [step[1] for step in steps] == ["held", "held", "held", "BROKE", "BROKE"]
    assert line(said, "limit").endswith("4,000/s held")
    assert line(said, "4,000/s").endswith("of a core: client 25%, server 73%")
    assert line(said, "busiest process").endswith("62% of a core, beside the limit")
    assert line(said, "1,000/s").endswith("of a core: client 6.2%, server -")


def test_a_search_in_which_nothing_held_says_so() -> None:
    steps = [step for step in find_limit().steps if not step.held]
    assert "no rate held" in summary.text(result(steps=steps))


def test_of_an_empty_run_nothing_is_made_up() -> None:
    said = summary.text(empty())
    assert "nothing was answered" in said
    assert "Server" not in said


def test_a_servers_words_move_no_cursor() -> None:
    said = summary.text(result(truth=Truth(refused={"\x1b[2J\n" + "x" * 500: 1})))
    assert "\x1b" not in said
    assert "x" * 81 not in said
