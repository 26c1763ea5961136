"""Events in order, twice, with gaps, from a count that went back, and in another's words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pool.promises import Promise
from session.model import EVERYONE, Listing, Question
from session.redis.events import UNKNOWN, Events
from session.redis.inboxes import Inboxes
from session.redis.keys import PLACES, Place
from session.redis.ready import Ready
from session.redis.records import listing_bytes, notification_bytes
from session.redis.tools import ToolCache
from tests.session.redis.asking import question
from tests.session.redis.instances import Heard

PLACE = PLACES[5]


def _no_listings(_tenant: str, _place: Place) -> Promise[Any]:
    promise: Promise[Any] = Promise()
    promise.set([])
    return promise


class World:
    """Two instances without a Redis between them: what one says is handed over by hand."""

    def __init__(self, *, listens: bool = True) -> None:
        self.inboxes = Inboxes(_no_listings)
        self.events = Events("here", self.inboxes, ToolCache(), Ready(time.monotonic))
        self.heard = Heard()
        self.events.subscribe(self.heard)
        self.there = Events("there", Inboxes(_no_listings), ToolCache(), Ready(time.monotonic))
        if listens:
            for place in PLACES:
                self.events.subscribed(place.channel)
                assert self.sweep(0, place=place)
                self.events.reread(place, [], [])
            self.heard.missing.clear()

    def is_current(self) -> bool:
        return self.inboxes.is_current

    def say(self, sequence: int | str, event: bytes, place: Place = PLACE) -> None:
        self.events.message(place.channel, f"{sequence} ".encode() + event)

    def sweep(
        self,
        last: int,
        *events: tuple[int, bytes],
        place: Place = PLACE,
        heard: int | None = None,
    ) -> bool:
        heard = self.events.last_of(place) if heard is None else heard
        found = [part for number, event in events for part in (b"%d" % number, event)]
        return self.events.swept(place, heard, last, found)


def opened(world: World, asked: Question) -> bytes:
    return world.there.opened + listing_bytes(asked)


def test_what_others_do_is_heard_and_what_we_do_is_not() -> None:
    world = World()
    asked = question()
    listing = listing_bytes(asked)
    world.say(1, world.there.opened + listing)
    world.say(2, world.events.opened + listing)
    world.say(3, world.there.released + listing)
    world.say(4, world.there.settled + listing)
    world.events.message(
        PLACE.channel, world.there.notified(notification_bytes("t", EVERYONE, b"{}"))
    )
    heard = world.heard
    assert heard.opened == [asked.id, asked.id]
    assert heard.settled == [("acme", asked.id)]
    assert heard.told == [("t", EVERYONE, b"{}")]
    assert (world.events.heard, world.events.gaps) == (4, 0)
    assert world.events.last_of(PLACE) == 4


def test_what_comes_twice_is_heard_once() -> None:
    world = World()
    event = opened(world, question())
    for sequence in (1, 1, 2, 1, 2):
        world.say(sequence, event)
    assert len(world.heard.opened) == 2


def test_a_gap_is_read_by_the_sweep() -> None:
    world = World()
    asked = [question() for _ in range(3)]
    events = [opened(world, each) for each in asked]
    world.say(1, events[0])
    world.say(3, events[2])
    assert world.events.gaps == 1
    assert world.events.last_of(PLACE) == 1
    assert not world.sweep(3, (2, events[1]), (3, events[2]))
    assert world.heard.opened == [asked[0].id, asked[2].id, asked[1].id, asked[2].id]
    assert world.events.last_of(PLACE) == 3
    assert world.is_current()


def test_a_sweep_that_is_overtaken_by_events_says_nothing_twice() -> None:
    world = World()
    asked = [question() for _ in range(3)]
    events = [opened(world, each) for each in asked]
    for number, event in enumerate(events, start=1):
        world.say(number, event)
    assert not world.sweep(2, (1, events[0]), (2, events[1]), heard=0)
    # And the other way round: the sweep first, then what was on its way.
    assert not world.sweep(4, (4, opened(world, asked[0])))
    world.say(4, opened(world, asked[0]))
    assert world.heard.opened == [*(each.id for each in asked), asked[0].id]
    assert world.events.found_by_sweep == 1


@pytest.mark.parametrize("count", [6, 7])
def test_a_log_that_was_cut_short_is_no_whole_story(count: int) -> None:
    world = World()
    world.say(1, opened(world, question()))
    assert world.sweep(count, (count, opened(world, question())))
    assert not world.is_current()
    assert world.events.last_of(PLACE) == count
    world.events.reread(PLACE, [], [])
    assert world.is_current()
    assert len(world.heard.opened) == 1


def test_a_count_that_went_back_has_the_place_read_anew_and_goes_on_from_there() -> None:
    world = World()
    for number in range(1, 6):
        world.say(number, opened(world, question()))
    assert world.sweep(2, heard=5)
    assert world.events.last_of(PLACE) == 2
    world.events.reread(PLACE, [], [])
    world.say(3, opened(world, question()))
    assert len(world.heard.opened) == 6
    assert world.events.gaps == 0


def test_what_is_heard_before_the_first_sweep_is_not_heard_again() -> None:
    world = World(listens=False)
    world.events.subscribed(PLACE.channel)
    assert world.events.last_of(PLACE) == UNKNOWN
    asked = question()
    world.say(8, opened(world, asked))
    # The sweep had been done when that was said.
    assert world.sweep(7, heard=UNKNOWN)
    world.events.reread(PLACE, [], [])
    world.say(9, opened(world, asked))
    assert not world.sweep(9)
    assert world.heard.opened == [asked.id, asked.id]
    assert world.events.gaps == 0


def test_nothing_is_current_until_all_is_heard_and_read() -> None:
    world = World()
    assert world.is_current()
    world.events.unsubscribed(PLACE.channel)
    assert not world.is_current()
    # Not while nobody listens: what is read could change unheard.
    assert not world.sweep(9)
    world.events.subscribed(PLACE.channel)
    assert world.sweep(9)
    # Interrupted again while it is read.
    world.events.subscribed(PLACE.channel)
    world.events.reread(PLACE, [], [])
    assert not world.is_current()
    assert world.sweep(9)
    world.events.reread(PLACE, [], [])
    assert world.is_current()


def test_a_place_whose_subscription_was_interrupted_while_it_was_read_is_read_again() -> None:
    """Also when it is heard again by the time the reading ends: what was read is older."""
    world = World()
    world.events.subscribed(PLACE.channel)
    assert world.sweep(10)
    world.events.unsubscribed(PLACE.channel)
    world.events.subscribed(PLACE.channel)
    world.say(12, opened(world, question()))
    world.events.reread(PLACE, [], [])
    assert not world.is_current()
    assert world.sweep(12)
    world.events.reread(PLACE, [], [])
    assert world.is_current()
    assert not world.sweep(12)


def test_what_a_reading_finds_is_told() -> None:
    world = World()
    new, old = question(place=PLACE), question(place=PLACE)
    watch = world.events.watch(old.id)
    listings = [Listing(each.id, each.tenant, each.audience, each.delivery) for each in (new, old)]
    world.events.reread(PLACE, listings[:1], listings[1:])
    assert world.heard.opened == [new.id]
    assert world.heard.settled == [("acme", old.id)]
    assert watch.ends == 1
    (concerns,) = world.heard.missing
    assert concerns(new.id)
    assert not concerns(question(place=PLACES[6]).id)


@pytest.mark.parametrize(
    "event", [b"", b"there", b"there o", b"there o nonsense", b"there n []", b"there s [1]"]
)
def test_what_another_version_says_is_counted_and_passed_over(event: bytes) -> None:
    world = World()
    world.say(1, event)
    world.say("x", event)
    assert world.events.unreadable == 2
    assert world.events.last_of(PLACE) == 1
    # A kind that there is not yet says nothing either.
    world.say(2, b"there z " + listing_bytes(question()))
    assert world.heard == Heard()


def test_an_unknown_channel_and_nobody_to_tell_are_no_trouble() -> None:
    world = World()
    world.events.message(b"elsewhere", b"1 there g x")
    lonely = Events("here", Inboxes(_no_listings), ToolCache(), Ready(time.monotonic))
    lonely.subscribed(PLACE.channel)
    for number, event in enumerate((b"o ", b"s "), start=1):
        data = b"%d there %b" % (number, event) + listing_bytes(question())
        lonely.message(PLACE.channel, data)
    lonely.message(PLACE.channel, b"3 there g other")
    lonely.message(PLACE.channel, world.there.notified(notification_bytes("t", EVERYONE, b"{}")))
    lonely.reread(PLACE, [], [])
    lonely.forgotten()
    assert lonely.heard == 4


@pytest.mark.parametrize("by", ["there", "here"])
async def test_what_a_gone_instance_held_is_told_whoever_noticed(by: str) -> None:
    world = World()
    await world.inboxes.of("acme")
    mine, elsewhere = question(place=PLACE), question(place=PLACES[6])
    world.say(1, opened(world, mine))
    world.say(1, opened(world, elsewhere), PLACES[6])
    world.heard.opened.clear()
    gone = world.there.gone if by == "there" else world.events.gone
    world.say(2, gone + b"another")
    assert world.heard.opened == [mine.id]
    # Who was connected there is so no more, whosever they were.
    assert world.heard.present == [""]


def test_whose_frontends_are_others_is_heard_of_the_others() -> None:
    world = World()
    world.say(0, world.there.present("acmé").partition(b" ")[2])
    world.say(0, world.events.present("acme").partition(b" ")[2])
    assert world.heard.present == ["acmé"]


def test_what_a_caller_answers_is_heard_as_it_is_and_never_of_ourselves() -> None:
    world = World()
    said = b'["acme", "ann", "session", {"result": {"a b": "c\\nd"}}]'
    world.say(0, world.there.responded("0" * 32, said).partition(b" ")[2])
    world.say(0, world.events.responded("0" * 32, said).partition(b" ")[2])
    assert world.heard.responses == [("0" * 32, said)]


def test_what_a_session_gives_up_is_heard_as_it_is_and_never_of_ourselves() -> None:
    world = World()
    said = b'["acme", "ann", "a b\\nc"]'
    world.say(0, world.there.cancelled("s-1", said).partition(b" ")[2])
    world.say(0, world.events.cancelled("s-2", said).partition(b" ")[2])
    assert world.heard.cancellations == [("s-1", said)]


def test_which_session_is_another_is_heard_of_the_others() -> None:
    world = World()
    world.say(0, world.there.session("s-1").partition(b" ")[2])
    world.say(0, world.events.session("s-2").partition(b" ")[2])
    assert world.heard.sessions == ["s-1"]


def test_watches_are_forgotten_with_their_last_reader() -> None:
    world = World()
    asked = question()
    one = world.events.watch(asked.id)
    assert world.events.watch(asked.id) is one
    world.events.ended_here("acme", asked.id)
    assert one.ends == 1
    world.events.unwatch(asked.id, one)
    assert world.events.watch(asked.id) is one
    world.events.unwatch(asked.id, one)
    world.events.unwatch(asked.id, one)
    assert world.events._watches == {}
