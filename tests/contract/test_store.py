"""What `session.store.Store` promises, run against every store there is."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from session import Admission, Found, MemorySettings, MemoryStore, Settlement, Store
from session.errors import TooManyPendingError, TooManySessionsError
from session.lifecycle import Step, advance
from session.model import Draft, McpSession, Outcome, Presence, Question, State
from tests.contract.conftest import OpenStore, Time

_numbers = itertools.count()


def question(time: Time, *, tenant: str = "acme", seconds: float = 60, **more: str) -> Question:
    """Make a question that nobody asked before."""
    return Question(
        id=f"{next(_numbers):032x}",
        tenant=tenant,
        asker=more.pop("asker", "agent"),
        text="Which colour?",
        created_at=time(),
        deadline=time() + seconds,
        **more,  # type: ignore[arg-type]
    )


def answered(time: Time, answer: str = "blue", by: str = "tab-1") -> Outcome:
    return Outcome(State.ANSWERED, at=time(), answer=answer, by=by)


async def test_an_admitted_question_is_open_and_in_the_inbox(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store()
    asked = question(time)
    assert await store.admit(asked) == Admission(asked, True, None)
    assert await store.find("acme", asked.id) == Found(asked, None)
    assert list(await store.inbox("acme")) == [asked]


async def test_the_inbox_is_oldest_first(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    asked = [question(time) for _ in range(5)]
    for each in asked:
        await store.admit(each)
    assert list(await store.inbox("acme")) == asked


async def test_the_first_outcome_wins_and_later_ones_learn_of_it(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store()
    asked = question(time)
    await store.admit(asked)
    first, second = answered(time, "blue", "tab-1"), answered(time, "red", "tab-2")
    assert await store.settle("acme", asked.id, first) == Settlement(asked, True, first)
    assert await store.settle("acme", asked.id, second) == Settlement(asked, False, first)
    assert await store.find("acme", asked.id) == Found(asked, first)
    assert list(await store.inbox("acme")) == []


async def test_another_tenant_sees_and_settles_nothing(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    asked = question(time)
    await store.admit(asked)
    assert await store.find("other", asked.id) is None
    assert await store.settle("other", asked.id, answered(time)) is None
    assert list(await store.inbox("other")) == []
    await store.settle("acme", asked.id, answered(time))
    assert await store.find("other", asked.id) is None
    assert await store.settle("other", asked.id, answered(time)) is None


async def test_an_unknown_question_is_none(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    assert await store.find("acme", "nothing") is None
    assert await store.settle("acme", "nothing", answered(time)) is None


async def test_a_repeated_key_finds_the_first_question(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    first = question(time, idempotency_key="k")
    await store.admit(first)
    assert await store.admit(question(time, idempotency_key="k")) == Admission(first, False, None)
    outcome = answered(time)
    await store.settle("acme", first.id, outcome)
    assert await store.admit(question(time, idempotency_key="k")) == Admission(
        first, False, outcome
    )
    assert len(await store.inbox("acme")) == 0


@pytest.mark.parametrize(
    "other", [{"tenant": "other"}, {"asker": "somebody"}, {"idempotency_key": "l"}]
)
async def test_a_key_is_its_askers_alone(
    open_store: OpenStore, time: Time, other: dict[str, str]
) -> None:
    store = open_store()
    await store.admit(question(time, idempotency_key="k"))
    repeated = question(time, **{"idempotency_key": "k", **other})  # type: ignore[arg-type]
    assert (await store.admit(repeated)).fresh


async def test_overdue_questions_time_out_once(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    soon, later = question(time, seconds=10), question(time, seconds=100)
    await store.admit(soon)
    await store.admit(later)
    assert list(await store.expire_due(time(), 10)) == []
    time.now += 11
    (settled,) = await store.expire_due(time(), 10)
    assert (settled.question, settled.won, settled.outcome.state) == (soon, True, State.TIMED_OUT)
    assert list(await store.expire_due(time(), 10)) == []
    late = await store.settle("acme", soon.id, answered(time))
    assert late is not None
    assert (late.won, late.outcome.state) == (False, State.TIMED_OUT)


async def test_expiry_is_limited_and_goes_on(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    for _ in range(7):
        await store.admit(question(time, seconds=1))
    time.now += 5
    assert [len(await store.expire_due(time(), 3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_an_answered_question_never_times_out(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    asked = question(time, seconds=1)
    await store.admit(asked)
    await store.settle("acme", asked.id, answered(time))
    time.now += 5
    assert list(await store.expire_due(time(), 10)) == []


async def test_an_outcome_is_kept_for_its_time(open_store: OpenStore, time: Time) -> None:
    store = open_store(answer_seconds=100)
    asked = question(time, idempotency_key="k")
    await store.admit(asked)
    await store.settle("acme", asked.id, answered(time))
    time.now += 99
    await store.expire_due(time(), 10)
    assert await store.find("acme", asked.id) is not None
    time.now += 2
    await store.expire_due(time(), 10)
    assert await store.find("acme", asked.id) is None
    assert (await store.admit(question(time, idempotency_key="k"))).fresh


@pytest.mark.parametrize(
    ("limits", "scope"),
    [({"pending": 3}, "gateway"), ({"pending_per_session": 3}, "session")],
)
async def test_pending_caps_refuse_and_free_again(
    open_store: OpenStore, time: Time, limits: dict[str, float], scope: str
) -> None:
    store = open_store(**limits)
    asked = [question(time, session_id="s") for _ in range(3)]
    for each in asked:
        await store.admit(each)
    with pytest.raises(TooManyPendingError, match=scope):
        await store.admit(question(time, session_id="s"))
    await store.settle("acme", asked[0].id, answered(time))
    assert (await store.admit(question(time, session_id="s"))).fresh


async def test_drafts_belong_to_one_frontend_and_end_with_the_question(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store()
    asked = question(time)
    await store.admit(asked)
    draft = Draft(asked.id, "blu", time())
    await store.save_draft("acme", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", draft)
    assert list(await store.drafts("acme", "tab-1")) == [draft]
    assert list(await store.drafts("acme", "tab-2")) == []
    assert list(await store.drafts("other", "tab-1")) == []
    await store.settle("acme", asked.id, answered(time))
    assert list(await store.drafts("acme", "tab-1")) == []


async def test_an_empty_draft_forgets_it_and_a_strange_one_is_not_kept(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store()
    asked = question(time)
    await store.admit(asked)
    await store.save_draft("acme", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", Draft(asked.id, "", time()))
    await store.save_draft("other", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", Draft("unknown", "b", time()))
    assert list(await store.drafts("acme", "tab-1")) == []


def session(time: Time, session_id: str) -> McpSession:
    return McpSession(session_id, "acme", "agent", "2025-11-25", time())


async def test_a_session_lives_until_it_is_ended(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    kept = session(time, "s")
    await store.save_session(kept)
    assert await store.find_session("s") == kept
    assert await store.end_session("s")
    assert await store.find_session("s") is None
    assert not await store.end_session("s")


async def test_an_idle_session_ends_unless_it_waits_for_people(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store(session_idle_seconds=100)
    for name in ("idle", "used", "waiting"):
        await store.save_session(session(time, name))
    await store.admit(question(time, seconds=1000, session_id="waiting"))
    time.now += 60
    await store.find_session("used")
    time.now += 60
    await store.expire_due(time(), 10)
    assert await store.find_session("idle") is None
    assert await store.find_session("used") is not None
    assert await store.find_session("waiting") is not None


async def test_sessions_are_capped_and_a_known_one_can_still_be_saved(
    open_store: OpenStore, time: Time
) -> None:
    store = open_store(sessions=2)
    await store.save_session(session(time, "a"))
    await store.save_session(session(time, "b"))
    with pytest.raises(TooManySessionsError):
        await store.save_session(session(time, "c"))
    await store.save_session(session(time, "a"))


async def test_presence_is_per_connection_and_tenant(open_store: OpenStore, time: Time) -> None:
    store = open_store()
    tabs = [Presence("tab", f"c{n}", "acme", "ann", "", (), time(), "i") for n in range(2)]
    for tab in tabs:
        await store.arrive(tab)
    assert list(await store.present("acme")) == tabs
    assert list(await store.present("other")) == []
    await store.leave(tabs[0])
    await store.leave(tabs[0])
    assert list(await store.present("acme")) == [tabs[1]]
    await store.leave(tabs[1])
    assert list(await store.present("acme")) == []


async def test_a_store_that_works_answers_a_ping(open_store: OpenStore) -> None:
    await open_store().ping()


def now_of(coroutine: object) -> object:
    """Run a step that does not wait."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a step of the memory store waited")


class Lives(RuleBasedStateMachine):
    """Any order of steps on a few questions: the store and the table agree."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.store: Store = MemoryStore(MemorySettings(), self.time)
        self.asked: list[Question] = []
        self.states: dict[str, State] = {}

    @rule(seconds=st.floats(1, 50))
    def ask(self, seconds: float) -> None:
        asked = question(self.time, seconds=seconds)
        now_of(self.store.admit(asked))
        self.asked.append(asked)
        self.states[asked.id] = State.OPEN

    @rule(which=st.integers(0, 20), step=st.sampled_from([Step.ANSWER, Step.CANCEL, Step.REJECT]))
    def end(self, which: int, step: Step) -> None:
        if not self.asked:
            return
        asked = self.asked[which % len(self.asked)]
        state = advance(State.OPEN, step)
        settled = now_of(self.store.settle("acme", asked.id, Outcome(state, at=self.time())))
        won = self.states[asked.id] is State.OPEN
        if won:
            self.states[asked.id] = state
        assert (settled.won, settled.outcome.state) == (won, self.states[asked.id])  # type: ignore[attr-defined]

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds
        for settled in now_of(self.store.expire_due(self.time(), 1000)):  # type: ignore[attr-defined]
            assert self.states[settled.question.id] is State.OPEN
            assert settled.question.deadline <= self.time()
            self.states[settled.question.id] = State.TIMED_OUT

    @invariant()
    def the_inbox_holds_what_is_open(self) -> None:
        waiting = [q.id for q in now_of(self.store.inbox("acme"))]  # type: ignore[attr-defined]
        assert waiting == [q.id for q in self.asked if self.states[q.id] is State.OPEN]

    @invariant()
    def nobody_waits_a_second_past_the_deadline(self) -> None:
        for asked in self.asked:
            if self.states[asked.id] is State.OPEN:
                assert asked.deadline > self.time() - 31


def test_the_store_agrees_with_the_table_of_lives() -> None:
    run_state_machine_as_test(Lives, settings=settings(max_examples=60, stateful_step_count=30))
