"""Who a frontend is, where frontends need a credential; on real sockets' protocol objects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.refusals import Challenges
from gateway.frontends import messages
from gateway.frontends.doorman import Doorman
from gateway.frontends.strange import NOTHING_AGREED
from gateway.http.messages import Head, Request
from gateway.offers import Ask
from pool.promises import Promise
from pool.rate_limit import RateLimit
from session.errors import StoreUnavailableError
from session.model import NOBODY, Audience, Principal
from tests.gateway.auth.judging import Judge, judging, key, write_keys
from tests.gateway.auth.signing import NOW, token
from tests.gateway.frontends.world import Tab, World
from tests.gateway.mcp.recording import Recorder
from tests.wire import Wire

AGENT = Principal("acme", "agent", scopes=frozenset({"ask"}))


class Door:
    """A frontends' port that wants credentials."""

    def __init__(self, judge: Judge, **more: Any) -> None:
        self.judge = judge
        self.world = World()
        self.denied: list[str] = []
        self.doorman = Doorman(
            judge.auth,
            judge.store,
            challenges=Challenges(judge.settings),
            failures=RateLimit(3 / 60, 3, keys=10),
            now=self.world.clock.timers.now,
            seconds=more.get("seconds", 5.0),
            most=more.get("most", 10),
            most_of_address=more.get("most_of_address", 10),
            denied=lambda denial: self.denied.append(denial.reason),
        )
        self.world.endpoint.doorman = self.doorman

    def tab(self, principal: Principal = NOBODY) -> Tab:
        """Open a frontend; what its handshake had is ``principal``'s."""
        tab = Tab.__new__(Tab)
        tab.wire = Wire()
        tab.socket = tab.wire.speak(partial(self.world.endpoint.open, principal, NOTHING_AGREED))
        return tab

    def connect(self, credential: str, **more: Any) -> Tab:
        tab = self.tab()
        tab.say({"type": "connect", "token": credential, **more})
        return tab

    def admits(self, principal: Principal) -> tuple[bool, Recorder]:
        head = Head("GET", "/ws", "", {}, keep_alive=True, body_length=0)
        recorder: Any = Recorder()
        admitted = self.doorman.admits(Request(head, b"", "192.0.2.1", principal), recorder)
        return admitted, recorder

    async def ask(self, audience: Audience, tenant: str = "acme") -> None:
        asker = Principal(tenant, "agent", scopes=AGENT.scopes)
        await self.world.router.ask(asker, Ask("Which?", audience=audience), None)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with judging(tmp_path) as judge:
        write_keys(judge.keys, "a", "b")
        await judge.auth._refresh(at_once=True)
        door = Door(judge)
        yield door
        assert door.world.failures == []


def only(tab: Tab) -> dict[str, Any]:
    """Return the one message that was heard."""
    (message,) = tab.heard()
    return message


# -- who they are


async def test_a_frontend_is_who_its_credential_says_and_not_who_it_says(door: Door) -> None:
    said = {"user": "boss", "groups": ["everything"], "frontend_id": "desk"}
    tab = door.connect(token(), **said)
    assert only(tab)["type"] == "connect_ack"
    socket = tab.socket
    assert (socket.tenant, socket.user, socket.groups) == ("acme", "ann", ("doctors",))
    assert (socket.presence.tenant, socket.presence.user) == ("acme", "ann")
    await door.ask(Audience("user", "boss"))
    await door.ask(Audience("group", "everything"))
    await door.ask(Audience("everyone"), tenant="other")
    assert tab.heard() == []
    await door.ask(Audience("group", "doctors"))
    await door.ask(Audience("user", "ann"))
    assert len(tab.heard()) == 2
    assert door.doorman.strangers == 0


async def test_a_handshake_that_had_one_needs_no_other(door: Door) -> None:
    principal = await door.judge.auth.verify(b"Bearer " + key("a").encode())
    tab = door.tab(principal)
    tab.say({"type": "connect", "user": "boss"})
    assert only(tab)["type"] == "connect_ack"
    assert (tab.socket.tenant, tab.socket.user) == ("acme", "a")
    assert door.doorman.strangers == 0


async def test_a_handshake_that_had_one_is_its_users_also_without_a_word(door: Door) -> None:
    tab = door.tab(await door.judge.auth.verify(b"Bearer " + token().encode()))
    door.world.clock.pass_time(1)
    await door.ask(Audience("user", "ann"))
    await door.ask(Audience("group", "doctors"))
    assert len(tab.heard()) == 2


async def test_a_fresh_token_replaces_the_one_that_is_about_to_end(door: Door) -> None:
    tab = door.connect(token(exp=NOW + 3))
    before = tab.socket.principal.expires_at
    tab.say({"type": "connect", "token": token(exp=NOW + 300)})
    assert [message["type"] for message in tab.heard()] == ["connect_ack", "connect_ack"]
    assert tab.socket.principal.expires_at == before + 297
    assert tab.socket.attached


async def test_a_connection_stays_its_users(door: Door) -> None:
    tab = door.connect(key("a"))
    tab.wire.taken()
    tab.say({"type": "connect", "token": key("b")})
    heard = tab.frames()
    assert b"somebody else's" in heard[0][1]
    assert heard[-1][0] == 8
    assert tab.socket.principal.subject == "a"


# -- who they are not


async def test_nobody_sees_or_does_anything_before_saying_who_they_are(door: Door) -> None:
    tab = door.tab()
    await door.ask(Audience("everyone"), tenant="")
    await door.ask(Audience("everyone"))
    tab.say(
        {"type": "user_response", "request_id": "1", "answer": "x"},
        {"type": "draft", "request_id": "1", "text": "x"},
        {"type": "seen", "request_id": "1"},
        {"type": "disconnect"},
    )
    assert [message["code"] for message in tab.heard()] == ["unauthenticated"] * 4
    assert not tab.socket.attached
    assert door.doorman.strangers == 1


@pytest.mark.parametrize(
    "credential",
    ["", "nonsense", key("c"), key("a")[:-1], "ü", "Bearer " + key("a"), "a.b.c", " ", "\0"],
)
async def test_a_wrong_credential_ends_the_connection(door: Door, credential: str) -> None:
    tab = door.connect(credential)
    (_, said), (opcode, goodbye) = tab.frames()
    assert b'"unauthenticated"' in said
    assert (opcode, goodbye[:2]) == (8, (3000).to_bytes(2, "big"))
    assert not credential.strip() or credential.encode() not in said
    assert tab.socket.principal is NOBODY


async def test_who_may_not_answer_does_not_come_in(door: Door) -> None:
    tab = door.connect(token(scope="ask"))
    (_, said), (opcode, goodbye) = tab.frames()
    assert b"scope answer" in said
    assert (opcode, goodbye[:2]) == (8, (3503).to_bytes(2, "big"))
    assert not tab.wire.is_open or tab.socket.principal is NOBODY
    assert door.denied == ["scope"]


async def test_who_says_nothing_is_sent_away(door: Door) -> None:
    tab = door.tab()
    door.world.clock.pass_time(4.9)
    assert tab.close_code() is None
    door.world.clock.pass_time(0.2)
    assert tab.close_code() == 3000


async def test_who_is_wrong_often_hears_so_and_costs_others_nothing(door: Door) -> None:
    said = [door.connect(key("c")).frames()[0][1] for _ in range(5)]
    assert [b"come back in a minute" in each for each in said] == [False] * 3 + [True] * 2
    assert door.denied == ["wrong"] * 3 + ["too_many"] * 2
    assert only(door.connect(key("a")))["type"] == "connect_ack"


async def test_what_cannot_be_found_out_is_no(door: Door) -> None:
    door.judge.keys.write_bytes(b"garbage")
    await door.judge.reread(31)
    tab = door.connect(key("a"))
    message = only(tab)
    assert (message["code"], message["retryable"]) == ("unavailable", True)
    assert tab.socket.principal is NOBODY
    assert not tab.socket.attached
    # It may try again, for as long as anybody may say nothing.
    door.world.clock.pass_time(5.1)
    assert tab.close_code() == 3000


# -- at the door


@pytest.mark.parametrize("limit", ["most", "most_of_address"])
async def test_there_are_so_many_who_have_not_said_who_they_are(door: Door, limit: str) -> None:
    door = Door(door.judge, **{limit: 2})
    tabs = [door.tab() for _ in range(3)]
    assert [tab.wire.is_open for tab in tabs] == [False, True, True]
    assert door.denied == ["strangers"]
    # Whoever has said so is none of them.
    tabs[1].say({"type": "connect", "token": key("a")})
    tabs.append(door.tab())
    assert [tab.wire.is_open for tab in tabs[1:]] == [True] * 3
    for tab in tabs:
        tab.wire.abort()
    assert door.doorman.strangers == 0


async def test_a_handshake_that_may_not_answer_is_refused(door: Door) -> None:
    admitted, said = door.admits(AGENT)
    assert (admitted, said.status) == (False, 403)
    assert 'error="insufficient_scope"' in said.headers["www-authenticate"]


# -- frontends' ids


async def test_an_id_is_its_users_and_nobody_elses(door: Door) -> None:
    first = door.connect(key("a"), frontend_id="desk")
    assert only(first)["frontend_id"] == "desk"
    other = door.connect(key("b"), frontend_id="desk")
    notice, welcome = other.heard()
    assert notice["code"] == "frontend_id_taken"
    assert welcome["frontend_id"] == other.socket.connection_id
    again = door.connect(key("a"), frontend_id="desk")
    assert only(again)["frontend_id"] == "desk"


class NoClaims:
    """A store that is away when ids are claimed; see `session.Credentials`."""

    async def claim(self, tenant: str, frontend_id: str, subject: str) -> bool:
        raise StoreUnavailableError("Redis cannot be reached.")


async def test_an_id_that_cannot_be_claimed_is_not_had(door: Door) -> None:
    door.doorman._credentials = NoClaims()  # type: ignore[assignment]  # as far as ids go
    tab = door.connect(key("a"), frontend_id="desk")
    assert only(tab)["code"] == "unavailable"
    assert tab.socket.principal is NOBODY


# -- two at once


class Slow:
    """Claims that wait until they may go on."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    async def claim(self, tenant: str, frontend_id: str, subject: str) -> bool:
        promise: Promise[bool] = Promise()
        self.waiting.append(promise)
        return await promise


async def test_of_two_that_say_who_they_are_at_once_the_first_counts(door: Door) -> None:
    """Else a connection could be one tenant's to see, and another's to be ended."""
    slow: Any = Slow()
    door.doorman._credentials = slow
    tab = door.tab()
    tab.say(
        {"type": "connect", "token": key("a"), "frontend_id": "1"},
        {"type": "connect", "token": token(tenant="other"), "frontend_id": "2"},
    )
    message = only(tab)
    assert (message["code"], message["retryable"]) == ("busy", True)
    slow.waiting[0].set(True)
    assert only(tab)["type"] == "connect_ack"
    assert len(slow.waiting) == 1
    assert (tab.socket.tenant, tab.socket.user) == ("acme", "a")
    # And the next one is taken.
    tab.say({"type": "connect", "token": key("a")})
    assert only(tab)["type"] == "connect_ack"
    tab.wire.abort()
    assert door.world.hub.matching("acme", Audience("everyone")) == ()


async def test_who_said_in_time_who_it_is_is_let_in_however_long_that_takes_to_be_seen(
    door: Door,
) -> None:
    slow: Any = Slow()
    door.doorman._credentials = slow
    tab = door.tab()
    tab.say({"type": "connect", "token": key("a"), "frontend_id": "desk"})
    door.world.clock.pass_time(6)
    assert (tab.frames(), tab.wire.is_open) == ([], True)
    # It counts as a stranger until then, who may be displaced.
    assert door.doorman.strangers == 1
    slow.waiting[0].set(True)
    assert only(tab)["type"] == "connect_ack"
    assert (tab.socket.attached, door.doorman.strangers) == (True, 0)


async def test_who_is_not_let_in_has_no_more_time_than_who_says_nothing(door: Door) -> None:
    slow: Any = Slow()
    door.doorman._credentials = slow
    early, late = door.tab(), door.tab()
    for tab in (early, late):
        tab.say({"type": "connect", "token": key("a"), "frontend_id": "desk"})
    door.world.clock.pass_time(1)
    slow.waiting[0].fail(StoreUnavailableError("Redis cannot be reached."))
    assert only(early)["code"] == "unavailable"
    door.world.clock.pass_time(3.9)
    assert early.close_code() is None
    door.world.clock.pass_time(0.2)
    assert early.close_code() == 3000
    slow.waiting[1].fail(StoreUnavailableError("Redis cannot be reached."))
    (_, said), (opcode, goodbye) = late.frames()
    assert b'"unavailable"' in said
    assert (opcode, goodbye[:2]) == (8, (3000).to_bytes(2, "big"))
    assert late.socket.principal is NOBODY


async def test_nothing_of_a_credential_is_in_any_text(door: Door) -> None:
    said = messages.decode(b'{"type":"connect","token":"canary","frontend_id":"desk"}')
    assert repr(said) == "Connect(frontend_id='desk')"
    tab = door.connect(key("a"))
    for each in (tab.socket, tab.socket.principal, tab.socket.presence, door.doorman):
        assert "ssss" not in repr(each)
