"""Memory, one Redis and a cluster are taken through the same lives, and agree at every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.clock import WallClock
from gateway.ids import Ids
from haproxy.redis_cluster import RedisCluster, RedisNode
from session import Store
from session.lifecycle import Step, advance
from session.model import Delivery, Draft, Outcome, Question, State
from tests.contract.permissions import permitted
from tests.contract.stage import Stage, stage

pytestmark = pytest.mark.slow

TENANTS = ("acme", "other")
OWNERS = ("tab-1", "tab 2/{x}")
STEPS = (Step.ANSWER, Step.CANCEL, Step.REJECT)
_worlds = itertools.count()
ids = Ids()
now = WallClock().now

tenants = st.sampled_from(TENANTS)
which = st.integers(0, 20)


class Agreement(RuleBasedStateMachine):
    """Any order of steps on a few questions.

    What a store calls a question may differ: here they are numbered as they were asked.
    """

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        # Nobody empties the servers in between: every life has tenants of its own.
        self.world = next(_worlds)
        self.questions: list[dict[str, Question]] = []
        self.states: list[State] = []
        self.numbers: dict[str, int] = {}

    def both(self, step: Callable[[str, Store], Any]) -> Any:
        """Do a step in every store; return what they agree on."""
        names = {id(store): name for name, store in self.stage.stores.items()}

        async def do(store: Store) -> Any:
            return await step(names[id(store)], store)

        outcomes = self.stage.each(do)
        assert all(each == outcomes["memory"] for each in outcomes.values()), outcomes
        return outcomes["memory"]

    def tenant(self, tenant: str) -> str:
        return f"{tenant}-{self.world}"

    @rule(
        tenant=tenants,
        asker=st.sampled_from(("ann", "bob")),
        key=st.sampled_from(("", "", "k", "l")),
        seconds=st.sampled_from((1000.0, 1000.0, -1.0)),
        hold=st.booleans(),
        one=st.booleans(),
    )
    def ask(
        self, tenant: str, asker: str, key: str, seconds: float, *, hold: bool, one: bool
    ) -> None:
        asked = Question(
            id=ids.new(),
            tenant=self.tenant(tenant),
            asker=asker,
            text="Which <colour>?",
            created_at=now(),
            deadline=now() + seconds,
            delivery=Delivery.ONE if one else Delivery.ALL,
            schema={"type": "object"} if one else None,
            idempotency_key=key,
        )
        number = len(self.questions)
        admitted: dict[str, Question] = {}

        async def admit(name: str, store: Store) -> Any:
            admission = await store.admit(asked, hold=hold)
            question = admission.question
            if admission.fresh:
                admitted[name] = question
                self.numbers[question.id] = number
                assert msgspec.structs.replace(question, id=asked.id) == asked
            outcome = admission.outcome
            return self.numbers[question.id], admission.fresh, outcome and outcome.state

        found, fresh, state = self.both(admit)
        if fresh:
            self.questions.append(admitted)
            self.states.append(State.OPEN)
        assert (state or State.OPEN) is self.states[found]

    @rule(which=which, hold=st.booleans())
    def ask_it_again(self, which: int, *, hold: bool) -> None:
        """As who thinks that it was lost."""
        if not self.questions:
            return
        number = which % len(self.questions)

        async def admit(name: str, store: Store) -> Any:
            asked = self.questions[number][name]
            admission = await store.admit(asked, hold=hold)
            assert admission.question == asked
            outcome = admission.outcome
            return admission.fresh, outcome and outcome.state

        fresh, state = self.both(admit)
        assert fresh
        assert (state or State.OPEN) is self.states[number]

    @rule(tenant=tenants, seconds=st.sampled_from((1000.0, -1.0)))
    def end_what_nobody_asked(self, tenant: str, seconds: float) -> None:
        never = Question(
            id=ids.new(),
            tenant=self.tenant(tenant),
            asker="ann",
            text="?",
            created_at=now(),
            deadline=now() + seconds,
        )
        outcome = Outcome(State.ANSWERED, at=now(), answer="blue", by="tab")

        async def settle(_name: str, store: Store) -> Any:
            return await store.settle(never, outcome), await store.find(never.tenant, never.id)

        assert self.both(settle) == (None, None)

    @rule(which=which, step=st.sampled_from(STEPS), foreign=st.booleans())
    def end(self, which: int, step: Step, *, foreign: bool) -> None:
        if not self.questions:
            return
        number = which % len(self.questions)
        outcome = Outcome(advance(State.OPEN, step), at=now(), answer="<blue>", by=f"tab-{which}")

        async def settle(name: str, store: Store) -> Any:
            asked = self.questions[number][name]
            if foreign:
                asked = msgspec.structs.replace(asked, tenant="nobody")
            settled = await store.settle(asked, outcome)
            if settled is None:
                return None
            assert settled.question == asked
            # Of a deadline, one store says when it was and another when it was seen.
            winner = settled.outcome
            return settled.won, winner.state, winner.answer, winner.by

        settled = self.both(settle)
        if foreign:
            assert settled is None
            return
        won, winner, *_ = settled
        assert won == (self.states[number] is State.OPEN)
        if won:
            self.states[number] = outcome.state
        assert winner is self.states[number]

    @rule(which=which, tenant=tenants)
    def find(self, which: int, tenant: str) -> None:
        if not self.questions:
            return
        number = which % len(self.questions)

        async def find(name: str, store: Store) -> Any:
            asked = self.questions[number][name]
            found = await store.find(self.tenant(tenant), asked.id)
            assert found is None or found.question == asked
            return found and ((found.outcome and found.outcome.state) or State.OPEN)

        mine = self.questions[number]["memory"].tenant == self.tenant(tenant)
        assert self.both(find) == (self.states[number] if mine else None)

    @rule(which=which, let_go=st.booleans(), tenant=tenants)
    def hold(self, which: int, tenant: str, *, let_go: bool) -> None:
        if not self.questions:
            return
        number = which % len(self.questions)

        async def hold(name: str, store: Store) -> Any:
            asked = self.questions[number][name]
            held = await store.hold(self.tenant(tenant), asked.id)
            assert held in (None, asked)
            if let_go:
                await store.release(asked)
            return held is not None

        mine = self.questions[number]["memory"].tenant == self.tenant(tenant)
        assert self.both(hold) == (mine and self.states[number] is State.OPEN)

    @rule(which=which, owner=st.sampled_from(OWNERS), text=st.sampled_from(("", "b", "bl\u00fc")))
    def type(self, which: int, owner: str, text: str) -> None:
        if not self.questions:
            return
        number = which % len(self.questions)

        async def save(name: str, store: Store) -> None:
            asked = self.questions[number][name]
            await store.save_draft(asked.tenant, owner, Draft(asked.id, text, 1.0))

        self.both(save)

    @rule()
    def wait(self) -> None:
        """What is due ends; time passes in none of the stores' favour."""
        ended: dict[str, list[int]] = {}

        async def sweep(name: str, store: Store) -> Any:
            # Lives before this one may have left something due.
            settled = [s for s in await store.sweep(now(), 1000) if s.question.id in self.numbers]
            assert all(each.won for each in settled)
            ended[name] = sorted(self.numbers[each.question.id] for each in settled)
            return ended[name]

        for number in self.both(sweep):
            self.states[number] = advance(self.states[number], Step.EXPIRE)
        overdue = [
            number
            for number, state in enumerate(self.states)
            if state is State.OPEN and self.questions[number]["memory"].deadline < now()
        ]
        assert overdue == []

    @invariant()
    def the_inbox_holds_what_is_open(self) -> None:
        for tenant in TENANTS:

            async def inbox(name: str, store: Store, tenant: str = tenant) -> Any:
                listed = await store.inbox(self.tenant(tenant))
                return [(self.numbers[each.id], each.delivery, each.audience) for each in listed]

            assert [number for number, *_ in self.both(inbox)] == [
                number
                for number, asked in enumerate(self.questions)
                if self.states[number] is State.OPEN
                and asked["memory"].tenant == self.tenant(tenant)
            ]

    @invariant()
    def drafts_are_for_open_questions(self) -> None:
        for tenant, owner in itertools.product(TENANTS, OWNERS):

            async def drafts(
                name: str, store: Store, tenant: str = tenant, owner: str = owner
            ) -> Any:
                kept = await store.drafts(self.tenant(tenant), owner)
                return {(self.numbers[each.question_id], each.text) for each in kept}

            for number, _ in self.both(drafts):
                assert self.states[number] is State.OPEN


def test_all_stores_agree_with_each_other_and_with_the_table_of_lives(
    redis_url: str, redis_node: RedisNode, redis_cluster: RedisCluster
) -> None:
    urls = {
        "redis": permitted(redis_url, [redis_node]),
        "cluster": permitted(redis_cluster.url, redis_cluster.nodes),
    }
    with stage(urls) as open_stage:

        class OnStage(Agreement):
            stage = open_stage

        run_state_machine_as_test(
            OnStage, settings=settings(max_examples=40, stateful_step_count=25)
        )
