"""What the memory store keeps of a question.

Apart from the store, as a model: there are a hundred thousand of them, which the garbage
collector need not look at, one by one, to find that they are in no cycle.
"""

from __future__ import annotations

import msgspec

from pool.timers import Timer
from session.model import Ballot, Noted, Outcome, Question


class Record(msgspec.Struct, gc=False):
    """A question with what became of it; ``size`` in bytes is what it counts as."""

    question: Question
    size: int
    #: While it is open.
    deadline: Timer[str] | None
    outcome: Outcome | None = None
    #: Where several people answer, their answers, by who they are.
    ballots: dict[str, Ballot] | None = None
    notes: tuple[Noted, ...] = ()

    @property
    def answers(self) -> tuple[Ballot, ...]:
        """What several people have answered so far."""
        return tuple(self.ballots.values()) if self.ballots else ()
