"""The life of one question, as a table.

Pure module: no I/O, no clock, no tasks. Every rule about which step may follow
which lives here, so a backend can be late but never inventive.
"""

from __future__ import annotations

import enum
from typing import Final

from session.errors import IllegalStepError
from session.model import State


class Step(enum.Enum):
    """Something that happens to a question."""

    OFFER = "offer"
    ANSWER = "answer"
    EXPIRE = "expire"
    CANCEL = "cancel"
    REJECT = "reject"


# OFFER repeats on purpose: a frontend that reconnects is shown its open
# questions again. Nothing follows a terminal state.
_NEXT: Final = {
    (State.OPEN, Step.OFFER): State.OPEN,
    (State.OPEN, Step.ANSWER): State.ANSWERED,
    (State.OPEN, Step.EXPIRE): State.TIMED_OUT,
    (State.OPEN, Step.CANCEL): State.CANCELLED,
    (State.OPEN, Step.REJECT): State.REJECTED,
}

#: The states nothing follows.
TERMINAL: Final = frozenset(State) - {state for state, _ in _NEXT}


def advance(state: State, step: Step) -> State:
    """Return the state that ``step`` leads to.

    Raises:
        IllegalStepError: ``step`` cannot follow ``state``.
    """
    try:
        return _NEXT[state, step]
    except KeyError:
        raise IllegalStepError(state.value, step.value) from None
