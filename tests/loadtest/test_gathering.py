"""Parts of several processes become slices, and many slices fewer."""

from __future__ import annotations

from typing import Any

from loadtest.gathering import Gathering, coarser, merged
from loadtest.histograms import Histogram
from loadtest.orders import Done, Part
from loadtest.result import ServerSample, Slice, Truth


def _encoded(*seconds: float) -> str:
    histogram = Histogram()
    histogram.record(seconds)
    return histogram.encoded()


def _part(index: int, **changes: Any) -> Part:
    usual: dict[str, Any] = {
        "at": float(index), "seconds": 1.0, "asked": 2, "answered": 1, "failed": 1,
        "in_flight": 3, "frames": 4, "lag": 5.0, "cpu": 0.5, "histogram": _encoded(0.001),
    }  # fmt: skip
    return Part(index=index, **(usual | changes))


def _slice(at: float, p99: float | None) -> Slice:
    return Slice(
        at=at, seconds=1, asked=1, answered=1, failed=0, in_flight=1, p50=p99, p99=p99, max=p99,
        frames=1, lag=at, cpu=0.5,
    )  # fmt: skip


def _done(truth: Truth, histogram: str = "") -> Done:
    return Done(
        truth=truth, histogram=histogram, refused_handshakes=0, asked_again=0, unasked=0, cpu=0.0
    )


def test_a_slice_is_made_when_all_processes_told_theirs() -> None:
    gathering = Gathering(2)
    assert gathering.add(0, _part(0)) is None
    made = gathering.add(1, _part(0, histogram=_encoded(0.1), lag=9.0, cpu=0.9))
    assert made is not None
    assert (made.asked, made.answered, made.failed, made.in_flight, made.frames) == (4, 2, 2, 6, 8)
    assert (made.lag, made.cpu) == (9.0, 0.9)
    assert made.p50 == 1.0
    assert made.max is not None
    assert 99 < made.max < 101
    assert gathering.lag_max == 9.0


def test_what_only_some_told_at_the_end_counts_too() -> None:
    gathering = Gathering(2)
    gathering.add(0, _part(0))
    gathering.finish([_done(Truth(asked=2, answered=2), _encoded(0.002)), _done(Truth(asked=1))])
    assert len(gathering.slices) == 1
    assert gathering.whole.count == 2
    assert gathering.truth == Truth(asked=3, answered=2)


def test_seconds_in_which_nobody_asks_any_more_are_no_part_of_the_load() -> None:
    """People go on telling while those who ask only wait for answers."""
    gathering = Gathering(3, asking=2)
    for index in range(5):
        gathering.add(2, _part(index, cpu=0.9, frames=7))
    gathering.add(0, _part(0))
    gathering.add(1, _part(0))
    gathering.add(1, _part(1))
    gathering.finish([_done(Truth())])
    assert [(each.at, each.asked, each.frames) for each in gathering.slices] == [
        (0.0, 6, 15),
        (1.0, 4, 11),
    ]
    assert gathering.cpu_seconds == [0.5, 1.0, 1.8]


def test_truths_are_added_with_their_reasons() -> None:
    parts = [Truth(lost=1, refused={"no": 1}), Truth(late=2, refused={"no": 2, "gone": 1})]
    assert merged(parts) == Truth(lost=1, late=2, refused={"no": 3, "gone": 1})


def test_two_slices_become_one_that_hides_no_peak() -> None:
    whole = coarser([_slice(0, 1.0), _slice(1, 7.0), _slice(2, None)])
    assert [(each.at, each.seconds, each.asked, each.p99) for each in whole] == [
        (0, 2, 2, 7.0),
        (2, 1, 1, None),
    ]


def test_a_long_run_keeps_a_bounded_number_of_slices_and_samples() -> None:
    gathering = Gathering(1)
    for index in range(8_000):
        gathering.add(0, _part(index, histogram=""))
        gathering.sample(ServerSample(at=index, instance="a"))
        gathering.sample(ServerSample(at=index, instance="b"))
    assert len(gathering.slices) <= 3_600
    assert sum(each.asked for each in gathering.slices) == 16_000
    assert len(gathering.samples) <= 7_200
    assert {each.instance for each in gathering.samples} == {"a", "b"}
