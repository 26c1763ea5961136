"""Where a server gives way: rates that are raised until they do not hold, then halved between.

Pure module: it says which rate to try next and is told how that went.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadtest import readings
from loadtest.result import Latency, ServerSample, Slice, Step

#: Answers that take longer than this are late to a person who waits for a page.
P99_MILLISECONDS: Final = 100.0
_GROWTH: Final = 2.0
_CLOSE: Final = 0.05
_MOST_STEPS: Final = 25
# A server that answers less than it is asked falls behind; chance makes a few more at the end.
_BEHIND_SHARE: Final = 0.05
_BEHIND_ANYWAY: Final = 10


class Search:
    """The search for the highest rate that holds."""

    def __init__(self, first: float) -> None:
        self.steps: list[Step] = []
        self._slices: list[Sequence[Slice]] = []
        self._held = 0.0
        self._broke: float | None = None
        self._next = first

    def rate(self) -> float | None:
        """Return the rate to try, or ``None`` when the knee is known."""
        if len(self.steps) >= _MOST_STEPS:
            return None
        if self._broke is not None and self._broke - self._held <= _CLOSE * self._broke:
            return None
        return self._next

    @property
    def knee(self) -> float:
        """The highest rate that held; nothing when none did."""
        return self._held

    def beside_knee(self) -> list[tuple[Step, Sequence[Slice]]]:
        """Return the highest step that held and the lowest that broke, with their slices.

        The limit is what lies between these two. What was far above it says nothing
        of it, and an average over all of them even less.
        """
        steps = list(zip(self.steps, self._slices, strict=True))
        held = [each for each in steps if each[0].held]
        broken = [each for each in steps if not each[0].held]
        return [
            *([max(held, key=_rate)] if held else []),
            *([min(broken, key=_rate)] if broken else []),
        ]

    def tried(self, step: Step, slices: Sequence[Slice] = ()) -> None:
        """Take how the rate did, and the seconds in which it did."""
        self.steps.append(step)
        self._slices.append(slices)
        if step.held:
            self._held = max(self._held, step.rate)
        else:
            self._broke = step.rate
        if self._broke is None:
            self._next = step.rate * _GROWTH
        else:
            self._next = (self._held + self._broke) / 2


def judged(
    rate: float,
    slices: Sequence[Slice],
    latency: Latency,
    before: int,
    samples: Sequence[ServerSample] = (),
) -> Step:
    """Return how a rate did: what happened in these seconds, and how long answers took.

    ``before`` is how many questions were in flight when the first of them began,
    ``samples`` are what the instances said of themselves meanwhile. A rate at which
    nothing was answered does not hold: nothing is known of how long it would take.
    """
    seconds = sum(each.seconds for each in slices)
    failed = sum(each.failed for each in slices)
    # After its first second, where there are more, whoever only thinks is in flight already.
    behind = slices[-1].in_flight - (slices[0].in_flight if len(slices) > 1 else before)
    held = (
        failed == 0
        and latency.count > 0
        and latency.p99 <= P99_MILLISECONDS
        and behind <= max(_BEHIND_ANYWAY, _BEHIND_SHARE * rate * seconds)
    )
    return Step(
        rate=rate,
        answered_rate=sum(each.answered for each in slices) / seconds,
        p50=latency.p50,
        p99=latency.p99,
        failed=failed,
        held=held,
        client_cpu=max(each.cpu for each in slices),
        server_cpu=readings.greatest(each.cpu for each in readings.instances(samples)),
    )


def _rate(tried: tuple[Step, Sequence[Slice]]) -> float:
    return tried[0].rate
