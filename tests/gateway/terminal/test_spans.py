"""Times as they are typed."""

from __future__ import annotations

import pytest

from gateway.terminal.spans import moment_of, seconds_of

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("90d", 7_776_000), ("0h", None), ("2", None),
     ("h", None), ("2 h", None), ("", None), ("1000000s", None)],
)  # fmt: skip
def test_a_span_is_a_number_and_a_unit(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - 7200),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("2023-11-14", 1_699_920_000.0),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_moment_is_iso_8601_or_so_long_ago(text: str, moment: float | None) -> None:
    assert moment_of(text, NOW) == moment
