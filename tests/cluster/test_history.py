"""The checker finds what it is there to find: histories in which things went wrong."""

from __future__ import annotations

import pytest

from haproxy.redis_cluster import RedisNode
from session.model import Outcome, Question, State
from session.redis import records
from session.redis.keys import place_of
from tests.cluster.history import History, Status, Stored, final_store


def good() -> tuple[History, dict[str, Stored]]:
    """A question that two people answered, and the first of them won."""
    history = History()
    ask = history.ask("t1")
    ask.status, ask.value, ask.question_id = Status.OK, "t1|ann", "q1"
    history.answer("q1", "t1", "ann").status = Status.OK
    history.answer("q1", "t1", "bob").status = Status.FAILED
    return history, {"q1": Stored("t1", "t1|ann")}


def test_nothing_is_wrong_when_all_is_well() -> None:
    history, stored = good()
    assert history.wrongs(stored) == []


def test_what_others_asked_is_nobodys_business_here() -> None:
    history, stored = good()
    assert history.wrongs(stored | {"q2": Stored("somebody's", "|"), "q3": Stored("x", None)}) == []


def test_an_accepted_answer_that_is_gone_is_lost() -> None:
    history, _ = good()
    for stored in ({}, {"q1": Stored("t1", None)}, {"q1": Stored("t1", "t1|eve")}):
        lost = [wrong for wrong in history.wrongs(stored) if wrong.startswith("lost: answer")]
        assert len(lost) == 1


def test_an_answer_that_a_caller_was_given_and_that_is_gone_is_lost() -> None:
    history, _ = good()
    history.answers.clear()
    for stored in ({}, {"q1": Stored("t1", None)}, {"q1": Stored("t1", "t1|bob")}):
        assert [wrong.split(":")[0] for wrong in history.wrongs(stored)] == ["lost"]


def test_two_accepted_answers_to_one_question_are_duplicated() -> None:
    history, stored = good()
    history.answer("q1", "t1", "bob").status = Status.OK
    assert "duplicated: t1|ann and t1|bob were accepted" in history.wrongs(stored)


def test_one_ask_that_became_two_questions_is_duplicated() -> None:
    history, stored = good()
    wrongs = history.wrongs(stored | {"q2": Stored("t1", None)})
    assert wrongs == ["duplicated: ask t1 became 2 questions"]


def test_an_answer_to_another_question_is_crossed() -> None:
    history, stored = good()
    other = history.ask("t2")
    other.status, other.value, other.question_id = Status.OK, "t1|ann", "q2"
    wrongs = history.wrongs(stored | {"q2": Stored("t2", "t1|ann")})
    assert wrongs == [
        "crossed: ask t2 was given t1|ann",
        "crossed: question t2 has t1|ann",
    ]


def test_a_caller_that_was_given_another_callers_question_is_crossed() -> None:
    history, _ = good()
    history.asks[0].value = "t1|ann"
    assert "crossed: ask t1 was given the question t2" in history.wrongs(
        {"q1": Stored("t2", "t1|ann")}
    )


def test_an_answer_that_was_refused_and_stored_is_denied() -> None:
    history, stored = good()
    history.answer("q1", "t1", "ann").status = Status.FAILED
    assert history.wrongs(stored) == ["denied: answer t1|ann was refused, and the store has it"]


@pytest.mark.parametrize("status", [Status.INVOKED, Status.UNKNOWN])
def test_an_ask_that_never_ended_is_unfinished(status: Status) -> None:
    history, stored = good()
    history.asks[0].status = status
    assert history.wrongs(stored) == ["unfinished: ask t1"]


def test_an_answer_whose_fate_is_not_known_may_be_stored_or_not() -> None:
    """Its person was told so, and would have sent it again."""
    history, stored = good()
    history.answer("q1", "t1", "bob").status = Status.UNKNOWN
    history.answer("q1", "t1", "ann").status = Status.UNKNOWN
    assert history.wrongs(stored) == []
    history.answer("q1", "t1", "bob").status = Status.INVOKED
    assert history.wrongs(stored) == ["unfinished: answer t1|bob"]


def test_the_final_store_is_read_as_it_was_written(redis_node: RedisNode, redis_url: str) -> None:
    question = Question("a1", "default", "agent", "t1", 0.0, 1.0)
    place = place_of(question.id)
    assert place is not None
    key = place.question(question.id)
    redis_node.command("HSET", key, "b", records.question_bytes(question))
    assert final_store([redis_node]) == {"a1": Stored("t1", None)}
    outcome = records.outcome_bytes(Outcome(State.ANSWERED, 0.0, "t1|ann"), "0" * records.ATTEMPT)
    redis_node.command("HSET", key, "o", outcome)
    assert final_store([redis_node]) == {"a1": Stored("t1", "t1|ann")}
    redis_node.command("DEL", key)
    redis_node.command("HSET", key, "o", outcome)
    assert final_store([redis_node]) == {}
