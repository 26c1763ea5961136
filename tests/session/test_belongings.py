"""What sessions have is theirs alone, bounded, and leaves nothing behind."""

from __future__ import annotations

from session.belongings import Belongings
from session.store import Listening


def uris_of(belongings: Belongings, session_id: str) -> tuple[str, ...]:
    return belongings.listen(session_id, Listening("here", 0, 1), 0.0).uris


def test_nothing_is_left_of_what_was_taken_back_or_has_ended() -> None:
    belongings = Belongings()
    assert belongings.save_subscription("a", "one", 1)
    belongings.save_stream("b", "stream", ("question", 1), 1)
    assert len(belongings) == 2
    belongings.end_subscription("a", "one")
    belongings.end_subscription("a", "one")
    belongings.forget("b")
    belongings.forget("b")
    assert len(belongings) == 0
    for session_id in "cd":
        heard = belongings.listen(session_id, Listening("here", 0, 1), 0.0)
    assert len(belongings) == 2
    belongings.forget("c")
    belongings.end_listening("c", Listening("here", heard.order, 1))
    belongings.end_listening("d", Listening("here", heard.order, 1))
    assert len(belongings) == 0


def test_who_listens_is_as_many_as_count_and_of_these_the_latest_tells() -> None:
    belongings = Belongings()
    told = [
        belongings.listen("a", Listening(f"{number}", 0, 1), float(number)) for number in range(9)
    ]
    assert all(heard.tells for heard in told)
    # Each had its time, which ends as the next one comes.
    assert not any(heard.is_shared for heard in told)
    assert len(belongings._listening["a"]) == 1
    near = belongings.listen("a", Listening("near", 0, 1), 8.5)
    assert (near.tells, near.is_shared, near.is_news) == (True, True, True)
    assert not belongings.listen("a", Listening("8", told[8].order, 1), 8.6).tells
    # One that is heard of late comes where it opened.
    late = belongings.listen("a", Listening("late", 0, 1, 0.25), 8.6)
    assert (late.order, late.tells) == (8_350_000, False)
    # A clock that went back changes nothing about who is the latest.
    assert belongings.listen("a", Listening("last", 0, 1), 3.0).order > near.order


def test_who_has_as_many_as_may_be_keeps_those() -> None:
    belongings = Belongings()
    assert [belongings.save_subscription("a", uri, 2) for uri in "abca"] == [
        True,
        True,
        False,
        True,
    ]
    assert uris_of(belongings, "a") == ("a", "b")
    assert not belongings.save_subscription("b", "a", 0)
    assert len(belongings) == 1
    assert uris_of(belongings, "b") == ()


def test_the_oldest_stream_goes_first() -> None:
    belongings = Belongings()
    for number, name in enumerate("abc"):
        belongings.save_stream("s", name, (name, number), 2)
    found = [belongings.find_stream("s", name) for name in "abc"]
    assert found == [None, ("b", 1), ("c", 2)]
    assert belongings.find_stream("other", "c") is None
