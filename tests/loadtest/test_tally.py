"""What is counted stays small, whatever happens."""

from __future__ import annotations

from loadtest.tally import Tally


def test_reasons_are_counted_and_their_number_is_bounded() -> None:
    tally = Tally()
    assert tally.first_refusal == b""
    for number in range(100):
        tally.refuse(b"%d" % number + b"x" * 1000)
    assert tally.refused == 100
    assert len(tally.refusals) <= 31
    assert max(map(len, tally.refusals)) <= 160
    assert tally.first_refusal.startswith(b"0x")


def test_latencies_are_taken_once() -> None:
    tally = Tally(seconds=[0.1])
    assert tally.take_seconds() == [0.1]
    assert tally.take_seconds() == []


def test_everything_but_an_answer_is_a_failure() -> None:
    tally = Tally(asked=9, answered=4, crossed=1, duplicated=1, late=1, lost=1)
    tally.refuse(b"no")
    assert tally.failures == 5
