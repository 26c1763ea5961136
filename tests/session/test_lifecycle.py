"""The life of a question: every pair of state and step has one known end."""

import itertools

import pytest

from session.errors import IllegalStepError
from session.lifecycle import TERMINAL, Step, advance
from session.model import State

LEGAL = {
    (State.OPEN, Step.OFFER): State.OPEN,
    (State.OPEN, Step.ANSWER): State.ANSWERED,
    (State.OPEN, Step.EXPIRE): State.TIMED_OUT,
    (State.OPEN, Step.CANCEL): State.CANCELLED,
    (State.OPEN, Step.REJECT): State.REJECTED,
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_a_step_leads_where_the_table_says_or_is_refused(state: State, step: Step) -> None:
    if (state, step) in LEGAL:
        assert advance(state, step) is LEGAL[state, step]
    else:
        with pytest.raises(IllegalStepError, match=state.value):
            advance(state, step)


def test_nothing_follows_a_terminal_state_and_every_other_has_a_way_out() -> None:
    assert frozenset(State) - {State.OPEN} == TERMINAL
