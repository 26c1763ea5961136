"""What `session.store.Store` promises, run against every store there is."""

import itertools
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from session import (
    Admission,
    Found,
    Heard,
    Listening,
    MemorySettings,
    MemoryStore,
    Settlement,
    Store,
)
from session.asides import NOTES, Tally
from session.errors import TooManyPendingError
from session.lifecycle import Step, advance
from session.model import (
    Ballot,
    Draft,
    McpSession,
    Noted,
    Outcome,
    Presence,
    Question,
    State,
)
from session.redis.store import RedisStore
from tests.contract.conftest import OpenStore, Time

_numbers = itertools.count()


def question(
    time: Time,
    *,
    tenant: str = "acme",
    seconds: float = 60,
    place: int | None = None,
    quorum: int = 0,
    **more: str,
) -> Question:
    """Make a question that nobody asked before; one after the other in another place."""
    number = next(_numbers)
    return Question(
        id=f"{number % 16 if place is None else place:x}{number:031x}",
        tenant=tenant,
        asker=more.pop("asker", "agent"),
        text="Which colour?",
        created_at=time(),
        deadline=time() + seconds,
        quorum=quorum,
        **more,  # type: ignore[arg-type]
    )


def answered(time: Time, answer: str = "blue", by: str = "tab-1") -> Outcome:
    return Outcome(State.ANSWERED, at=time(), answer=answer, by=by)


async def listed(store: Store, tenant: str = "acme") -> list[str]:
    return [each.id for each in await store.inbox(tenant)]


async def name_of(store: Store, time: Time) -> str:
    """Return what an instance is called, once the others know that it lives."""
    await store.sweep(time(), 1)
    return store._questions._instance if isinstance(store, RedisStore) else "alone"


async def test_an_admitted_question_is_open_and_in_the_inbox(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    asked = question(time)
    assert await store.admit(asked) == Admission(asked, True, None)
    assert await store.find("acme", asked.id) == Found(asked, None)
    assert await listed(store) == [asked.id]
    (one,) = await store.inbox("acme")
    assert (one.tenant, one.audience, one.delivery) == ("acme", asked.audience, asked.delivery)


async def test_the_inbox_is_oldest_first(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked = [question(time) for _ in range(20)]
    for each in asked:
        await store.admit(each)
    assert await listed(store) == [each.id for each in asked]


async def test_the_first_outcome_wins_and_later_ones_learn_of_it(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    asked = question(time)
    await store.admit(asked)
    first, second = answered(time, "blue", "tab-1"), answered(time, "red", "tab-2")
    assert await store.settle(asked, first) == Settlement(asked, True, first)
    assert await store.settle(asked, second) == Settlement(asked, False, first)
    assert await store.find("acme", asked.id) == Found(asked, first)
    assert list(await store.inbox("acme")) == []


async def test_what_is_long_is_kept_as_it_is(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    for size in (1_000, 1_100, 40_000, 1 << 20):
        text = ("Which of them is it, and \u00e9 or \u2028? " * (size // 30))[:size]
        asked = question(time, context=text)
        assert await store.admit(asked) == Admission(asked, True, None)
        assert (await store.admit(asked)).question == asked
        assert await store.find("acme", asked.id) == Found(asked, None)
        outcome = answered(time, text)
        assert await store.settle(asked, outcome) == Settlement(asked, True, outcome)
        assert await store.settle(asked, answered(time)) == Settlement(asked, False, outcome)
        assert await store.find("acme", asked.id) == Found(asked, outcome)


def ballot(time: Time, user: str, answer: str = "blue") -> Ballot:
    return Ballot(time(), f"tab of {user}", user, answer)


async def test_several_people_answer_each_once(open_store: OpenStore, time: Time) -> None:
    one, other = await open_store(), await open_store()
    if one is not other and not one.shared:
        other = one
    asked = question(time, quorum=2)
    await one.admit(asked)
    ann, bob = ballot(time, "ann"), ballot(time, "b o\nb", "red \u2028 and 'blue'\n")
    assert await one.vote(asked, "u:ann", ann) == Tally((ann,), fresh=True)
    tally = await other.vote(asked, "u:ann", ballot(time, "ann", "red"))
    assert tally == Tally((ann,), fresh=False)
    found = await other.find("acme", asked.id)
    assert found == Found(asked, None, (ann,))
    assert await other.vote(asked, "u:b o\nb", bob) == Tally((ann, bob), fresh=True)
    # There are as many as there may be.
    assert await one.vote(asked, "u:eve", ballot(time, "eve")) == Tally((ann, bob), fresh=False)
    outcome = answered(time, "two answers")
    settled = await one.settle(asked, outcome)
    whole = replace(outcome, answers=(ann, bob))
    assert settled == Settlement(asked, True, whole)
    assert await other.settle(asked, answered(time)) == Settlement(asked, False, whole)
    assert await other.find("acme", asked.id) == Found(asked, whole)
    late = await other.vote(asked, "u:eve", ballot(time, "eve"))
    assert late is not None
    assert not late.fresh
    assert late.outcome is not None
    assert late.outcome.state is State.ANSWERED


async def test_of_what_there_is_not_nobody_has_a_vote(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked = question(time, quorum=2)
    assert await store.vote(asked, "u:ann", ballot(time, "ann")) is None
    await store.admit(asked)
    foreign = replace(asked, tenant="other")
    assert await store.vote(foreign, "u:ann", ballot(time, "ann")) is None


async def test_answers_are_in_what_times_out(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    some, all_of_them = (question(time, seconds=1.5, quorum=2) for _ in range(2))
    for asked, users in ((some, ["ann"]), (all_of_them, ["ann", "bob"])):
        await store.admit(asked)
        for user in users:
            await store.vote(asked, f"u:{user}", ballot(time, user))
        await store.note([(asked, [Noted("seen", 5.0, "tab", "ann")])])
    await time.later(3)
    settled = {each.question.id: each.outcome for each in await store.sweep(time(), 10)}
    assert settled[some.id].state is State.TIMED_OUT
    assert [each.by_user for each in settled[some.id].answers] == ["ann"]
    assert [each.kind for each in settled[some.id].history] == ["seen"]
    # Whoever was to say that all had answered is gone.
    assert settled[all_of_them.id].state is State.ANSWERED
    found = await store.find("acme", some.id)
    assert found is not None
    assert found.outcome == settled[some.id]


async def test_notes_are_kept_with_open_questions(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked, ended, gone = question(time), question(time), question(time)
    await store.admit(asked)
    await store.admit(ended)
    await store.settle(ended, answered(time))
    offered = Noted("offered", 1.5, "tab-1", "ann")
    seen = Noted("seen", 2.25, "tab 2", "")
    await store.note([(each, [offered]) for each in (asked, ended, gone)])
    await store.note([(asked, [seen])])
    assert await store.find("acme", asked.id) == Found(asked, None, (), (offered, seen))
    assert await store.find("acme", gone.id) is None
    found = await store.find("acme", ended.id)
    assert found is not None
    assert found.outcome is not None
    assert found.outcome.history == ()
    mine = Noted("seen", 3.0, "tab-3", "bob")
    settled = await store.settle(asked, replace(answered(time), history=(mine,)))
    assert settled is not None
    assert settled.outcome.history == (mine, offered, seen)
    assert await store.find("acme", asked.id) == Found(asked, settled.outcome)


async def test_notes_are_bounded(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked = question(time)
    await store.admit(asked)
    for batch in range(200):
        notes = [Noted("seen", batch + part / 16, "t" * 128, "u" * 128) for part in range(16)]
        await store.note([(asked, notes)])
    found = await store.find("acme", asked.id)
    assert found is not None
    assert 16 <= len(found.history) <= NOTES


async def test_another_tenant_sees_and_settles_nothing(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked = question(time)
    await store.admit(asked)
    assert await store.find("other", asked.id) is None
    assert await store.settle(replace(asked, tenant="other"), answered(time)) is None
    assert list(await store.inbox("other")) == []
    await store.settle(asked, answered(time))
    assert await store.find("other", asked.id) is None
    assert await store.settle(replace(asked, tenant="other"), answered(time)) is None


async def test_an_unknown_question_is_none(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    for strange in ("nothing", "", "0" * 65, "{0}", f"{7:032x}"):
        assert await store.find("acme", strange) is None
        assert await store.hold("acme", strange) is None
        unknown = replace(question(time), id=strange)
        assert await store.settle(unknown, answered(time)) is None
    for seconds in (-1, 60):
        # Its deadline does not matter: nobody has asked it.
        never = question(time, seconds=seconds)
        assert await store.settle(never, answered(time)) is None
        assert await store.find("acme", never.id) is None
    assert await listed(store) == []


@pytest.mark.parametrize("key", ["", "k"])
async def test_a_question_that_is_there_is_admitted_again_as_it_is(
    open_store: OpenStore, time: Time, key: str
) -> None:
    """Who does not know whether it was lost can always put it back."""
    store = await open_store(pending=16, pending_per_session=16)
    asked = (await store.admit(question(time, idempotency_key=key, session_id="s"))).question
    assert await store.admit(asked) == Admission(asked, True, None)
    assert await listed(store) == [asked.id]
    outcome = answered(time)
    await store.settle(asked, outcome)
    assert await store.admit(asked) == Admission(asked, True, outcome)
    assert await listed(store) == []
    # It was counted once.
    place = int(asked.id[0], 16)
    assert (await store.admit(question(time, place=place, session_id="s"))).fresh


async def test_a_repeated_key_finds_the_first_question(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    admitted = await store.admit(question(time, idempotency_key="k"))
    # A store may have it under an id of its own.
    first = admitted.question
    assert admitted == Admission(first, True, None)
    assert await store.admit(question(time, idempotency_key="k")) == Admission(first, False, None)
    outcome = answered(time)
    await store.settle(first, outcome)
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
    store = await open_store()
    await store.admit(question(time, idempotency_key="k"))
    repeated = question(time, **{"idempotency_key": "k", **other})  # type: ignore[arg-type]
    assert (await store.admit(repeated)).fresh


async def test_a_question_is_held_until_it_is_let_go_or_settled(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    asked = question(time)
    assert (await store.admit(asked)).fresh
    assert await store.hold("other", asked.id) is None
    assert await store.hold("acme", asked.id) == asked
    # Who holds it may say so again.
    assert await store.hold("acme", asked.id) == asked
    await store.release(asked)
    await store.release(asked)
    assert await store.hold("acme", asked.id) == asked
    await store.settle(asked, answered(time))
    assert await store.hold("acme", asked.id) is None
    await store.release(asked)
    found = await store.find("acme", asked.id)
    assert found is not None
    assert found.outcome is not None


async def test_one_instance_holds_a_question_at_a_time(
    open_store: OpenStore, store_url: str, time: Time
) -> None:
    one = await open_store()
    if not one.shared:
        return
    other = await open_store()
    for store in (one, other):
        await store.sweep(time(), 10)
    held = (await one.admit(question(time), hold=True)).question
    assert await other.hold("acme", held.id) is None
    assert await one.hold("acme", held.id) == held
    # It is not the other's to let go of.
    await other.release(held)
    assert await other.hold("acme", held.id) is None
    await one.release(held)
    assert await other.hold("acme", held.id) == held
    assert await one.hold("acme", held.id) is None
    await one.settle(held, answered(time))
    assert await other.hold("acme", held.id) is None


async def test_overdue_questions_time_out_once(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    soon, later = question(time, seconds=2), question(time, seconds=100)
    await store.admit(soon)
    await store.admit(later)
    assert list(await store.sweep(time(), 10)) == []
    await time.later(3)
    (settled,) = await store.sweep(time(), 10)
    assert (settled.question, settled.won, settled.outcome.state) == (soon, True, State.TIMED_OUT)
    assert list(await store.sweep(time(), 10)) == []
    late = await store.settle(soon, answered(time))
    assert late is not None
    assert (late.won, late.outcome.state) == (False, State.TIMED_OUT)


async def test_expiry_is_limited_and_goes_on(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    for _ in range(7):
        await store.admit(question(time, seconds=0.1))
    await time.later(1)
    assert [len(await store.sweep(time(), 3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_an_answered_question_never_times_out(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    asked = question(time, seconds=0.1)
    await store.admit(asked)
    await store.settle(asked, answered(time))
    await time.later(1)
    assert list(await store.sweep(time(), 10)) == []


async def test_an_outcome_is_kept_for_its_time(open_store: OpenStore, time: Time) -> None:
    store = await open_store(answer_seconds=4)
    asked = question(time, seconds=1, idempotency_key="k")
    asked = (await store.admit(asked)).question
    await store.settle(asked, answered(time))
    await time.later(1)
    await store.sweep(time(), 10)
    assert await store.find("acme", asked.id) is not None
    await time.later(3.5)
    await store.sweep(time(), 10)
    assert await store.find("acme", asked.id) is None
    again = await store.admit(question(time, idempotency_key="k"))
    assert again.fresh
    assert again.question.id != asked.id
    repeated = await store.admit(question(time, idempotency_key="k"))
    assert (repeated.fresh, repeated.question) == (False, again.question)


@pytest.mark.parametrize(
    ("limits", "scope"),
    [({"pending": 48}, "gateway"), ({"pending_per_session": 48}, "session")],
)
async def test_pending_caps_refuse_and_free_again(
    open_store: OpenStore, time: Time, limits: dict[str, float], scope: str
) -> None:
    """A store may spread them: then a sixteenth of them may begin with each digit."""
    store = await open_store(**limits)
    asked = [question(time, session_id="s") for _ in range(48)]
    for each in asked:
        await store.admit(each)
    with pytest.raises(TooManyPendingError, match=f"48 questions .* {scope}"):
        await store.admit(question(time, session_id="s", place=int(asked[0].id[0], 16)))
    await store.settle(asked[0], answered(time))
    place = int(asked[0].id[0], 16)
    assert (await store.admit(question(time, session_id="s", place=place))).fresh


async def test_drafts_belong_to_one_frontend_and_end_with_the_question(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    asked = question(time)
    await store.admit(asked)
    draft = Draft(asked.id, "blu", time())
    await store.save_draft("acme", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", draft)
    assert list(await store.drafts("acme", "tab-1")) == [draft]
    assert list(await store.drafts("acme", "tab-2")) == []
    assert list(await store.drafts("other", "tab-1")) == []
    await store.settle(asked, answered(time))
    assert list(await store.drafts("acme", "tab-1")) == []


async def test_an_empty_draft_forgets_it_and_a_strange_one_is_not_kept(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    asked = question(time)
    await store.admit(asked)
    await store.save_draft("acme", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", Draft(asked.id, "", time()))
    await store.save_draft("other", "tab-1", Draft(asked.id, "b", time()))
    await store.save_draft("acme", "tab-1", Draft("unknown", "b", time()))
    assert list(await store.drafts("acme", "tab-1")) == []


def session(name: str, log_level: str = "") -> McpSession:
    """Make a session; its id is the same for the same name."""
    return McpSession(
        id=str(UUID(bytes=name.encode().ljust(16, b"."), version=4)),
        tenant="acme",
        subject="agent",
        revision="2025-11-25",
        created_at=1_700_000_000.0,
        client_name="a <client>",
        capabilities={"sampling": {}},
        log_level=log_level,
    )


async def test_a_session_lives_until_it_is_ended(open_store: OpenStore) -> None:
    store = await open_store()
    kept = session("s")
    await store.save_session(kept)
    assert await store.find_session(kept.id) == kept
    changed = session("s", "debug")
    await store.save_session(changed)
    assert await store.find_session(kept.id) == changed
    assert await store.end_session(kept.id)
    assert await store.find_session(kept.id) is None
    assert not await store.end_session(kept.id)


@pytest.mark.parametrize("strange", ["", "s", "{s}", "x" * 10_000, "\u00e9", "a b", "../*", "0\n"])
async def test_a_strange_id_names_no_session(open_store: OpenStore, strange: str) -> None:
    store = await open_store()
    assert await store.find_session(strange) is None


async def test_streams_are_found_and_the_oldest_are_forgotten(open_store: OpenStore) -> None:
    store = await open_store()
    one, other = session("one"), session("other")
    await store.save_session(one)
    await store.save_session(other)
    assert await store.find_stream(one.id, "a") is None
    for at, name in enumerate("abcd"):
        await store.save_stream(one.id, name, (f"question-{at}", at or "zero"), 3)
    assert [await store.find_stream(one.id, name) for name in "abcd"] == [
        None,
        ("question-1", 1),
        ("question-2", 2),
        ("question-3", 3),
    ]
    assert await store.find_stream(other.id, "d") is None
    await store.save_stream(one.id, "d", ("question-4", "four"), 3)
    assert await store.find_stream(one.id, "d") == ("question-4", "four")
    await store.end_session(one.id)
    assert await store.find_stream(one.id, "d") is None


async def heard(  # noqa: PLR0917 - all that is said of who listens
    store: Store,
    of: McpSession,
    listener: str,
    order: int = 0,
    seconds: float = 60,
    age: float = 0.0,
) -> Heard:
    """Listen for a session that is there."""
    found = await store.listen(of.id, Listening(listener, order, seconds, age))
    assert found is not None
    return found


def what(found: Heard) -> tuple[bool, bool, bool]:
    """Return whether it tells, whether there are others, and whether they are to hear of it."""
    return found.tells, found.is_shared, found.is_news


async def uris_of(store: Store, of: McpSession) -> list[str] | None:
    found = await store.listen(of.id, Listening("a", 0, 60))
    return None if found is None else list(found.uris)


async def test_a_session_is_subscribed_to_so_many_resources(open_store: OpenStore) -> None:
    store = await open_store()
    one, other = session("one"), session("other")
    for each in (one, other):
        await store.save_session(each)
    assert await uris_of(store, one) == []
    saved = [await store.save_subscription(one.id, uri, 2) for uri in ("a://é", "b", "c", "b")]
    assert saved == [True, True, False, True]
    assert sorted(await uris_of(store, one) or ()) == ["a://é", "b"]
    assert await uris_of(store, other) == []
    for uri in ("b", "b", "never"):
        await store.end_subscription(one.id, uri)
    await store.end_subscription(other.id, "b")
    assert await uris_of(store, one) == ["a://é"]
    assert await store.save_subscription(one.id, "c", 2)


async def test_subscriptions_end_with_their_session(open_store: OpenStore) -> None:
    store = await open_store()
    kept = session("subscriber")
    await store.save_session(kept)
    await store.save_subscription(kept.id, "a", 2)
    await store.end_session(kept.id)
    assert await uris_of(store, kept) is None
    # One that was under way is refused nothing, and leaves nothing.
    assert await store.save_subscription(kept.id, "b", 2)
    assert await uris_of(store, kept) is None
    await store.save_session(kept)
    assert await uris_of(store, kept) == []


async def test_subscriptions_end_with_a_session_that_is_idle(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store(session_idle_seconds=1)
    kept = session("idler")
    await store.save_session(kept)
    await store.save_subscription(kept.id, "a", 2)
    await time.later(2)
    await store.sweep(time(), 10)
    assert await uris_of(store, kept) is None
    await store.save_session(kept)
    assert await uris_of(store, kept) == []


async def test_of_all_that_listen_the_latest_tells(open_store: OpenStore) -> None:
    store = await open_store()
    one, other = session("told"), session("beside")
    for each in (one, other):
        await store.save_session(each)
    first = await heard(store, one, "first")
    assert what(first) == (True, False, False)
    second = await heard(store, one, "second")
    assert what(second) == (True, True, True)
    assert what(await heard(store, one, "first", first.order)) == (False, True, False)
    assert what(await heard(store, one, "second", second.order)) == (True, True, False)
    assert what(await heard(store, other, "first")) == (True, False, False)
    # One that opens another stream is the latest, until this has ended.
    again = await heard(store, one, "first")
    assert (what(again), again.order > second.order) == ((True, True, True), True)
    assert what(await heard(store, one, "second", second.order)) == (False, True, False)
    back = await heard(store, one, "first", first.order)
    assert (what(back), back.order) == ((False, True, True), first.order)
    assert what(await heard(store, one, "second", second.order)) == (True, True, False)


async def test_a_stream_that_is_heard_of_late_comes_where_it_opened(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    one = session("unheard")
    await store.save_session(one)
    newer = await heard(store, one, "newer")
    older = await heard(store, one, "older", age=20)
    assert what(older) == (False, True, True)
    # Who says so again comes where it came, and has no age any more.
    assert (await heard(store, one, "older", older.order, age=30)).order == older.order
    oldest = await heard(store, one, "oldest", age=40)
    assert what(oldest) == (False, True, True)
    assert oldest.order < older.order < newer.order
    assert newer.order - older.order <= 20_000_000
    await time.later(1.0)
    between = await heard(store, one, "between", age=0.5)
    assert what(between) == (True, True, True)
    # Of two that open in one moment the last is the newest, whatever the clock is.
    ahead = await heard(store, one, "ahead", between.order + 3_600_000_000)
    assert what(ahead) == (True, True, True)
    for age in (0.0, 0.05):
        newest = await heard(store, one, "newest", age=age)
        assert (newest.tells, newest.order) == (True, ahead.order + 1)
    assert not (await heard(store, one, "late", age=0.5)).tells


async def test_one_of_two_listeners_tells_though_their_order_is_the_same(
    open_store: OpenStore,
) -> None:
    store = await open_store()
    one = session("tied")
    await store.save_session(one)
    for _ in range(2):
        tells = [(await heard(store, one, name, 5)).tells for name in ("b", "a", "c")]
    assert tells == [False, False, True]


async def test_who_listened_before_tells_when_the_latest_is_gone(open_store: OpenStore) -> None:
    store = await open_store()
    one = session("left")
    await store.save_session(one)
    first, second, third = [await heard(store, one, name) for name in ("1", "2", "3")]
    # What has been said again since is another one.
    for listener, order in (("3", second.order), ("3", 0), ("none", third.order)):
        await store.end_listening(one.id, Listening(listener, order, 60))
    assert not (await heard(store, one, "2", second.order)).tells
    for _ in range(2):
        await store.end_listening(one.id, Listening("3", third.order, 60))
    assert what(await heard(store, one, "1", first.order)) == (False, True, False)
    assert what(await heard(store, one, "2", second.order)) == (True, True, False)
    await store.end_listening(one.id, Listening("2", second.order, 60))
    assert what(await heard(store, one, "1", first.order)) == (True, False, False)
    await store.end_listening(one.id, Listening("1", first.order, 60))
    await store.end_listening(session("nobody").id, Listening("1", first.order, 60))


async def test_a_listener_that_says_nothing_more_counts_for_its_time(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store()
    one = session("silent")
    await store.save_session(one)
    first = await heard(store, one, "first")
    dead = await heard(store, one, "dead", seconds=1)
    assert not (await heard(store, one, "first", first.order)).tells
    await time.later(1.1)
    assert what(await heard(store, one, "first", first.order)) == (True, False, False)
    # It was only slow: the others are to hear of it as of a new one.
    assert what(await heard(store, one, "dead", dead.order)) == (True, True, True)
    assert what(await heard(store, one, "first", first.order)) == (False, True, False)


async def test_who_listens_ends_with_the_session(open_store: OpenStore) -> None:
    store = await open_store()
    one = session("over")
    await store.save_session(one)
    await heard(store, one, "before")
    await store.end_session(one.id)
    assert await store.listen(one.id, Listening("after", 0, 60)) is None
    await store.save_session(one)
    assert what(await heard(store, one, "after")) == (True, False, False)


async def test_an_idle_session_ends_unless_it_waits_for_people(
    open_store: OpenStore, time: Time
) -> None:
    store = await open_store(session_idle_seconds=6)
    idle, used, waiting = session("idle"), session("used"), session("waiting")
    # It waits for what another one has asked.
    collecting = session("collecting")
    for each in (idle, used, waiting, collecting):
        await store.save_session(each)
    await store.admit(question(time, seconds=1000, session_id=waiting.id))
    await time.later(4)
    assert await store.find_session(used.id) is not None
    store.touch_sessions({waiting.id, collecting.id, "nobody"})
    await time.later(4)
    await store.sweep(time(), 10)
    assert await store.find_session(idle.id) is None
    assert await store.find_session(used.id) is not None
    assert await store.find_session(waiting.id) is not None
    assert await store.find_session(collecting.id) is not None
    assert await store.find_session("nobody") is None


async def test_presence_is_per_connection_and_tenant(open_store: OpenStore, time: Time) -> None:
    store = await open_store()
    # This instance's own: of others it is known whether they live.
    instance = await name_of(store, time)
    tabs = [
        Presence("tab", f"c{n}", "acme", "ann", "", ("staff",), time() + n, instance)
        for n in range(2)
    ]
    for tab in tabs:
        assert await store.arrive(tab)
        # Said again, it is no news.
        assert not await store.arrive(tab)
    assert list(await store.present("acme")) == tabs
    assert list(await store.present("other")) == []
    await store.leave(tabs[0])
    await store.leave(tabs[0])
    assert list(await store.present("acme")) == [tabs[1]]
    await store.leave(tabs[1])
    assert list(await store.present("acme")) == []


async def test_a_store_that_works_answers_a_ping(open_store: OpenStore) -> None:
    await (await open_store()).ping()


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
        settled = now_of(self.store.settle(asked, Outcome(state, at=self.time())))
        won = self.states[asked.id] is State.OPEN
        if won:
            self.states[asked.id] = state
        assert (settled.won, settled.outcome.state) == (won, self.states[asked.id])  # type: ignore[attr-defined]

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds
        for settled in now_of(self.store.sweep(self.time(), 1000)):  # type: ignore[attr-defined]
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
