"""What is refused of an ask, and what somebody hears whose answer came second."""

import pytest

from gateway.errors import InvalidAskError
from gateway.offers import Ask, Settings, check_ask, lost_to, refused
from session import Settlement
from session.model import Choice, Outcome, Question, State

QUESTION = Question("q", "acme", "agent", "?", 0.0, 1.0)


@pytest.mark.parametrize(
    "ask",
    [
        Ask("Which?"),
        Ask("x" * 1_048_576),
        Ask("\u20ac" * 1_048_576, context="\U0001f3e8" * 1_048_576),
        Ask("?", choices=(Choice("a"), Choice("b"))),
        Ask("?", schema={"type": "object"}),
    ],
)
def test_an_ask_within_the_limits_is_taken(ask: Ask) -> None:
    check_ask(ask, Settings())


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (Ask(""), "empty"),
        (Ask(" \n"), "empty"),
        (Ask("x" * 1_048_577), "characters"),
        (Ask("?", context="x" * 1_048_577), "characters"),
        (Ask("?", choices=(Choice("a"), Choice("a"))), "same"),
        (Ask("?", choices=tuple(Choice(str(n)) for n in range(101))), "100"),
        (Ask("?", choices=(Choice("a" * 4_001),)), "4000 characters"),
        (Ask("?", choices=(Choice("a"),), schema={}), "both"),
        (Ask("?", schema={"type": "nonsense"}), "object"),
    ],
)
def test_an_ask_that_breaks_a_limit_says_which(ask: Ask, reason: str) -> None:
    with pytest.raises(InvalidAskError, match=reason):
        check_ask(ask, Settings())


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        (Outcome(State.ANSWERED, 0.0, by="tab", by_user="ann"), "duplicate", "ann"),
        (Outcome(State.ANSWERED, 0.0, by="tab"), "duplicate", "tab"),
        (Outcome(State.TIMED_OUT, 0.0), "too_late", "timed out"),
        (Outcome(State.CANCELLED, 0.0), "too_late", "cancelled"),
        (Outcome(State.REJECTED, 0.0, by="tab"), "too_late", "rejected"),
    ],
)
def test_who_comes_second_hears_who_was_first(outcome: Outcome, status: str, words: str) -> None:
    for ack in (lost_to(outcome), refused(Settlement(QUESTION, won=False, outcome=outcome))):
        assert (ack.status, ack.state) == (status, outcome.state)
        assert words in ack.message


def test_a_question_that_has_gone_is_unknown() -> None:
    assert refused(None).status == "unknown"
