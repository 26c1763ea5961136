"""What is kept beside a question: the answers of a quorum so far, and who was shown it.

Pure module. Stores keep both as they come, and put them into the outcome when it is read:
so a question without them costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from session.model import Ballot, Noted, Outcome, Question, State

#: Notes that are kept of a question; later ones are not.
NOTES: Final = 64


class Tally(msgspec.Struct, frozen=True):
    """What became of one answer of several.

    ``answers`` are all there are by now, ``fresh`` whether this one is among them for the
    first time; ``outcome`` is that of a question that had ended before.
    """

    answers: tuple[Ballot, ...]
    fresh: bool
    outcome: Outcome | None = None


def voter_of(frontend_id: str, user: str) -> str:
    """Return who a person is that answers once: the user, else the frontend."""
    return f"u:{user}" if user else f"f:{frontend_id}"


def merged(outcome: Outcome, answers: Sequence[Ballot], notes: Iterable[Noted]) -> Outcome:
    """Return an outcome with what is kept beside its question."""
    history = tuple(dict.fromkeys((*outcome.history, *notes)))[: 2 * NOTES]
    return msgspec.structs.replace(outcome, answers=tuple(answers), history=history)


def polled(question: Question, answers: Sequence[Ballot]) -> Outcome | None:
    """Return the outcome that enough answers come to; ``None`` while there are not enough."""
    # An approval is signed by who takes the last answer, or there is none.
    if not 0 < question.quorum <= len(answers) or question.approval is not None:
        return None
    last = answers[-1]
    return Outcome(State.ANSWERED, last.at, summary(question, answers), None, last.by, last.by_user)


def summary(question: Question, answers: Sequence[Ballot]) -> str:
    """Return several answers as one text."""
    if question.choices:
        counts = Counter(ballot.answer for ballot in answers)
        return "\n".join(f"{value}: {count}" for value, count in counts.most_common())
    return "\n".join(f"{ballot.by_user or ballot.by}: {ballot.answer}" for ballot in answers)
