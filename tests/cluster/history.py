"""What clients did and were told, compared with what the store has in the end.

Every ask has a token, which is its text and its idempotency key; every answer names the
token of the question it is meant for and who gave it. So it shows what is

- lost: a person was told that an answer is accepted, or a caller was given it, and the
  store has another or none;
- duplicated: two answers were accepted for one question, or one ask became two;
- crossed: an answer was meant for another question;
- denied: a person was told that an answer came second, and it is the one that is stored;
- unfinished: a client never heard how it ended.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import redis

from haproxy.redis_cluster import RedisNode
from session.redis import records


class Status(enum.Enum):
    """What a client knows of what it has asked for."""

    INVOKED = "invoked"
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclasses.dataclass(slots=True)
class Ask:
    """A question, asked until there was an answer: ``value`` is what was returned."""

    token: str
    invoked_at: float = 0.0
    status: Status = Status.INVOKED
    value: str = ""
    question_id: str = ""
    ended_at: float = 0.0


@dataclasses.dataclass(slots=True)
class Answer:
    """An answer, sent until it was acknowledged."""

    question_id: str
    token: str
    by: str
    status: Status = Status.INVOKED

    @property
    def value(self) -> str:
        """What is sent."""
        return f"{self.token}|{self.by}"


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A question in the store: ``answer`` is ``None`` when it has none."""

    token: str
    answer: str | None


class History:
    """All that clients did in one test."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.answers: dict[tuple[str, str], Answer] = {}

    def ask(self, token: str, now: float = 0.0) -> Ask:
        """Begin to ask."""
        ask = Ask(token, now)
        self.asks.append(ask)
        return ask

    def answer(self, question_id: str, token: str, by: str) -> Answer:
        """Begin to answer, or go on with it."""
        return self.answers.setdefault((question_id, by), Answer(question_id, token, by))

    def wrongs(self, stored: Mapping[str, Stored]) -> list[str]:
        """Return what went wrong, in words; ``stored`` is the final store, by question id."""
        return sorted(
            {
                *self._wrong_asks(stored),
                *self._wrong_answers(stored),
                *self._wrong_questions(stored),
            }
        )

    def _wrong_asks(self, stored: Mapping[str, Stored]) -> Iterator[str]:
        for ask in self.asks:
            if ask.status in {Status.INVOKED, Status.UNKNOWN}:
                yield f"unfinished: ask {ask.token}"
            if ask.status is not Status.OK:
                continue
            question = stored.get(ask.question_id)
            if _token_of(ask.value) != ask.token:
                yield f"crossed: ask {ask.token} was given {ask.value}"
            if question is None or question.answer != ask.value:
                has = "nothing" if question is None else question.answer
                yield f"lost: ask {ask.token} was given {ask.value}, the store has {has}"
            elif question.token != ask.token:
                yield f"crossed: ask {ask.token} was given the question {question.token}"

    def _wrong_answers(self, stored: Mapping[str, Stored]) -> Iterator[str]:
        accepted: dict[str, list[str]] = defaultdict(list)
        for answer in self.answers.values():
            question = stored.get(answer.question_id)
            if answer.status is Status.INVOKED:
                yield f"unfinished: answer {answer.value}"
            elif answer.status is Status.OK:
                accepted[answer.question_id].append(answer.value)
                if question is None or question.answer != answer.value:
                    has = "nothing" if question is None else question.answer
                    yield f"lost: answer {answer.value} was accepted, the store has {has}"
            elif answer.status is Status.FAILED and question and question.answer == answer.value:
                yield f"denied: answer {answer.value} was refused, and the store has it"
        for values in accepted.values():
            if len(values) > 1:
                yield f"duplicated: {' and '.join(sorted(values))} were accepted"

    def _wrong_questions(self, stored: Mapping[str, Stored]) -> Iterator[str]:
        asked: dict[str, set[str]] = {ask.token: set() for ask in self.asks}
        for question_id, question in stored.items():
            if question.token not in asked:
                continue
            asked[question.token].add(question_id)
            if question.answer is not None and _token_of(question.answer) != question.token:
                yield f"crossed: question {question.token} has {question.answer}"
        for token, ids in asked.items():
            if len(ids) > 1:
                yield f"duplicated: ask {token} became {len(ids)} questions"


def _token_of(value: str) -> str:
    return value.partition("|")[0]


def final_store(nodes: Iterable[RedisNode]) -> dict[str, Stored]:
    """Read all questions from the primaries, with a client that is not ours."""
    found = {}
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            for key in client.scan_iter(match="question:*", count=1000):
                body, ended = client.hmget(key, ["b", "o"])
                if body is None:
                    continue
                question = records.question(body)
                outcome = None if ended is None else records.outcome(ended)
                answer = None if outcome is None else outcome.answer
                found[question.id] = Stored(question.text, answer)
    return found
