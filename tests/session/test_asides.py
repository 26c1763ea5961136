"""What is put together of what is kept beside a question; stores: `tests/contract`."""

from __future__ import annotations

from session.asides import NOTES, merged, polled, summary, voter_of
from session.model import Approval, Ballot, Choice, Noted, Outcome, Question, State

PICKS = (Choice("yes"), Choice("no"))
QUESTION = Question("q", "acme", "agent", "?", 0.0, 60.0, choices=PICKS, quorum=2)
ANN, BOB = Ballot(1.0, "tab-1", "ann", "yes"), Ballot(2.0, "tab-2", "bob", "no")


def test_enough_answers_are_an_outcome() -> None:
    assert polled(QUESTION, ()) is None
    assert polled(QUESTION, (ANN,)) is None
    outcome = polled(QUESTION, (ANN, BOB))
    assert outcome == Outcome(State.ANSWERED, 2.0, "yes: 1\nno: 1", None, "tab-2", "bob")


def test_enough_approvals_are_none_without_a_signature() -> None:
    approval = Approval("t", "{}", "d", 1.0)
    asked = Question("q", "acme", "agent", "?", 0.0, 60.0, quorum=2, approval=approval)
    assert polled(asked, (ANN, BOB)) is None


def test_one_answer_is_no_poll() -> None:
    asked = Question("q", "acme", "agent", "?", 0.0, 60.0)
    assert polled(asked, (ANN,)) is None


def test_several_answers_as_a_text() -> None:
    assert summary(QUESTION, (ANN, BOB, ANN)) == "yes: 2\nno: 1"
    words = Question("q", "acme", "agent", "?", 0.0, 60.0, quorum=2)
    assert summary(words, (ANN, Ballot(1.0, "tab-3", "", "both"))) == "ann: yes\ntab-3: both"


def test_a_person_is_the_user_else_the_frontend() -> None:
    assert voter_of("tab-1", "ann") == voter_of("tab-2", "ann")
    assert len({voter_of("a", "b"), voter_of("a", ""), voter_of("c", "a"), voter_of("b", "")}) == 4


def test_notes_are_in_an_outcome_once_and_bounded() -> None:
    first = Noted("offered", 1.0, "tab-1", "ann")
    outcome = Outcome(State.TIMED_OUT, 60.0, history=(first,))
    whole = merged(outcome, (ANN,), (first, Noted("seen", 2.0, "tab-1", "ann")))
    assert whole.answers == (ANN,)
    assert [each.kind for each in whole.history] == ["offered", "seen"]
    many = [Noted("seen", float(at), "tab-1", "ann") for at in range(1000)]
    assert len(merged(outcome, (), many).history) == 2 * NOTES
