"""Children by label values, and the bound on how many there are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.families import Counter, Histogram, Histograms


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (1.0, 0), (1.0001, 1), (5.0, 1), (5.1, 2), (1e9, 2)]
)
def test_a_bucket_includes_its_upper_bound(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 5.0))
    histogram.observe(value)
    assert histogram.buckets() == [
        (name, float(index >= bucket)) for index, name in enumerate(("1.0", "5.0", "+Inf"))
    ]


@given(st.lists(st.one_of(st.sampled_from([0.0, 1.0, 5.0]), st.floats(-1, 9)), max_size=20))
def test_each_value_is_counted_whatever_came_before_it(values: list[float]) -> None:
    histogram = Histogram((1.0, 5.0))
    for value in values:
        histogram.observe(value)
    up_to = {"1.0": 1.0, "5.0": 5.0, "+Inf": math.inf}
    assert histogram.buckets() == [
        (name, float(sum(value <= bound for value in values))) for name, bound in up_to.items()
    ]


def test_buckets_are_cumulative() -> None:
    histogram = Histogram((1.0, 5.0))
    for value in (0.5, 2.0, 3.0, 9.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 1.0), ("5.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 14.5


def test_a_child_counts_for_its_label_values() -> None:
    counter = Counter("seen_total", "", ("who",), limit=10)
    ann = counter.labels("ann")
    ann.inc()
    ann.inc(2)
    counter.labels("bob").inc()
    assert counter.labels("ann") is ann
    assert counter.samples() == {("ann",): 3, ("bob",): 1}
    assert counter.total() == 4


def test_label_sets_past_the_bound_are_counted_together() -> None:
    counter = Counter("seen_total", "", ("who",), limit=2)
    for who in ("a", "b", "c", "c", "d", "e", "a", "c"):
        counter.labels(who).inc()
    assert counter.samples() == {("a",): 2, ("b",): 1, ("other",): 5}


def test_a_full_counter_stays_small_and_loses_no_count() -> None:
    counter = Counter("seen_total", "", ("who",), limit=10)
    for number in range(1000):
        counter.labels(str(number)).inc()
    assert len(counter.samples()) == 11
    assert counter.total() == 1000


def test_a_label_longer_than_any_of_ours_is_counted_as_other() -> None:
    counter = Counter("seen_total", "", ("who",), limit=10)
    counter.labels("x" * 101).inc()
    counter.labels("x" * 100).inc()
    assert counter.samples() == {("other",): 1, ("x" * 100,): 1}


def test_a_family_without_labels_is_zero_before_anything_happened() -> None:
    assert Counter("seen_total", "", (), limit=10).samples() == {(): 0}


def test_histograms_past_the_bound_are_one() -> None:
    family = Histograms("took_seconds", "", ("who",), (1.0,), limit=64)
    for number in range(1000):
        family.labels(str(number)).observe(0.5)
    children = family.children()
    assert len(children) == 65
    assert sum(histogram.buckets()[0][1] for histogram in children.values()) == 1000


@pytest.mark.parametrize("values", [(), ("a",), ("a", "b", "c")])
def test_other_labels_than_the_familys_are_a_defect(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="seen_total has the labels"):
        Counter("seen_total", "", ("who", "what"), limit=10).labels(*values)
    with pytest.raises(ValueError, match="took_seconds has the labels"):
        Histograms("took_seconds", "", ("who", "what"), (1.0,), limit=10).labels(*values)
