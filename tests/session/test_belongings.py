"""What sessions have is theirs alone, bounded, and leaves nothing behind."""

from __future__ import annotations

from session.belongings import Belongings


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


def test_who_has_as_many_as_may_be_keeps_those() -> None:
    belongings = Belongings()
    assert [belongings.save_subscription("a", uri, 2) for uri in "abca"] == [
        True,
        True,
        False,
        True,
    ]
    assert belongings.subscriptions("a") == ("a", "b")
    assert not belongings.save_subscription("b", "a", 0)
    assert belongings.subscriptions("b") == ()
    assert len(belongings) == 1


def test_the_oldest_stream_goes_first() -> None:
    belongings = Belongings()
    for number, name in enumerate("abc"):
        belongings.save_stream("s", name, (name, number), 2)
    found = [belongings.find_stream("s", name) for name in "abc"]
    assert found == [None, ("b", 1), ("c", 2)]
    assert belongings.find_stream("other", "c") is None
