"""Tickets: made for who is known, taken back once, and worth what their owner's credential is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.auth.refusals import Challenges, Denial, cors
from gateway.auth.settings import Settings
from gateway.auth.tickets import SUBPROTOCOL, Tickets, ticket_in
from gateway.errors import CredentialError, CredentialsUnavailableError
from gateway.http.messages import Head, Request
from gateway.ids import Ids
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryCredentials
from session.errors import StoreUnavailableError
from session.model import Principal
from tests.gateway.auth.judging import Judge, header, judging, key, write_keys
from tests.gateway.mcp.recording import Recorder

ANN = Principal("acme", "ann", ("doctors",), frozenset({"answer", "ask"}), "key:1", 1e12)


class Office:
    """Makes tickets, and takes them back."""

    def __init__(self, **more: Any) -> None:
        self.now = 1000.0
        self.store: Any = MemoryCredentials(lambda: self.now)
        self.failures: list[Exception] = []
        self.workers = Workers(
            WorkerSettings(), on_failure=lambda _, error: self.failures.append(error)
        )
        self.is_good = True
        self.denied: list[Denial] = []
        parts: dict[str, Any] = {
            "seconds": 30,
            "ids": Ids(),
            "workers": self.workers,
            "challenges": Challenges(Settings(keys="keys.json")),
            "confirm": lambda _principal: self.is_good,
            "denied": self.denied.append,
        }
        self.tickets = Tickets(self.store, **(parts | more))

    def ask(self, principal: Principal = ANN, method: str = "POST", **headers: str) -> Recorder:
        fields = {name.encode(): value.encode() for name, value in headers.items()}
        head = Head(method, "/ticket", "", fields, keep_alive=True, body_length=0)
        recorder: Any = Recorder()
        self.tickets.handle(Request(head, b"", "", principal), recorder)
        return recorder  # type: ignore[no-any-return]  # stands where a responder does

    def new(self, principal: Principal = ANN) -> str:
        return str(self.ask(principal).json["ticket"])


@pytest.fixture
def office() -> Office:
    return Office()


async def refused(office: Office, ticket: str) -> None:
    with pytest.raises(CredentialError) as why:
        await office.tickets.redeem(ticket)
    assert not ticket or ticket not in str(why.value)


async def test_a_ticket_is_its_owner_as_the_credential_said(office: Office) -> None:
    said = office.ask()
    assert said.status == 200
    assert said.headers["cache-control"] == "no-store"
    assert said.json["expires_in"] == 30
    assert said.json["subprotocol"] == SUBPROTOCOL + said.json["ticket"]
    assert await office.tickets.redeem(said.json["ticket"]) == ANN


async def test_a_ticket_is_good_once(office: Office) -> None:
    ticket = office.new()
    await office.tickets.redeem(ticket)
    await refused(office, ticket)


async def test_a_ticket_ends_soon(office: Office) -> None:
    early, late = office.new(), office.new()
    office.now += 29.9
    assert await office.tickets.redeem(early) == ANN
    office.now += 0.1
    await refused(office, late)


async def test_a_ticket_is_nothing_but_itself(office: Office) -> None:
    ticket = office.new()
    for wrong in ("", ticket[:-1], ticket + "0", ticket.upper(), ticket[::-1], "ü", "0" * 64):
        await refused(office, wrong)
    assert await office.tickets.redeem(ticket) == ANN


async def test_tickets_cannot_be_guessed(office: Office) -> None:
    tickets = {office.new() for _ in range(1000)}
    assert len(tickets) == 1000
    assert {len(ticket) for ticket in tickets} == {64}
    # Of 64 places none is the same in all.
    assert all(len({ticket[place] for ticket in tickets}) > 10 for place in range(64))


async def test_a_ticket_ends_with_the_credential_it_was_got_with(office: Office) -> None:
    ticket = office.new()
    office.is_good = False
    await refused(office, ticket)
    # It is gone all the same.
    office.is_good = True
    await refused(office, ticket)


async def test_what_is_kept_of_a_ticket_is_a_digest(office: Office) -> None:
    ticket = office.new()
    assert list(office.store._tickets) == [hashlib.sha256(ticket.encode()).hexdigest()]
    assert ticket not in repr(vars(office.store))


@pytest.mark.parametrize("kept", [b"", b"garbage", b"\xc0", msgspec.msgpack.encode(("a", "b"))])
async def test_what_another_version_has_kept_is_no_ticket(office: Office, kept: bytes) -> None:
    digest = hashlib.sha256(b"kept").hexdigest()
    await office.store.save_ticket(digest, kept, 30)
    await refused(office, "kept")


async def test_who_may_not_answer_gets_none(office: Office) -> None:
    said = office.ask(Principal("acme", "agent", scopes=frozenset({"ask"})))
    assert said.status == 403
    assert 'scope="answer"' in said.headers["www-authenticate"]
    assert len(office.store._tickets) == 0
    (denial,) = office.denied
    assert (denial.reason, denial.status, denial.principal.subject) == ("scope", 403, "agent")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_tickets_are_made_by_post(office: Office, method: str) -> None:
    said = office.ask(method=method)
    assert (said.status, said.headers["allow"]) == (405, "POST, OPTIONS")


async def test_a_page_of_an_allowed_origin_may_read_it(office: Office) -> None:
    said = office.ask(origin="https://app.example")
    assert said.headers["access-control-allow-origin"] == "https://app.example"
    assert said.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in office.ask().headers
    assert cors(Head("GET", "/", "", {}, keep_alive=True, body_length=0)) == ()
    recorder: Any = Recorder()
    head = Head("OPTIONS", "/ticket", "", {b"origin": b"https://a"}, keep_alive=True, body_length=0)
    office.tickets.preflight(head, recorder)
    assert recorder.headers["access-control-allow-headers"] == "authorization"
    # Cookies are no credential here, so pages must not be told to send them.
    assert "access-control-allow-credentials" not in recorder.headers


class Away:
    """A store that is away; see `session.Credentials`."""

    async def save_ticket(self, digest: str, ticket: bytes, seconds: int) -> None:
        raise StoreUnavailableError("Redis cannot be reached.")

    async def take_ticket(self, digest: str) -> bytes | None:
        raise StoreUnavailableError("Redis cannot be reached.")


async def test_without_the_store_there_are_no_tickets(office: Office) -> None:
    office.tickets._credentials = Away()  # type: ignore[assignment]  # as far as tickets go
    assert office.ask().status == 503
    with pytest.raises(CredentialsUnavailableError):
        await office.tickets.redeem("ticket")


@pytest.mark.parametrize(
    ("offered", "found"),
    [
        ("", ""),
        ("frontend-router.v1", ""),
        (f"{SUBPROTOCOL}abc", "abc"),
        (f"frontend-router.v1, {SUBPROTOCOL}abc", "abc"),
        (f"frontend-router.v1 ,\t{SUBPROTOCOL}abc ", "abc"),
        (f"{SUBPROTOCOL}abc,{SUBPROTOCOL}def", "abc"),
        (SUBPROTOCOL, ""),
        (SUBPROTOCOL.upper() + "abc", ""),
        ("x" + SUBPROTOCOL + "abc", ""),
    ],
)
def test_a_ticket_is_one_of_the_subprotocols_that_are_offered(offered: str, found: str) -> None:
    fields = {b"sec-websocket-protocol": offered.encode()}
    assert ticket_in(Head("GET", "/ws", "", fields, keep_alive=True, body_length=0)) == found


@pytest.fixture
async def judge(tmp_path: Path) -> AsyncIterator[Judge]:
    async with judging(tmp_path) as judge:
        yield judge


async def test_a_ticket_of_a_key_that_was_revoked_is_none(judge: Judge) -> None:
    office = Office(confirm=judge.auth.confirm)
    principal = await judge.auth.verify(header(key("a")))
    ticket, late = office.new(principal), office.new(principal)
    assert await office.tickets.redeem(ticket) == principal
    write_keys(judge.keys)
    await judge.reread()
    await refused(office, late)


async def test_a_ticket_lets_nobody_in_where_keys_cannot_be_read(judge: Judge) -> None:
    office = Office(confirm=judge.auth.confirm)
    ticket = office.new(await judge.auth.verify(header(key("a"))))
    judge.keys.write_bytes(b"garbage")
    await judge.reread(31.0)
    with pytest.raises(CredentialsUnavailableError):
        await office.tickets.redeem(ticket)
