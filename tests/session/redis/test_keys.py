"""Places are evenly spread, names never meet, and what a script touches is in one slot (D8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from session.model import Question
from session.redis import keys
from session.redis.keys import PLACES, place_of
from tests.session.redis.asking import question

names = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("{}:%ab/ ", max_size=6)


def test_places_are_evenly_spread_over_slots() -> None:
    """Of a cluster of two, four, eight or sixteen equal primaries each has as many."""
    assert [place.slot * 16 // 16_384 for place in PLACES] == list(range(16))
    assert [place.number for place in PLACES] == list(range(16))


def test_ids_are_evenly_spread_over_places() -> None:
    counts = dict.fromkeys(PLACES, 0)
    for _ in range(16_000):
        place = place_of(question().id)
        assert place is not None
        counts[place] += 1
    assert all(800 < count < 1200 for count in counts.values())


def test_only_what_looks_like_an_id_of_ours_has_a_place() -> None:
    assert place_of("f" * 64) is PLACES[15]
    assert [place_of(strange) for strange in ("", "x", "F", "g0", "\u00e9", "0" * 65)] == [None] * 6


@given(tenant=names, question_id=names)
def test_all_keys_of_a_place_share_its_slot(tenant: str, question_id: str) -> None:
    """By redis-py's own arithmetic."""
    for place in PLACES:
        found = (
            *(place.due, place.log, place.pending, place.alive, place.channel),
            *(place.question(question_id), place.inbox(tenant), place.asked("0" * 40)),
        )
        assert {key_slot(key) for key in found} == {place.slot}
        assert len(set(found)) == len(found)


@given(first=st.tuples(names, names), second=st.tuples(names, names))
def test_no_two_names_give_the_same_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    place = PLACES[0]
    for make in (
        lambda pair: keys.drafts(*pair),
        lambda pair: (keys.presence(pair[0]), keys.streams(pair[1])),
        lambda pair: (place.inbox(pair[0]), place.question(pair[1])),
    ):
        assert (make(first) == make(second)) == (first == second)


@given(session_id=st.uuids().map(str))
def test_what_a_session_has_subscribed_to_is_in_its_slot(session_id: str) -> None:
    slot = key_slot(keys.session(session_id))
    assert slot == keys.slot_of(keys.session(session_id))
    for key in (keys.subscriptions(session_id), keys.listening(session_id)):
        assert key_slot(key) == slot


@given(tenant=names, owner=names)
def test_a_key_without_a_hash_tag_is_where_we_say(tenant: str, owner: str) -> None:
    for key in (keys.drafts(tenant, owner), keys.presence(tenant), keys.streams(owner)):
        assert keys.slot_of(key) == key_slot(key)
        assert b"{" not in key


@given(first=st.tuples(names, names, names), second=st.tuples(names, names, names))
def test_a_key_is_its_askers_alone(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    one, other = (
        keys.asked_as(Question("0", tenant, asker, "?", 0.0, 1.0, idempotency_key=key))
        for tenant, asker, key in (first, second)
    )
    assert (one == other) == (first == second)
    assert len(one) == 40
