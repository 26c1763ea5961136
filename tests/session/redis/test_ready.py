"""One question for each answer, in their order, as long as they say anything."""

from __future__ import annotations

import pytest

from session.model import EVERYONE, Audience
from session.redis.ready import READY_SECONDS, Ready

OPS = Audience("group", "ops")


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ready(time: Time) -> Ready:
    return Ready(lambda: time.now)


def test_each_answer_is_good_for_one_question(ready: Ready) -> None:
    for instance in (b"b", b"c", b"b"):
        ready.answered("acme", EVERYONE, instance)
    assert len(ready) == 3
    assert [ready.next_for("acme", EVERYONE) for _ in range(4)] == [b"b", b"c", b"b", b""]
    assert (ready.given, len(ready)) == (3, 0)


def test_it_says_nothing_of_other_people(ready: Ready) -> None:
    ready.answered("acme", OPS, b"b")
    assert ready.next_for("acme", EVERYONE) == b""
    assert ready.next_for("other", OPS) == b""
    assert ready.next_for("acme", Audience("group", "ops")) == b"b"


def test_an_old_answer_says_nothing(ready: Ready, time: Time) -> None:
    ready.answered("acme", EVERYONE, b"b")
    time.now += READY_SECONDS
    ready.answered("acme", EVERYONE, b"c")
    assert ready.next_for("acme", EVERYONE) == b"b"
    time.now += READY_SECONDS + 0.001
    assert ready.next_for("acme", EVERYONE) == b""
    assert (ready.given, len(ready)) == (1, 0)


def test_of_more_answers_than_are_remembered_the_oldest_go(ready: Ready) -> None:
    for number in range(300):
        ready.answered("acme", EVERYONE, b"%d" % number)
    assert len(ready) == 256
    assert ready.next_for("acme", EVERYONE) == b"44"


def test_of_more_audiences_than_are_remembered_the_oldest_go(ready: Ready) -> None:
    for number in range(1_001):
        ready.answered(f"tenant {number}", EVERYONE, b"b")
    assert len(ready) == 1_000
    assert ready.next_for("tenant 0", EVERYONE) == b""
    assert ready.next_for("tenant 1", EVERYONE) == b"b"
    assert ready.next_for("tenant 1000", EVERYONE) == b"b"
