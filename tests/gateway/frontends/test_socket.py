"""One frontend's dialogue: what it says, what it is told, and when it ends."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from gateway.frontends import messages
from gateway.offers import Notification
from pool.workers import to_worker
from session import MemoryStore, Settlement
from session.errors import StoreUnavailableError
from session.model import Audience, Choice, Delivery, Outcome, Presence, Question, State
from session.store import Store
from tests.gateway.frontends.world import AGENT, SlowDrafts, Tab, World, frame, now


@pytest.fixture
def world() -> World:
    return World()


def types(heard: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in heard]


def test_connect_is_acknowledged_with_what_a_frontend_has_to_know(world: World) -> None:
    tab = Tab(world)
    tab.say({"type": "connect", "frontend_id": "desk", "user": "ann"})
    (ack,) = tab.heard()
    assert (ack["type"], ack["status"], ack["frontend_id"]) == ("connect_ack", "connected", "desk")
    assert ack["limits"]["message_bytes"] == 1024 * 1024
    assert ack["heartbeat_seconds"] == 30
    assert not ack["resumed"]


def test_who_never_says_connect_is_offered_questions_soon_after(world: World) -> None:
    question, _ = world.ask()
    tab = Tab(world)
    assert tab.heard() == []
    world.clock.pass_time(0.4)
    assert [message["request_id"] for message in tab.heard()] == [question.id]
    world.ask("Another?")
    assert [message["question"] for message in tab.heard()] == ["Another?"]


def test_gos_four_messages_are_enough(world: World) -> None:
    tab = world.tab()
    question, outcomes = world.ask()
    (shown,) = tab.heard()
    assert (shown["type"], shown["request_id"], shown["question"]) == (
        "ask_user",
        question.id,
        "Which?",
    )
    tab.say({"type": "user_response", "request_id": question.id, "answer": "blue"})
    assert [outcome.answer for outcome in outcomes] == ["blue"]
    tab.say({"type": "disconnect"})
    assert tab.close_code() == 1000


def test_the_first_answer_wins_and_the_other_tab_sees_it_closed(world: World) -> None:
    first, second = world.tab(frontend_id="1", user="ann"), world.tab(frontend_id="2")
    question, outcomes = world.ask()
    for tab in (first, second):
        tab.wire.taken()
        tab.say(
            {"type": "user_response", "request_id": question.id, "answer": tab.socket.frontend_id}
        )
    assert [outcome.answer for outcome in outcomes] == ["1"]
    (ack,) = first.heard()
    assert (ack["status"], ack["state"]) == ("accepted", "answered")
    (late,) = second.heard()
    assert (late["status"], late["state"]) == ("duplicate", "answered")
    assert "ann" in late["message"]


def test_the_others_are_told_who_answered(world: World) -> None:
    first, second = world.tab(frontend_id="1", user="ann"), world.tab(frontend_id="2")
    question, _ = world.ask()
    second.wire.taken()
    first.say({"type": "user_response", "request_id": question.id, "answer": "a"})
    (closed,) = second.heard()
    assert closed == {
        "type": "question_closed",
        "request_id": question.id,
        "reason": "answered",
        "by": {"frontend_id": "1", "user": "ann"},
    }


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ({"answer": "red"}, "accepted"),
        ({"answer": "green"}, "invalid"),
        ({"answer": ""}, "invalid"),
        ({}, "invalid"),
        ({"rejected": True, "reason": "no"}, "accepted"),
        ({"request_id": "another", "answer": "red"}, "unknown"),
    ],
)
def test_every_answer_is_acknowledged(world: World, response: dict[str, Any], status: str) -> None:
    tab = world.tab()
    question, outcomes = world.ask(choices=(Choice("red"), Choice("blue")))
    tab.wire.taken()
    tab.say({"type": "user_response", "request_id": question.id, **response})
    (ack,) = tab.heard()
    assert (ack["type"], ack["status"]) == ("response_ack", status)
    assert len(outcomes) == (status == "accepted")


def test_a_forms_answer_is_also_a_text(world: World) -> None:
    tab = world.tab()
    question, outcomes = world.ask(schema={"type": "object", "required": ["n"]})
    tab.say({"type": "user_response", "request_id": question.id, "content": {"n": 1}})
    assert (outcomes[0].content, outcomes[0].answer) == ({"n": 1}, '{"n":1}')


@pytest.mark.parametrize("answer", [{}, {"answer": "short"}])
def test_a_forms_fields_count_as_its_answer_does(world: World, answer: dict[str, str]) -> None:
    tab = world.tab()
    question, outcomes = world.ask(schema={"type": "object"})
    tab.wire.taken()
    most = world.router.settings.answer_bytes
    for size, status in ((most + 1, "invalid"), (most, "accepted")):
        content = {"a": "x" * (size - len('{"a":""}'))}
        said = {"type": "user_response", "request_id": question.id, "content": content, **answer}
        tab.say(said)
        assert tab.heard()[-1]["status"] == status
    assert len(outcomes) == 1


def test_an_answer_in_the_last_bytes_before_the_close_counts(world: World) -> None:
    tab = world.tab()
    question, outcomes = world.ask()
    answer = {"type": "user_response", "request_id": question.id, "answer": "bye"}
    tab.send(frame(answer) + frame(b"\x03\xe8", Opcode.CLOSE))
    assert [outcome.answer for outcome in outcomes] == ["bye"]
    assert tab.wire.closing


def test_a_draft_comes_back_with_the_frontend(world: World) -> None:
    tab = world.tab(frontend_id="desk")
    question, _ = world.ask()
    tab.say({"type": "draft", "request_id": question.id, "text": "blu"})
    tab.wire.abort()
    back = Tab(world)
    back.say({"type": "connect", "frontend_id": "desk"})
    ack, shown = back.heard()
    assert ack["resumed"]
    assert (shown["request_id"], shown["draft"]) == (question.id, "blu")
    other = Tab(world)
    other.say({"type": "connect", "frontend_id": "another"})
    assert "draft" not in other.heard()[1]


def test_a_draft_that_the_store_is_away_for_disturbs_nobody(world: World) -> None:
    world.router.store = cast("Store", LostStore(world.store))
    tab = world.tab()
    question, _ = world.ask()
    tab.wire.taken()
    tab.say({"type": "draft", "request_id": question.id, "text": "blu"})
    assert (tab.heard(), world.failures) == ([], [])
    assert world.metrics.refused.samples() == {("drafts",): 1}


def test_a_draft_that_is_too_long_is_refused(world: World) -> None:
    tab = world.tab()
    question, _ = world.ask()
    tab.wire.taken()
    tab.say({"type": "draft", "request_id": question.id, "text": "x" * 20_000})
    (error,) = tab.heard()
    assert (error["code"], error["request_id"]) == ("too_large", question.id)


def test_a_seen_question_stays_with_its_frontend(world: World) -> None:
    tab = world.tab()
    question, _ = world.ask(delivery=Delivery.ONE)
    assert world.router.statistics().unseen == 1
    tab.say({"type": "seen", "request_id": question.id}, {"type": "seen", "request_id": "nothing"})
    assert world.router.statistics().unseen == 0


def test_saying_connect_again_moves_the_frontend(world: World) -> None:
    tab = world.tab(frontend_id="1", user="ann")
    tab.say({"type": "connect", "frontend_id": "1", "user": "bob"})
    assert [f.user for f in world.hub] == ["bob"]
    assert [presence.user for presence in now(world.router.people.frontends(AGENT))] == ["bob"]


def test_a_frontend_that_is_gone_leaves_nothing(world: World) -> None:
    tab = world.tab()
    world.ask(delivery=Delivery.ONE)
    tab.wire.abort()
    assert len(world.hub) == 0
    assert world.endpoint.connected() == 0
    assert world.store.statistics().frontends == 0
    assert len(world.clock.timers) == 0
    untold = Tab(world)
    untold.wire.abort()
    assert len(world.clock.timers) == 0


@pytest.mark.parametrize("payload", [b"nonsense", b"[]", b'{"type":"what"}', b'{"type":"seen"}'])
def test_a_message_that_cannot_be_used_gets_an_error_and_no_close(
    world: World, payload: bytes
) -> None:
    tab = world.tab()
    tab.send(frame(payload))
    (error,) = tab.heard()
    assert error["type"] == "error"
    assert not error["retryable"]
    assert tab.wire.is_open


def test_too_many_of_them_end_the_connection(world: World) -> None:
    tab = world.tab()
    for _ in range(100):
        tab.send(frame(b"nonsense"))
    assert tab.close_code() is None
    tab.send(frame(b"nonsense"))
    assert tab.close_code() == 1008


class WaitingStore:
    """The memory store, where ending a question has to wait for somebody."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, question: Question, outcome: Outcome) -> Settlement | None:
        await to_worker()
        return await self._store.settle(question, outcome)


class LostStore:
    """The memory store, where no question can be ended now, and no draft be kept."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, *_: object) -> Settlement | None:
        raise StoreUnavailableError("Redis at 10.0.0.7:6379 does not accept the password")

    async def save_draft(self, *_: object) -> None:
        raise StoreUnavailableError


def test_an_answer_that_cannot_be_stored_is_asked_for_again_and_no_more_is_said(
    world: World,
) -> None:
    world.router.store = LostStore(world.store)
    tab = world.tab()
    question, outcomes = world.ask()
    tab.heard()
    tab.say({"type": "user_response", "request_id": question.id, "answer": "a"})
    (error,) = tab.heard()
    assert (error["type"], error["code"], error["retryable"]) == ("error", "unavailable", True)
    assert error["message"] == "The answer is not stored yet; send it again in a moment."
    assert outcomes == []


async def test_a_gateway_without_room_says_so_and_keeps_the_question(world: World) -> None:
    world.router.store = WaitingStore(world.store)
    tab = world.tab()
    question, outcomes = world.ask()
    tab.wire.taken()
    # Nobody works here: what has to wait is refused.
    answer = {"type": "user_response", "request_id": question.id, "answer": "a"}
    async with trio.open_nursery() as nursery:
        await nursery.start(world.workers.run)
        nursery.cancel_scope.cancel()
    tab.say(answer)
    (error,) = tab.heard()
    assert (error["type"], error["code"], error["retryable"]) == ("error", "busy", True)
    assert error["request_id"] == question.id
    assert outcomes == []
    assert [each.id for each in now(world.store.inbox("default"))] == [question.id]


def test_a_ping_every_heartbeat_and_the_end_of_who_is_silent_for_two(world: World) -> None:
    tab = world.tab()
    world.clock.pass_time(31)
    assert tab.frames() == [(9, b"")]
    tab.send(frame(b"", Opcode.PONG))
    world.clock.pass_time(59)
    assert tab.close_code() is None
    world.clock.pass_time(1.2)
    assert tab.close_code() == 3012


def test_pings_leave_together(world: World) -> None:
    """For each that leaves alone an idle process wakes up."""
    tabs = []
    for _ in range(4):
        tabs.append(world.tab())
        world.clock.pass_time(0.06)
    world.clock.pass_time(29)
    while not any(pinged := [(9, b"") in tab.frames() for tab in tabs]):
        world.clock.pass_time(0.05)
    assert all(pinged)


def test_any_frame_shows_that_a_peer_lives(world: World) -> None:
    tab = world.tab()
    for _ in range(20):
        world.clock.pass_time(20)
        tab.say({"type": "seen", "request_id": "x"})
    assert tab.close_code() is None


class SlowToLetGo:
    """A store that takes its time to note that somebody has gone."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.may_go = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def leave(self, presence: Presence) -> None:
        await to_worker()
        await self.may_go.wait()
        await self.store.leave(presence)


async def test_what_is_said_right_behind_connect_is_said_by_who_connects(world: World) -> None:
    """Also by a frontend that was late to say who it is, and was somebody else until then."""
    slow = SlowToLetGo(world.store)
    world.router.store = cast("Store", slow)
    question, outcomes = world.ask(audience=Audience("group", "ops"))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.workers.run)
        tab = Tab(world)
        world.clock.pass_time(0.3)
        await trio.testing.wait_all_tasks_blocked()
        assert tab.socket.attached
        tab.say(
            {"type": "connect", "frontend_id": "ann", "groups": ["ops"]},
            {"type": "user_response", "request_id": question.id, "answer": "yes"},
        )
        await trio.testing.wait_all_tasks_blocked()
        assert [outcome.by for outcome in outcomes] == ["ann"]
        slow.may_go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert world.failures == []
        assert {"accepted", "connected"} <= {each.get("status") for each in tab.heard()}
        nursery.cancel_scope.cancel()


@pytest.fixture
def slow(world: World) -> SlowDrafts:
    slow = SlowDrafts(world.store)
    world.router.store = cast("Store", slow)
    return slow


def test_who_is_saying_who_it_is_is_offered_nothing_before_it_is_acknowledged(
    world: World, slow: SlowDrafts
) -> None:
    """However long the store takes; and once it has gone nothing of it is left."""
    tab = Tab(world)
    tab.say({"type": "connect", "frontend_id": "desk"})
    world.clock.pass_time(0.4)
    question, outcomes = world.ask(delivery=Delivery.ONE)
    assert (tab.heard(), tab.socket.attached) == ([], False)
    slow.asked[0].set([])
    assert types(tab.heard()) == ["connect_ack", "ask_user"]
    tab.say({"type": "user_response", "request_id": question.id, "answer": "yes"})
    assert [outcome.by for outcome in outcomes] == ["desk"]
    tab.wire.abort()
    assert world.hub.least_busy("default", Audience()) is None
    world.ask(delivery=Delivery.ONE)
    assert (len(world.hub), len(world.clock.timers), world.failures) == (0, 0, [])


@pytest.mark.parametrize("seconds", [0.1, 0.4])
@pytest.mark.parametrize("was_attached", [False, True])
def test_whose_connect_comes_to_nothing_is_offered_questions_as_if_it_had_not_said_it(
    world: World, slow: SlowDrafts, seconds: float, *, was_attached: bool
) -> None:
    tab = Tab(world)
    if was_attached:
        world.clock.pass_time(0.4)
        assert tab.socket.attached
    tab.say({"type": "connect", "frontend_id": "desk"})
    world.clock.pass_time(seconds)
    slow.asked[0].fail(ValueError("nobody expected this"))
    assert [type(failure) for failure in world.failures] == [ValueError]
    assert not tab.socket.attached
    world.clock.pass_time(0.4)
    world.ask()
    assert types(tab.heard()) == ["ask_user"]


def test_who_leaves_while_it_is_being_introduced_is_not_let_in(
    world: World, slow: SlowDrafts
) -> None:
    gone, going = Tab(world), Tab(world)
    for tab in (gone, going):
        tab.say({"type": "connect"})
    gone.wire.abort()
    going.say({"type": "disconnect"})
    for promise in slow.asked:
        promise.set([])
    assert (len(world.hub), world.failures) == (0, [])
    # It is still to say goodbye in turn.
    world.clock.pass_time(5.2)
    assert going.wire.aborted
    assert len(world.clock.timers) == 0


def test_a_peer_that_does_not_say_goodbye_is_cut_off(world: World) -> None:
    tab = world.tab()
    tab.socket.restart(350)
    assert tab.close_code() == 1012
    assert not tab.wire.aborted
    world.clock.pass_time(5.2)
    assert tab.wire.aborted


def test_a_ping_flood_ends_the_connection(world: World) -> None:
    tab = world.tab()
    for _ in range(200):
        tab.send(frame(b"", Opcode.PING))
    assert tab.close_code() is None
    tab.send(frame(b"", Opcode.PING))
    assert tab.close_code() == 1008


def test_control_frames_are_counted_per_heartbeat(world: World) -> None:
    tab = world.tab()
    for _ in range(5):
        for _ in range(150):
            tab.send(frame(b"", Opcode.PING))
        world.clock.pass_time(31)
    assert tab.close_code() is None


def test_a_message_may_come_in_fragments_with_pings_between(world: World) -> None:
    tab = world.tab()
    question, outcomes = world.ask()
    text = json.dumps({"type": "user_response", "request_id": question.id, "answer": "f"}).encode()
    tab.send(frame(text[:10], fin=False))
    tab.send(frame(b"hi", Opcode.PING))
    tab.send(frame(text[10:20], Opcode.CONT, fin=False) + frame(text[20:], Opcode.CONT))
    assert len(outcomes) == 1
    tab.say({"type": "disconnect"})
    assert tab.close_code() == 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"x", Opcode.BINARY), 1003),
        (frame(b"\xff\xfe"), 1007),
        (b"\x81\x01x", 1002),
        (b"\xf1" + frame(b"x")[1:], 1002),
        (frame(b"x", Opcode.CONT), 1002),
        (b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\x00\x00\x00\x00", 1009),
    ],
)
def test_a_violation_closes_with_its_code(world: World, data: bytes, code: int) -> None:
    tab = world.tab()
    tab.send(data)
    assert tab.close_code() == code


@pytest.mark.parametrize("size", [0, 255])
def test_a_flood_of_short_fragments_ends_the_connection(world: World, size: int) -> None:
    tab, said = world.tab(), {"type": "seen", "request_id": "x"}
    short = [frame(b" " * size, fin=False), frame(said, Opcode.CONT)]
    for beat in range(3):
        tab.send(b"".join(short * 2048))
        assert tab.wire.is_open, beat
        world.clock.pass_time(31)
        tab.send(frame(b"", Opcode.PONG))
    tab.wire.taken()
    tab.send(b"".join(short * 2048) + short[0])
    assert tab.close_code() == 1008


def test_long_fragments_are_bounded_by_their_message(world: World) -> None:
    tab = world.tab()
    for _ in range(4):
        tab.send(frame(b" " * 256, fin=False))
        tab.send(frame(b" " * 256, Opcode.CONT, fin=False) * 2500)
        tab.send(frame({"type": "seen", "request_id": "x"}, Opcode.CONT))
    assert tab.wire.is_open


def test_questions_wait_while_a_peer_does_not_read_and_come_in_order(world: World) -> None:
    tab = world.tab()
    tab.wire.outbox_bytes = 1024 * 1024
    asked = [world.ask(str(number))[0] for number in range(5)]
    withdrawn, kept = asked[1], [each for each in asked if each is not asked[1]]
    now(world.router.cancel(AGENT, withdrawn.id, "", "agent"))
    now(world.router.people.notify(AGENT, Notification("missed")))
    assert tab.heard() == []
    assert tab.wire.tell_when_drained
    tab.socket.drained()
    assert tab.heard() == []
    tab.wire.outbox_bytes = 0
    tab.socket.drained()
    assert [message["request_id"] for message in tab.heard()] == [each.id for each in kept]


def test_a_notification_is_shown(world: World) -> None:
    tab = world.tab()
    now(world.router.people.notify(AGENT, Notification("hello", title="T", level="success")))
    (shown,) = tab.heard()
    assert (shown["type"], shown["message"], shown["level"]) == ("notify_user", "hello", "success")


def test_messages_are_counted_by_type(world: World) -> None:
    tab = world.tab()
    question, _ = world.ask()
    tab.say({"type": "user_response", "request_id": question.id, "answer": "a"})
    text = world.metrics.render()[0].decode()
    for line in (
        'websocket_messages_total{direction="in",message_type="user_response"} 1.0',
        'websocket_messages_total{direction="out",message_type="ask_user"} 1.0',
        'websocket_messages_total{direction="out",message_type="response_ack"} 1.0',
    ):
        assert line in text


def test_the_same_offer_is_encoded_once_for_everybody(world: World) -> None:
    tabs = [world.tab() for _ in range(3)]
    world.ask()
    sent = [tab.wire.taken() for tab in tabs]
    assert sent[0] is sent[1] is sent[2]


ANY_MESSAGE = st.one_of(
    st.binary(max_size=60).map(frame),
    st.binary(max_size=60),
    st.sampled_from(list(messages.NAMES.values())).map(lambda kind: frame({"type": kind})),
    st.tuples(st.sampled_from(list(Opcode)), st.binary(max_size=125), st.booleans()).map(
        lambda each: frame(each[1], each[0], fin=each[2] or each[0] > Opcode.BINARY)
    ),
    st.sampled_from(
        [
            frame({"type": "connect", "frontend_id": "f"}),
            frame({"type": "draft", "request_id": "q", "text": "t"}),
            frame({"type": "user_response", "request_id": "q", "answer": "a"}),
        ]
    ),
)


@settings(max_examples=150)
@given(st.lists(ANY_MESSAGE, max_size=12), st.integers(0, 40))
def test_any_dialogue_leaves_a_gateway_that_works(pieces: list[bytes], step: int) -> None:
    """Whatever one frontend says: no failure, and the next one is served as ever."""
    world = World()
    tab = Tab(world)
    data = b"".join(pieces)
    for at in range(0, len(data), step or len(data) or 1):
        if tab.wire.is_open:
            tab.send(data[at : at + (step or len(data))])
    world.clock.pass_time(1)
    if not tab.wire.aborted:
        tab.wire.abort()
    assert world.failures == []
    assert len(world.clock.timers) == 0
    honest = world.tab()
    question, outcomes = world.ask()
    honest.say({"type": "user_response", "request_id": question.id, "answer": "fine"})
    assert [outcome.state for outcome in outcomes] == [State.ANSWERED]
