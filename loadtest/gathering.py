"""What all processes told, put together: slices, the whole histogram, the truth.

It takes no more memory after a day than after an hour: when there are too many
slices, each two become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadtest.histograms import Histogram
from loadtest.orders import Done, Part
from loadtest.result import ServerSample, Slice, Truth

_MOST_SLICES: Final = 3_600


class Gathering:
    """One run, as it becomes known.

    Of so many ``processes``, ``asking`` are those that ask, and come first: all of them
    when that is not said.
    """

    def __init__(self, processes: int, asking: int | None = None) -> None:
        self.slices: list[Slice] = []
        self.samples: list[ServerSample] = []
        self.whole = Histogram()
        #: Latencies of the slices since somebody reset it.
        self.recent = Histogram()
        self.truth = Truth()
        self.cpu_seconds: list[float] = [0.0] * processes
        self.lag_max = 0.0
        self._processes = processes
        self._asking = processes if asking is None else asking
        self._parts: dict[int, dict[int, Part]] = {}
        self._slice = Histogram()

    def add(self, process: int, part: Part) -> Slice | None:
        """Take a part; returns the slice that it was the last one of."""
        parts = self._parts.setdefault(part.index, {})
        parts[process] = part
        return self._merge(part.index) if len(parts) == self._processes else None

    def finish(self, done: Sequence[Done]) -> None:
        """Take what is left when all processes are done.

        Seconds of which nobody told who asks are none of the load: who only answers goes
        on telling while the others wait for their last answers.
        """
        for index in sorted(self._parts):
            if min(self._parts[index]) < self._asking:
                self._merge(index)
        self._parts.clear()
        for each in done:
            self.whole.add(each.histogram)
        self.truth = merged([each.truth for each in done])

    def sample(self, sample: ServerSample) -> None:
        """Take what an instance said of itself."""
        self.samples.append(sample)
        if len(self.samples) > 2 * _MOST_SLICES:
            # By turns, so that every instance keeps its half.
            instances = sorted({each.instance for each in self.samples})
            kept = [
                each
                for instance in instances
                for each in [s for s in self.samples if s.instance == instance][::2]
            ]
            self.samples = sorted(kept, key=lambda each: each.at)

    def _merge(self, index: int) -> Slice:
        told = self._parts.pop(index)
        parts = list(told.values())
        for process, part in told.items():
            self.cpu_seconds[process] += part.cpu * part.seconds
            self.lag_max = max(self.lag_max, part.lag)
        histogram = self._slice
        histogram.reset()
        for part in parts:
            for each in (histogram, self.whole, self.recent):
                each.add(part.histogram)
        made = Slice(
            at=min(part.at for part in parts),
            seconds=max(part.seconds for part in parts),
            asked=sum(part.asked for part in parts),
            answered=sum(part.answered for part in parts),
            failed=sum(part.failed for part in parts),
            in_flight=sum(part.in_flight for part in parts),
            p50=histogram.milliseconds(50),
            p99=histogram.milliseconds(99),
            max=histogram.milliseconds(100),
            frames=sum(part.frames for part in parts),
            lag=max(part.lag for part in parts),
            cpu=max(part.cpu for part in parts),
        )
        self.slices.append(made)
        if len(self.slices) > _MOST_SLICES:
            self.slices = coarser(self.slices)
        return made


def merged(truths: Sequence[Truth]) -> Truth:
    """Return the sum."""
    total = Truth()
    for truth in truths:
        for name in ("asked", "answered", "lost", "duplicated", "crossed", "late"):
            setattr(total, name, getattr(total, name) + getattr(truth, name))
        for why, count in truth.refused.items():
            total.refused[why] = total.refused.get(why, 0) + count
    return total


def coarser(slices: Sequence[Slice]) -> list[Slice]:
    """Return each two slices as one; of percentiles the worse one, so that no peak is hidden."""
    pairs = [slices[place : place + 2] for place in range(0, len(slices), 2)]
    return [
        Slice(
            at=pair[0].at,
            seconds=sum(each.seconds for each in pair),
            asked=sum(each.asked for each in pair),
            answered=sum(each.answered for each in pair),
            failed=sum(each.failed for each in pair),
            in_flight=pair[-1].in_flight,
            p50=_worst([each.p50 for each in pair]),
            p99=_worst([each.p99 for each in pair]),
            max=_worst([each.max for each in pair]),
            frames=sum(each.frames for each in pair),
            lag=max(each.lag for each in pair),
            cpu=max(each.cpu for each in pair),
        )
        for pair in pairs
    ]


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
