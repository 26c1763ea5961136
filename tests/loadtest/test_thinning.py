"""What is left of a line, and what never leaves it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadtest.thinning import MOST, Point, thin

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=300)


@given(VALUES, st.integers(2, 60))
def test_neither_order_nor_the_highest_nor_the_lowest_are_lost(
    values: list[float | None], most: int
) -> None:
    points: list[Point] = [(float(at), value) for at, value in enumerate(values)]
    left = thin(points, most)
    assert len(left) <= max(most, 1)
    assert list(left) == sorted(set(left), key=lambda point: point[0])
    assert set(left) <= set(points)
    before = [value for _, value in points if value is not None]
    after = [value for _, value in left if value is not None]
    assert bool(before) == bool(after)
    if before:
        assert (min(before), max(before)) == (min(after), max(after))


def test_a_day_of_seconds_keeps_its_one_spike_its_one_dip_and_its_gap() -> None:
    points: list[Point] = [(float(at), 5.0) for at in range(86_400)]
    points[1_234], points[50_000] = (1_234.0, 900.0), (50_000.0, 0.0)
    points[70_000:72_000] = [(float(at), None) for at in range(70_000, 72_000)]
    left = thin(points)
    assert len(left) <= MOST
    assert (1_234.0, 900.0) in left
    assert (50_000.0, 0.0) in left
    assert any(value is None for _, value in left)
