"""What follows from a result and is told in more than one report.

Pure module. `None` is what nobody measured; it never stands for zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from loadtest.result import Result, ServerSample, Step

#: How one figure of a result is read.
Read: TypeAlias = Callable[[Result], float | None]


class Instance(NamedTuple):
    """What one instance of the server cost over the whole run."""

    address: str
    #: Its memory in the first and in the last sample that had any.
    rss_start: float | None
    rss_end: float | None
    rss_peak: float | None
    #: In milliseconds.
    lag_max: float | None
    #: Cores that it used, on average between its first and its last sample.
    cpu: float | None

    @property
    def rss_growth(self) -> float | None:
        """By which part of what it had it grew."""
        if self.rss_start is None or self.rss_end is None or self.rss_start <= 0:
            return None
        return self.rss_end / self.rss_start - 1


def answered_rate(result: Result) -> float | None:
    """Return how many were answered in a second of the load."""
    return result.truth.answered / result.seconds if result.seconds > 0 else None


def latency(name: str) -> Read:
    """Return how the latency of that name is read: unknown where nothing was answered."""

    def read(result: Result) -> float | None:
        value: float = getattr(result.latency, name)
        return value if result.latency.count else None

    return read


def worst(name: str) -> Read:
    """Return how that field of the instances is read: the greatest of them."""

    def read(result: Result) -> float | None:
        return greatest(getattr(instance, name) for instance in instances(result.server))

    return read


def failure_share(result: Result) -> float | None:
    """Return which part of what was asked went wrong."""
    return result.truth.failures / result.truth.asked if result.truth.asked else None


def knee(steps: Iterable[Step]) -> float | None:
    """Return the highest rate that held."""
    return greatest(step.rate for step in steps if step.held)


def instances(samples: Iterable[ServerSample]) -> list[Instance]:
    """Return the instances in the order in which they were met."""
    return [_instance(address, each) for address, each in by_instance(samples).items()]


def by_instance(samples: Iterable[ServerSample]) -> dict[str, list[ServerSample]]:
    """Return each instance's samples, by its address."""
    found: dict[str, list[ServerSample]] = {}
    for sample in samples:
        found.setdefault(sample.instance, []).append(sample)
    return found


def cpu_shares(samples: Sequence[ServerSample]) -> list[tuple[float, float | None]]:
    """Return when and how many cores one instance used since its sample before.

    A counter that went back is a process that was started anew: unknown.
    """
    return [(later.at, _cores(earlier, later)) for earlier, later in itertools.pairwise(samples)]


def greatest(values: Iterable[float | None]) -> float | None:
    """Return the greatest of the values that are known."""
    return max((value for value in values if value is not None), default=None)


def _instance(address: str, samples: Sequence[ServerSample]) -> Instance:
    memory = [sample.rss_bytes for sample in samples if sample.rss_bytes is not None]
    billed = [sample for sample in samples if sample.cpu_seconds is not None]
    return Instance(
        address=address,
        rss_start=memory[0] if memory else None,
        rss_end=memory[-1] if memory else None,
        rss_peak=greatest(memory),
        lag_max=greatest(sample.loop_lag for sample in samples),
        cpu=_cores(billed[0], billed[-1]) if billed else None,
    )


def _cores(earlier: ServerSample, later: ServerSample) -> float | None:
    if earlier.cpu_seconds is None or later.cpu_seconds is None or later.at <= earlier.at:
        return None
    used = (later.cpu_seconds - earlier.cpu_seconds) / (later.at - earlier.at)
    return used if used >= 0 else None
