"""Who is shown a question: all of its audience, or one after the other."""

import itertools

import pytest

from gateway.dispatch import Dispatch
from gateway.hub import Hub
from gateway.offers import Offer
from session.model import Audience, Delivery, Outcome, Question, State
from tests.gateway.routing import Tab

_numbers = itertools.count()


class Floor:
    """A hub with tabs, and the dispatch over it."""

    def __init__(self, tabs: int) -> None:
        self.hub = Hub()
        self.dispatch = Dispatch(self.hub, unseen_seconds=30)
        self.tabs = [self.tab() for _ in range(tabs)]

    def tab(self, user: str = "") -> Tab:
        tab = Tab(str(next(_numbers)), user=user)
        self.hub.attach(tab)
        return tab

    def load(self, tab: Tab) -> int:
        return len(tab.offers)


def offer(delivery: Delivery = Delivery.ONE, audience: Audience | None = None) -> Offer:
    question = Question(
        f"q{next(_numbers)}", "acme", "agent", "?", 0.0, 1000.0, audience or Audience(), delivery
    )
    return Offer(question)


def test_all_of_an_audience_are_shown_a_question_once() -> None:
    floor = Floor(3)
    shown = offer(Delivery.ALL)
    for _ in range(2):
        floor.dispatch.show(shown, 0.0)
    assert [tab.told(shown.question) for tab in floor.tabs] == [["offer"]] * 3


def test_one_after_the_other_gets_the_next_question() -> None:
    floor = Floor(3)
    for _ in range(6):
        floor.dispatch.show(offer(), 0.0)
    assert [floor.load(tab) for tab in floor.tabs] == [2, 2, 2]
    assert floor.dispatch.unseen == 6


def test_closing_tells_everybody_but_the_one_who_did_it() -> None:
    floor = Floor(3)
    shown = offer(Delivery.ALL)
    floor.dispatch.show(shown, 0.0)
    floor.dispatch.close(shown, Outcome(State.ANSWERED, 1.0), floor.tabs[1])
    told = [tab.told(shown.question) for tab in floor.tabs]
    assert told == [["offer", "answered"], ["offer"], ["offer", "answered"]]
    assert all(floor.load(tab) == 0 for tab in floor.tabs)


def test_what_was_taken_can_be_given_again() -> None:
    floor = Floor(1)
    (tab,) = floor.tabs
    shown = offer()
    floor.dispatch.show(shown, 0.0)
    floor.dispatch.take(shown, tab)
    floor.dispatch.take(shown, tab)
    assert (floor.load(tab), floor.dispatch.unseen) == (0, 0)
    floor.dispatch.show(shown, 0.0)
    assert tab.told(shown.question) == ["offer", "offer"]


def test_all_that_one_frontend_had_can_be_taken_at_once() -> None:
    floor = Floor(2)
    shown = [offer(), offer(), offer(Delivery.ALL)]
    for each in shown:
        floor.dispatch.show(each, 0.0)
    assert floor.dispatch.take_all(floor.tabs[0]) == [shown[0], shown[2]]
    assert [floor.load(tab) for tab in floor.tabs] == [0, 2]
    assert [floor.dispatch.is_unseen(each) for each in shown] == [False, True, False]
    assert floor.hub.least_busy("acme", Audience()) is floor.tabs[0]


def test_an_unseen_question_goes_round_and_begins_again() -> None:
    floor = Floor(3)
    shown = offer()
    floor.dispatch.show(shown, 0.0)
    for now in (31.0, 62.0, 93.0):
        floor.dispatch.pass_on_unseen(now)
    told = [tab.told(shown.question) for tab in floor.tabs]
    assert told == [
        ["offer", "reassigned", "offer"],
        ["offer", "reassigned"],
        ["offer", "reassigned"],
    ]


def test_nothing_moves_before_its_time() -> None:
    floor = Floor(2)
    shown = offer()
    floor.dispatch.show(shown, 10.0)
    floor.dispatch.pass_on_unseen(39.9)
    assert floor.load(floor.tabs[0]) == 1


def test_a_seen_question_stays() -> None:
    floor = Floor(2)
    shown = offer()
    floor.dispatch.show(shown, 0.0)
    floor.dispatch.saw(floor.tabs[0], shown.question.id, 1.0)
    floor.dispatch.saw(floor.tabs[0], "another", 1.0)
    floor.dispatch.pass_on_unseen(100.0)
    assert floor.tabs[0].told(shown.question) == ["offer"]


@pytest.mark.parametrize("audience", [Audience(), Audience("user", "ann")])
def test_who_is_alone_keeps_it_until_somebody_comes(audience: Audience) -> None:
    floor = Floor(0)
    alone = floor.tab("ann")
    shown = offer(audience=audience)
    floor.dispatch.show(shown, 0.0)
    floor.dispatch.pass_on_unseen(31.0)
    assert alone.told(shown.question) == ["offer"]
    second = floor.tab("ann")
    floor.dispatch.pass_on_unseen(62.0)
    assert alone.told(shown.question) == ["offer", "reassigned"]
    assert second.told(shown.question) == ["offer"]


def test_nobody_there_is_no_failure() -> None:
    floor = Floor(0)
    for delivery in Delivery:
        floor.dispatch.show(offer(delivery), 0.0)
    floor.dispatch.pass_on_unseen(100.0)
    assert floor.dispatch.unseen == 0
