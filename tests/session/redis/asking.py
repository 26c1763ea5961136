"""Questions and answers as tests make them."""

from __future__ import annotations

from typing import Any

from gateway.clock import WallClock
from gateway.ids import Ids
from session.model import Delivery, Outcome, Question, State
from session.redis.keys import PLACES, Place, place_of

ids = Ids()
now = WallClock().now


def question(*, seconds: float = 60, place: Place | None = None, **more: Any) -> Question:
    """Make a question that nobody asked before."""
    number = ids.new()
    return Question(
        id=number if place is None else f"{place.number:x}{number[1:]}",
        tenant=more.pop("tenant", "acme"),
        asker="agent",
        text="Which <colour>?",
        created_at=now(),
        deadline=now() + seconds,
        delivery=Delivery.ONE,
        **more,
    )


def answered(answer: str = "blue") -> Outcome:
    return Outcome(State.ANSWERED, at=now(), answer=answer, by="tab-1")


def place(asked: Question) -> Place:
    """Return where a question is."""
    found = place_of(asked.id)
    assert found is not None
    return found


def another(than: Place) -> Place:
    return PLACES[(than.number + 1) % len(PLACES)]
