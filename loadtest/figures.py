"""How figures are written for people: short, with their unit, and the same everywhere.

Pure module: numbers in, text out, in letters that every terminal has. What was
not measured is a dash.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "-"
_KIB: Final = 1024.0
_SECOND: Final = 1e3
_MINUTE: Final = 60
_HOUR: Final = 3600


def milliseconds(value: float | None) -> str:
    """Return a latency with three digits that say something: 850 us, 1.23 ms, 12.3 s."""
    if value is None:
        return UNKNOWN
    if 0 < value < 1:
        return f"{value * 1e3:.0f} us"
    if value < _SECOND:
        return f"{_digits(value)} ms"
    return f"{_digits(value / _SECOND)} s"


def seconds(value: float | None) -> str:
    """Return a stretch of time that was measured in seconds."""
    return milliseconds(None if value is None else value * _SECOND)


def clock(value: float) -> str:
    """Return a time since the beginning as people read one: 0:05, 12:00, 3:00:00."""
    whole = int(value)
    hours, minutes = whole // _HOUR, whole // _MINUTE % _MINUTE
    if hours:
        return f"{hours}:{minutes:02}:{whole % _MINUTE:02}"
    return f"{minutes}:{whole % _MINUTE:02}"


def count(value: float | None) -> str:
    """Return a number of things."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return how many there were in a second; few of them with a decimal."""
    if value is None:
        return UNKNOWN
    return f"{value:,.1f}/s" if 0 < value < 10 else f"{value:,.0f}/s"  # noqa: PLR2004 - one digit


def size(value: float | None) -> str:
    """Return an amount of memory."""
    if value is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < _KIB:
            return f"{_digits(value) if unit != 'B' else f'{value:.0f}'} {unit}"
        value /= _KIB
    return f"{_digits(value)} GiB"


def share(value: float | None) -> str:
    """Return a part of a whole, of which 1 is all; a tiny one is not called none."""
    if value is None:
        return UNKNOWN
    if 0 < abs(value) < 0.001:  # noqa: PLR2004 - would be 0.0%
        return f"{value * 100:.2g}%"
    if value == 0:
        return "0%"
    return f"{value:.1%}" if abs(value) < 0.1 else f"{value:.0%}"  # noqa: PLR2004 - as rates


def ratio(value: float | None) -> str:
    """Return how many times as much something is."""
    return UNKNOWN if value is None else f"{value:.2f} times"


def _digits(value: float) -> str:
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above
    return text.rstrip("0").rstrip(".")
