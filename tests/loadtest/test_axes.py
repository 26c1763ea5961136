"""Where values stand, and what is written beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import axes, figures
from loadtest.axes import Axis


def linear(values: list[float], name: Callable[[float], str]) -> Axis:
    return axes.linear(values, name, axes.decimal)


@given(
    st.lists(st.floats(1e-3, 1e12), max_size=20),
    st.sampled_from([linear, axes.fitting, axes.logarithmic]),
)
def test_all_values_are_on_the_axis_and_its_names_are_few(
    values: list[float], make: Callable[[list[float], Callable[[float], str]], Axis]
) -> None:
    axis = make(values, str)
    assert axis.start < axis.end
    assert all(axis.start <= value <= axis.end for value in values)
    assert 2 <= len(axis.ticks) <= 17
    assert all(0 <= axis.position(value) <= 1 for value, _ in axis.ticks)


@pytest.mark.parametrize(
    ("most", "step", "ticks"),
    [
        (95.0, axes.decimal, [0, 20, 40, 60, 80, 100]),
        (0.9, axes.decimal, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (2.0, axes.whole, [0, 1, 2, 3]),
        (0.0, axes.whole, [0, 1, 2]),
        (70.0, axes.binary, [0, 16, 32, 48, 64, 80]),
    ],
)
def test_a_linear_axis_has_round_steps_from_zero(
    most: float, step: Callable[[float], float], ticks: list[float]
) -> None:
    axis = axes.linear([most], str, step)
    assert [tick for tick, _ in axis.ticks] == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3.0, 40.0], [2, 5, 10, 20, 50]),
        ([0.7, 320.0], [1, 10, 100]),
        ([], [1, 2]),
    ],
)
def test_a_logarithmic_axis_has_one_two_and_five_or_powers(
    values: list[float], ticks: list[float]
) -> None:
    axis = axes.logarithmic(values, str)
    assert [tick for tick, _ in axis.ticks] == pytest.approx(ticks)


def test_values_far_from_each_other_are_shown_logarithmically() -> None:
    assert not axes.fitting([1.0, 1.0, 30.0], str).logarithmic
    axis = axes.fitting([0.0, 1.0, 1.0, 100.0], str)
    assert axis.logarithmic
    assert axis.position(30.0) - axis.position(10.0) == pytest.approx(
        axis.position(3.0) - axis.position(1.0)
    )
    assert axis.position(0.0) == 0


@pytest.mark.parametrize(
    ("end", "names"),
    [
        (0.0, ["0:00", "0:01"]),
        (60.0, ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50", "1:00"]),
        (3_600.0, ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"]),
        (86_400.0, ["0:00", "6:00:00", "12:00:00", "18:00:00", "24:00:00"]),
    ],
)
def test_time_has_the_steps_of_clocks(end: float, names: list[str]) -> None:
    assert [name for _, name in axes.times(0.0, end, figures.clock).ticks] == names


def test_weeks_have_no_name_for_each_of_their_days() -> None:
    assert len(axes.times(-1.0, 40 * 86_400.0, figures.clock).ticks) <= 8


def test_each_nine_has_its_name() -> None:
    assert [name for _, name in axes.nines(3.5).ticks] == ["0%", "90%", "99%", "99.9%"]
    assert len(axes.nines(0.0).ticks) == 2
