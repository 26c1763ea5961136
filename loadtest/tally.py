"""What a load counts: one process's share of the truth.

It keeps latencies only until somebody takes them, and a bounded number of
reasons, so that a load may run for days.
"""

from __future__ import annotations

import dataclasses
from typing import Final

_KINDS: Final = 30
_LONGEST: Final = 160
_OTHERS: Final = b"for other reasons"


@dataclasses.dataclass(slots=True)
class Tally:
    """What happened; all of it since the window was opened, but the failures since the start."""

    asked: int = 0
    answered: int = 0
    frames: int = 0
    #: How long each answer took that nobody has taken from here yet.
    seconds: list[float] = dataclasses.field(default_factory=list)
    streamed: int = 0
    #: An answer to another question than the one that was asked.
    crossed: int = 0
    #: A second reply to one question.
    duplicated: int = 0
    #: An answer after the deadline that the caller had set.
    late: int = 0
    #: Asked and never answered; known when the load is over.
    lost: int = 0
    #: Why the server said no, or closed, and how often.
    refusals: dict[bytes, int] = dataclasses.field(default_factory=dict)
    #: Questions whose connection was cut and which were asked again on another one.
    asked_again: int = 0
    #: Messages to frontends that came compressed; their bytes on the wire, and unpacked.
    deflated: int = 0
    deflated_bytes: int = 0
    inflated_bytes: int = 0

    def refuse(self, why: bytes) -> None:
        """Count something that the server did not do."""
        why = why[:_LONGEST]
        if why not in self.refusals and len(self.refusals) >= _KINDS:
            why = _OTHERS
        self.refusals[why] = self.refusals.get(why, 0) + 1

    @property
    def refused(self) -> int:
        """How often the server said no, or closed."""
        return sum(self.refusals.values())

    @property
    def first_refusal(self) -> bytes:
        """Why it did so first; nothing when it never did."""
        return next(iter(self.refusals), b"")

    @property
    def failures(self) -> int:
        """How often the server did not do what it was asked."""
        return self.crossed + self.duplicated + self.late + self.refused + self.lost

    def take_seconds(self) -> list[float]:
        """Return the latencies that are new since they were last taken."""
        seconds, self.seconds = self.seconds, []
        return seconds
