"""What a run must hold to, as ``--require`` says it: ``p99<20ms``, ``lost==0``.

Pure module. What was not measured does not hold: a requirement that nobody
could check is not one that was met. It refuses a figure that has a unit without
one, for ``p99<20`` is read as milliseconds by one and as seconds by the next.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from loadtest import figures, readings
from loadtest.result import Result, Verdict

_TERM: Final = re.compile(
    r"(?P<name>[a-z][a-z0-9_.]*)\s*(?P<compare><=|>=|==|<|>)\s*"
    r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>[A-Za-z%/]*)"
)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


class _Kind(NamedTuple):
    """What sort of figure it is: its units with what each is worth, and how it is written."""

    units: Mapping[str, float]
    show: Callable[[float | None], str]


_TIME: Final = _Kind(
    {"us": 1e-3, "ms": 1.0, "s": 1e3, "min": 60e3, "h": 3_600e3}, figures.milliseconds
)
_COUNT: Final = _Kind({"": 1.0}, figures.count)
_RATE: Final = _Kind({"": 1.0, "/s": 1.0}, figures.rate)
_SHARE: Final = _Kind({"%": 1e-2}, figures.share)
_RATIO: Final = _Kind({"": 1.0}, figures.ratio)
_SIZE: Final = _Kind(
    {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 1e3, "MB": 1e6, "GB": 1e9}, figures.size
)


class _Figure(NamedTuple):
    kind: _Kind
    meaning: str
    read: readings.Read


def _truth(name: str) -> readings.Read:
    def read(result: Result) -> float:
        value: float = getattr(result.truth, name)
        return value

    return read


_FIGURES: Final[Mapping[str, _Figure]] = {
    "mean": _Figure(_TIME, "the mean latency", readings.latency("mean")),
    "p50": _Figure(_TIME, "the median of the latency", readings.latency("p50")),
    "p90": _Figure(_TIME, "its 90th percentile", readings.latency("p90")),
    "p99": _Figure(_TIME, "its 99th percentile", readings.latency("p99")),
    "p99.9": _Figure(_TIME, "its 99.9th percentile", readings.latency("p999")),
    "max": _Figure(_TIME, "the longest latency", readings.latency("max")),
    "rate": _Figure(_RATE, "answers in a second of the load", readings.answered_rate),
    "limit": _Figure(_RATE, "the highest rate that held", lambda run: readings.knee(run.steps)),
    "asked": _Figure(_COUNT, "questions asked", _truth("asked")),
    "answered": _Figure(_COUNT, "questions answered", _truth("answered")),
    "errors": _Figure(_COUNT, "all that went wrong", _truth("failures")),
    "error_rate": _Figure(_SHARE, "its part of what was asked", readings.failure_share),
    "lost": _Figure(_COUNT, "questions without any reply", _truth("lost")),
    "duplicated": _Figure(_COUNT, "replies beyond the first", _truth("duplicated")),
    "crossed": _Figure(_COUNT, "replies to another question", _truth("crossed")),
    "late": _Figure(_COUNT, "replies after the deadline", _truth("late")),
    "refused": _Figure(
        _COUNT, "questions refused", lambda run: sum(run.truth.refused.values(), 0.0)
    ),
    "connect": _Figure(
        _TIME, "until everybody was connected", lambda run: run.connecting.seconds * 1e3
    ),
    "connections": _Figure(_COUNT, "who was connected", lambda run: run.connecting.connections),
    "connect_refused": _Figure(_COUNT, "handshakes refused", lambda run: run.connecting.refused),
    "lag": _Figure(_TIME, "the longest stall of the server's loop", readings.worst("lag_max")),
    "cpu": _Figure(_SHARE, "of a core that the server used", readings.worst("cpu")),
    "rss": _Figure(_SIZE, "the most memory of the server", readings.worst("rss_peak")),
    "rss_growth": _Figure(
        _SHARE,
        "by how much it grew from the first sample to the last",
        readings.worst("rss_growth"),
    ),
    "neighbour": _Figure(
        _RATIO,
        "the p99 beside a noisy neighbour, by that alone",
        lambda run: None if run.neighbour is None else run.neighbour.ratio,
    ),
    "client_lag": _Figure(_TIME, "the longest stall of the load", lambda run: run.client.lag_max),
    "client_cpu": _Figure(_SHARE, "of a core that the load used", lambda run: run.client.cpu),
}
#: Other names under which people know a figure.
_ALSO: Final[Mapping[str, str]] = {"p999": "p99.9"}


class Requirement(NamedTuple):
    """One requirement, understood."""

    #: As it was written.
    text: str
    name: str
    compare: str
    #: In milliseconds, bytes, or parts of one, as the figure is.
    limit: float

    def judge(self, result: Result) -> Verdict:
        """Say whether it holds."""
        figure = _FIGURES[self.name]
        value = figure.read(result)
        if value is None:
            return Verdict(requirement=self.text, found="not measured", held=False)
        held = _COMPARE[self.compare](value, self.limit)
        found = figure.kind.show(value)
        if not held and found == figure.kind.show(self.limit):
            # Rounded, both are the same, and the reader would wonder.
            found += ", just missed"
        return Verdict(requirement=self.text, found=found, held=held)


def parse(text: str) -> Requirement:
    """Return what ``text`` requires.

    Raises:
        ValueError: it is none; the message says what there is.
    """
    match = _TERM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a requirement: write one like p99<20ms.\n{known()}")
    name = _ALSO.get(match["name"], match["name"])
    figure = _FIGURES.get(name)
    if figure is None:
        raise ValueError(f"{text!r}: there is no figure {match['name']!r}.\n{known()}")
    worth = figure.kind.units.get(match["unit"])
    if worth is None:
        raise ValueError(f"{text!r}: {name} is given {_units(figure.kind)}.\n{known()}")
    return Requirement(text.strip(), name, match["compare"], float(match["number"]) * worth)


def check(wanted: Iterable[Requirement], result: Result) -> list[Verdict]:
    """Return what becomes of each requirement, in their order."""
    return [requirement.judge(result) for requirement in wanted]


def known() -> str:
    """Return all that can be required, a line each, for help and for errors."""
    widest = max(map(len, _FIGURES))
    return "\n".join(
        (
            f"There are, each with one of {' '.join(_COMPARE)}:",
            *(
                f"  {name:{widest}}  {figure.meaning} ({_units(figure.kind)})"
                for name, figure in _FIGURES.items()
            ),
        )
    )


def _units(kind: _Kind) -> str:
    units = [unit for unit in kind.units if unit]
    if not units:
        return "as a number"
    return f"{'as a number or ' if '' in kind.units else ''}in {', '.join(units)}"
