"""Times as people type them.

Pure module: a span is a number and a unit, as in 90d; a moment is ISO 8601.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> float | None:
    """Return how long a span is, or `None` for what is none."""
    found = _SPAN.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def moment_of(text: str, now: float) -> float | None:
    """Return a moment, or that so long ago; `None` for what is neither.

    What names no time zone is UTC, as all that is printed.
    """
    seconds = seconds_of(text)
    if seconds is not None:
        return now - seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
