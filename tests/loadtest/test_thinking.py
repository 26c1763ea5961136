"""Distributions are read as people write them, and drawn from."""

from __future__ import annotations

import random  # noqa: TID251 - with a seed
import statistics

import pytest

from loadtest import thinking


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("0", 0.0),
        ("250ms", 0.25),
        ("const:2s", 2.0),
        ("exp:2s", 2.0),
        ("exp:0", 0.0),
        ("lognormal:1.5s,0.6", 1.796),
        ("uniform:1s,3s", 2.0),
    ],
)
def test_what_is_drawn_has_the_mean_that_is_told(text: str, mean: float) -> None:
    found = thinking.parse(text)
    chance = random.Random(1)
    drawn = [found.draw(chance) for _ in range(20_000)]
    assert found.mean == pytest.approx(mean, rel=0.01)
    assert statistics.fmean(drawn) == pytest.approx(mean, rel=0.05)
    assert min(drawn) >= 0


@pytest.mark.parametrize(
    "text", ["", "soon", "exp:", "normal:1s", "uniform:1s", "exp:1s,2s", "-1s"]
)
def test_what_is_no_distribution_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"lognormal:1\.5s,0\.6"):
        thinking.parse(text)


def test_durations_have_units() -> None:
    texts = ["1", "1ms", "1.5s", "2m", "24h"]
    assert [thinking.parse_seconds(text) for text in texts] == [1, 0.001, 1.5, 120, 86400]
    with pytest.raises(ValueError, match="no duration"):
        thinking.parse_seconds("1 day")
