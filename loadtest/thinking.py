"""How long a person thinks: a distribution, as text and as numbers drawn from it.

`0`, `2s` or `const:2s`, `exp:2s`, `lognormal:1.5s,0.6` (median and sigma) and
`uniform:1s,3s`. Pure module: chance arrives as an argument.
"""

from __future__ import annotations

import math
import random  # noqa: TID251 - a load needs a distribution of chance, not its secrecy
import re
from collections.abc import Callable
from typing import Final, NamedTuple

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|min|m|h|)")
_EXPECTED: Final = "0, 2s, exp:2s, lognormal:1.5s,0.6 or uniform:1s,3s"


class Thinking(NamedTuple):
    """A distribution of think time."""

    mean: float
    draw: Callable[[random.Random], float]


def parse_seconds(text: str) -> float:
    """Read a duration: `500ms`, `2s`, `10m`, `24h`; a bare number is seconds.

    Raises:
        ValueError: it is none.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; 500ms, 2s, 10m and 24h are")
    return float(found[1]) * _SECONDS[found[2]]


def parse(text: str) -> Thinking:
    """Read a distribution.

    Raises:
        ValueError: it is none; the message says what would be one.
    """
    kind, _, rest = text.rpartition(":") if ":" in text else ("const", "", text)
    values = rest.split(",")
    try:
        return _PARSERS[kind](*values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r} is no think time; {_EXPECTED} are") from error


def _const(length: str) -> Thinking:
    seconds = parse_seconds(length)
    return Thinking(seconds, lambda _chance: seconds)


def _exp(mean: str) -> Thinking:
    seconds = parse_seconds(mean)
    return Thinking(seconds, lambda chance: chance.expovariate(1 / seconds) if seconds else 0.0)


def _lognormal(median: str, sigma: str) -> Thinking:
    seconds, width = parse_seconds(median), float(sigma)
    location = math.log(seconds)
    mean = seconds * math.exp(width * width / 2)
    return Thinking(mean, lambda chance: chance.lognormvariate(location, width))


def _uniform(least: str, most: str) -> Thinking:
    low, high = parse_seconds(least), parse_seconds(most)
    return Thinking((low + high) / 2, lambda chance: chance.uniform(low, high))


_PARSERS: Final[dict[str, Callable[..., Thinking]]] = {
    "const": _const,
    "exp": _exp,
    "lognormal": _lognormal,
    "uniform": _uniform,
}
