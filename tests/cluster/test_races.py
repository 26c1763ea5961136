"""An answer, a refusal, a cancellation and the deadline race for one question, many times.

Each from another instance, all of them stores in this one process, on one real Redis.
RACES=100000 in the environment runs more of them.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway.clock import WallClock
from gateway.ids import Ids
from haproxy.redis_cluster import RedisNode
from pool.connection import Callback, Connection
from pool.connection_settings import Settings as ConnectionsSettings
from pool.connections import Connections
from pool.timers import Timers
from session import parse_store_address
from session.model import Outcome, Question, State
from session.redis.client import RedisClient
from session.redis.keys import PLACES
from session.redis.settings import Settings
from session.redis.store import RedisStore
from session.store import Settlement

pytestmark = pytest.mark.slow

RACES = int(os.environ.get("RACES", "3000"))
BATCH = 64
LANES = 4
INSTANCES = 4
CONTENDERS = (State.ANSWERED, State.REJECTED, State.CANCELLED)


def fail_loudly(_connection: Connection | None, error: Exception) -> None:
    raise error


@asynccontextmanager
async def open_stores(url: str, count: int) -> AsyncIterator[list[RedisStore]]:
    """Several instances' stores, each with a client of its own."""
    ids = Ids()
    async with trio.open_nursery() as nursery:
        timers: Timers[Callback] = Timers(trio.current_time())
        connections = Connections(ConnectionsSettings(), timers, fail_loudly)
        await nursery.start(connections.run)
        stores = []
        for index in range(count):
            name = f"instance{index}"
            client = RedisClient(
                parse_store_address(url),
                Settings(),
                connections=connections,
                timers=timers,
                name=name,
            )
            stores.append(
                RedisStore(client, Settings(), instance=name, new_id=ids.new, now=trio.current_time)
            )
            await nursery.start(client.run)
        yield stores
        nursery.cancel_scope.cancel()


class Races:
    """Questions that end once, and who was told to have ended them."""

    def __init__(self, stores: list[RedisStore]) -> None:
        self.stores = stores
        self.wins: dict[str, list[Outcome]] = defaultdict(list)
        self.heard: dict[str, list[Outcome]] = defaultdict(list)
        self.winners: Counter[State] = Counter()
        self._ids = Ids()
        self._chance = secrets.SystemRandom()
        self._now = WallClock().now

    async def run(self, count: int) -> None:
        """Race so often; raises at the first disagreement."""
        batches = iter(range(0, count, BATCH))
        async with trio.open_nursery() as lanes:
            for _ in range(LANES):
                lanes.start_soon(self._lane, batches, count)

    async def _lane(self, batches: Iterator[int], count: int) -> None:
        for first in batches:
            await self._batch(min(BATCH, count - first))

    async def _batch(self, size: int) -> None:
        questions = [self._question() for _ in range(size)]
        async with trio.open_nursery() as asking:
            for question in questions:
                asking.start_soon(self._chance.choice(self.stores).admit, question)
        async with trio.open_nursery() as sweeping:
            for store in self._chance.sample(self.stores, 2):
                sweeping.start_soon(self._sweep, store)
            for question in self._chance.sample(questions, size):
                await self._race(question)
            sweeping.cancel_scope.cancel()
        for question in questions:
            await self._judge(question)

    def _question(self) -> Question:
        now = self._now()
        # Every other one is overdue at once.
        seconds = self._chance.choice((0.0, 600.0))
        return Question(self._ids.new(), "acme", "agent", "?", now, now + seconds)

    async def _race(self, question: Question) -> None:
        """Have three instances end a question, while others look whether it is overdue."""
        async with trio.open_nursery() as racing:
            for state, store in zip(
                self._chance.sample(CONTENDERS, len(CONTENDERS)),
                self._chance.sample(self.stores, len(CONTENDERS)),
                strict=True,
            ):
                racing.start_soon(self._settle, store, question, state)

    async def _settle(self, store: RedisStore, question: Question, state: State) -> None:
        settled = await store.settle(question, Outcome(state, self._now(), by=self._ids.new()))
        assert settled is not None, "a question that is kept is known"
        self._note(settled)

    async def _sweep(self, store: RedisStore) -> None:
        while True:
            # Its outcome is noted with its effect: a sweep is not interrupted.
            with trio.CancelScope(shield=True):
                for settled in await store.sweep(self._now(), 500):
                    self._note(settled)
            await trio.lowlevel.checkpoint()

    def _note(self, settled: Settlement) -> None:
        question_id = settled.question.id
        self.heard[question_id].append(settled.outcome)
        if settled.won:
            self.wins[question_id].append(settled.outcome)
            self.winners[settled.outcome.state] += 1

    async def _judge(self, question: Question) -> None:
        (won,) = await self._told_of(question)
        assert all(heard == won for heard in self.heard.pop(question.id))
        for store in self.stores:
            found = await store.find(question.tenant, question.id)
            assert found is not None
            assert found.outcome == won

    async def _told_of(self, question: Question) -> list[Outcome]:
        """Return who won, once a sweep that another lane runs has told of it."""
        while not self.wins[question.id]:
            await trio.lowlevel.checkpoint()
        return self.wins.pop(question.id)


async def test_every_question_ends_once_and_all_instances_agree_how(
    redis_node: RedisNode, redis_url: str
) -> None:
    with trio.fail_after(60 + RACES / 100):
        async with open_stores(redis_url, INSTANCES) as stores:
            races = Races(stores)
            began = trio.current_time()
            await races.run(RACES)
            print(f"{RACES} races in {trio.current_time() - began:.1f} s: {races.winners}")
            assert races.wins == {}
            assert races.winners.total() == RACES
            # Each way to end was the first one often enough to be tested.
            assert min(races.winners[state] for state in (*CONTENDERS, State.TIMED_OUT)) > 0
            assert await stores[0].inbox("acme") == []
    assert redis_node.command("EXISTS", *(place.pending for place in PLACES)) == 0
    assert [redis_node.command("ZCARD", place.due) for place in PLACES] == [0] * len(PLACES)
