"""What stands before a port: who goes on, who hears what, and that nobody is let in by accident."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import pytest
import trio

from gateway.auth.guard import Guard, Need
from gateway.auth.refusals import Challenges
from gateway.auth.tickets import SUBPROTOCOL, Tickets
from gateway.errors import CredentialsUnavailableError
from gateway.http.messages import Head, Request
from gateway.ids import Ids
from pool.rate_limit import RateLimit
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session.model import NOBODY, Principal
from tests.gateway.auth.judging import Judge, judging, key, write_keys
from tests.gateway.auth.signing import NOW, token
from tests.gateway.mcp.recording import Recorder

NEEDS = {"/mcp": Need.CREDENTIAL, "/ws": Need.OPTIONAL, "/ticket": Need.CREDENTIAL}
FAILURES = 3


class Port:
    """A guard, and who went on past it."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        challenges = Challenges(judge.settings)
        self.tickets = Tickets(
            judge.store,
            seconds=30,
            ids=Ids(),
            workers=judge.workers,
            challenges=challenges,
            confirm=judge.auth.confirm,
            denied=lambda denial: self.denied.append(denial.reason),
        )
        self.seen: list[Principal] = []
        self.denied: list[str] = []
        self.failing: Exception | None = None
        self.last = Recorder()
        self.guard = Guard(
            self._serve,
            needs=NEEDS,
            scope="ask",
            auth=judge.auth,
            tickets=self.tickets,
            challenges=challenges,
            failures=RateLimit(FAILURES / 60, FAILURES, keys=10),
            workers=judge.workers,
            now=lambda: judge.now,
            denied=lambda denial: self.denied.append(denial.reason),
        )

    def _serve(self, request: Request, responder: Any) -> None:
        self.seen.append(request.principal)
        responder.respond(200)

    def send(self, path: str = "/mcp", method: str = "POST", **headers: str) -> Recorder:
        """Send a request; headers are named in Python's way."""
        path, _, query = path.partition("?")
        fields = {
            name.replace("_", "-").encode(): value.encode() for name, value in headers.items()
        }
        head = Head(method, path, query, fields, keep_alive=True, body_length=0)
        recorder: Any = Recorder()
        self.guard.handle(Request(head, b"", "192.0.2.1"), recorder)
        return recorder  # type: ignore[no-any-return]  # stands where a responder does

    async def ticket(self) -> str:
        """Return a fresh ticket of the key's owner."""
        principal = await self.judge.auth.verify(b"Bearer " + key("a").encode())
        head = Head("POST", "/ticket", "", {}, keep_alive=True, body_length=0)
        recorder: Any = Recorder()
        self.tickets.handle(Request(head, b"", "", principal), recorder)
        return str(recorder.json["ticket"])


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with judging(tmp_path) as judge:
        yield Port(judge)


def bearer(letter: str = "a") -> str:
    return f"Bearer {key(letter)}"


# -- who goes on


async def test_a_path_without_a_need_is_for_everybody_as_nobody(port: Port) -> None:
    for path in ("/", "/health", "/mcp/", "/MCP", "/%6dcp", "//mcp", "/mcp;x", "/ws/"):
        assert port.send(path, "GET").status == 200
        assert port.send(path, "GET", authorization=bearer()).status == 200
    assert set(port.seen) == {NOBODY}


async def test_a_good_credential_goes_on_as_its_owner(port: Port) -> None:
    for path in NEEDS:
        for _ in range(2):
            assert port.send(path, authorization=bearer()).status == 200
    assert {principal.subject for principal in port.seen} == {"a"}
    assert port.denied == []


async def test_who_is_known_takes_no_worker_and_no_job(port: Port) -> None:
    port.send(authorization=bearer())
    before = port.judge.workers.statistics()
    port.send(authorization=bearer())
    assert port.judge.workers.statistics() == before


async def test_no_credential_is_a_challenge_and_nothing_else(port: Port) -> None:
    said = port.send()
    assert (said.status, port.seen, port.denied) == (401, [], ["missing"])
    assert said.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic YTpi", bearer("b"), f"Token {key('a')}", key("a"), "Bearer \xff", "null"],
)
@pytest.mark.parametrize("path", NEEDS)
async def test_a_wrong_credential_is_refused_where_none_may_be_shown_too(
    port: Port, path: str, value: str
) -> None:
    said = port.send(path, authorization=value)
    assert (said.status, port.seen, port.denied) == (401, [], ["wrong"])
    assert 'error="invalid_token"' in said.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": key("a")},
        {"proxy_authorization": bearer()},
        {"cookie": f"token={key('a')}; access_token={key('a')}"},
        {"x_forwarded_user": "a", "x_tenant": "acme"},
        {"sec_websocket_protocol": key("a")},
        {"x_forwarded_authorization": bearer()},
    ],
)
async def test_only_one_header_says_who_somebody_is(port: Port, headers: dict[str, str]) -> None:
    assert port.send(**headers).status == 401
    assert port.seen == []


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "ticket"])
@pytest.mark.parametrize("path", NEEDS)
async def test_a_credential_in_the_url_is_refused(port: Port, path: str, name: str) -> None:
    for query in (f"?{name}={key('a')}", f"?x=1&{name}={key('a')}"):
        said = port.send(path + query, "GET")
        assert said.status == 401
        assert "URL" in said.json["error"]
        assert key("a") not in said.body.decode() + repr(said.headers)
    assert port.seen == []


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "ticket"])
@pytest.mark.parametrize("path", [*NEEDS, "/", "/frontend-router.js", "/health", "/nowhere"])
async def test_a_credential_in_the_url_is_refused_beside_a_good_one_and_on_pages_too(
    port: Port, path: str, name: str
) -> None:
    """It is in logs by then, whatever else the request shows, and whatever it is for."""
    assert port.send(authorization=bearer()).status == 200
    port.seen.clear()
    for method in ("GET", "POST", "OPTIONS"):
        for headers in ({"authorization": bearer()}, {}):
            said = port.send(f"{path}?{name}={key('a')}", method, **headers)
            assert (said.status, port.seen) == (401, [])
            assert "revoke it" in said.json["error"]
    assert set(port.denied) == {"in_url"}


async def test_who_opened_a_link_with_a_credential_reads_a_sentence(port: Port) -> None:
    said = port.send(f"/?token={key('a')}", "GET", accept="text/html,application/xhtml+xml")
    assert (said.status, said.content_type) == (401, b"text/plain; charset=utf-8")
    assert said.body.startswith(b"A credential does not belong into a URL")
    assert b"open this page without it" in said.body
    # The page's address must not be in the request for its icon.
    assert said.headers["referrer-policy"] == "no-referrer"
    assert key("a") not in said.body.decode() + repr(said.headers)


async def test_what_else_is_in_a_query_is_nobodys_business(port: Port) -> None:
    for query in ("?x=1", "?mytoken=1", "?q=token=", "?tokens=1", "?"):
        assert port.send("/mcp" + query, authorization=bearer()).status == 200
        assert port.send("/" + query, "GET").status == 200


async def test_who_may_come_without_one_does_so_as_nobody(port: Port) -> None:
    assert port.send("/ws", "GET").status == 200
    assert port.seen == [NOBODY]


async def test_a_browser_that_asks_what_it_may_send_shows_none(port: Port) -> None:
    assert port.send("/mcp", "OPTIONS").status == 200
    assert port.seen == [NOBODY]
    said = port.send("/ticket", "OPTIONS", origin="https://app.example")
    assert (said.status, port.seen) == (204, [NOBODY])
    assert said.headers["access-control-allow-origin"] == "https://app.example"


# -- tickets


async def test_a_ticket_is_its_owner_once(port: Port) -> None:
    offered = f"frontend-router.v1, {SUBPROTOCOL}{await port.ticket()}"
    assert port.send("/ws", "GET", sec_websocket_protocol=offered).status == 200
    assert [principal.subject for principal in port.seen] == ["a"]
    assert port.send("/ws", "GET", sec_websocket_protocol=offered).status == 401
    assert len(port.seen) == 1


@pytest.mark.parametrize("path", ["/mcp", "/ticket"])
async def test_a_ticket_is_good_for_a_websocket_only(port: Port, path: str) -> None:
    ticket = await port.ticket()
    said = port.send(path, sec_websocket_protocol=SUBPROTOCOL + ticket)
    assert (said.status, port.seen) == (401, [])
    assert port.send(path, authorization=f"Bearer {ticket}").status == 401


async def test_a_header_counts_before_a_ticket(port: Port) -> None:
    offered = SUBPROTOCOL + await port.ticket()
    said = port.send("/ws", "GET", sec_websocket_protocol=offered, authorization=bearer("b"))
    assert (said.status, port.seen) == (401, [])


# -- too many


async def test_who_is_wrong_often_hears_later_and_costs_others_nothing(port: Port) -> None:
    """All come from the same address, as they do behind a proxy."""
    statuses = [port.send(authorization=bearer("b")).status for _ in range(FAILURES + 2)]
    assert statuses == [401] * FAILURES + [429] * 2
    assert port.denied[-1] == "too_many"
    said = port.send(authorization=bearer("c"))
    assert said.headers["retry-after"] == "10"
    # One who is not known yet, and right.
    assert port.send(authorization=bearer()).status == 200
    offered = SUBPROTOCOL + await port.ticket()
    assert port.send("/ws", "GET", sec_websocket_protocol=offered).status == 200
    await port.judge.reread(60)
    assert port.send(authorization="Bearer fr_nonsense").status == 401


# -- what may go wrong


async def answered(port: Port, shown: str | bytes, path: str = "/mcp") -> int:
    """Send a request, and return its status once it has one."""
    value = shown if isinstance(shown, bytes) else shown.encode()
    head = Head("POST", path, "", {b"authorization": value}, keep_alive=True, body_length=0)
    recorder: Any = Recorder()
    port.last = recorder
    port.guard.handle(Request(head, b"", "192.0.2.1"), recorder)
    with trio.fail_after(30):
        while not recorder.complete:
            await trio.lowlevel.checkpoint()
    return int(recorder.status)


class Judging:
    """Stands where the authenticator does; what it says is the test's."""

    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict

    def known(self, header: bytes) -> None:
        return None

    def verify(self, header: bytes) -> Coroutine[Any, Any, Principal]:
        verdict: Coroutine[Any, Any, Principal] = self.verdict()
        return verdict


def judged_by(port: Port, verdict: Any) -> Port:
    port.guard._auth = Judging(verdict)  # type: ignore[assignment]  # as far as a guard goes
    return port


async def test_what_cannot_be_found_out_is_no(port: Port) -> None:
    async def verdict() -> Principal:
        raise CredentialsUnavailableError

    said = judged_by(port, verdict).send(authorization=bearer())
    assert (said.status, port.seen) == (503, [])
    assert said.headers["retry-after"]


@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, AssertionError, MemoryError])
async def test_a_failure_of_the_verifier_is_no(port: Port, error: type[Exception]) -> None:
    async def verdict() -> Principal:
        raise error("canary")

    said = judged_by(port, verdict).send(authorization=bearer())
    assert (said.status, port.seen) == (503, [])
    assert "canary" not in said.body.decode()
    assert len(port.judge.failures) == 1
    port.judge.failures.clear()


def _no_clock() -> float:
    raise OSError("canary")


@pytest.mark.parametrize("clock", [_no_clock, lambda: math.nan])
@pytest.mark.parametrize("which", ["_clock", "_now", "both"])
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("kind", ["key", "token"])
async def test_a_clock_that_is_broken_is_no(
    port: Port, clock: Callable[[], float], which: str, is_known: bool, kind: str
) -> None:
    """One that fails, and one that tells no time, which is neither before nor after any end."""
    credential = key("a") if kind == "key" else token(exp=NOW + 60)
    shown = f"Bearer {credential}"
    if is_known:
        assert await answered(port, shown) == 200
        port.seen.clear()
    for name in ("_clock", "_now") if which == "both" else (which,):
        setattr(port.judge.auth, name, clock)
    for path in NEEDS:
        try:
            status = await answered(port, shown, path)
        except OSError:
            # The connection ends with it; what it said before counts.
            status = port.last.status
        assert (status in {401, 503}, port.seen) == (True, [])
        assert "canary" not in port.last.body.decode()
    port.judge.failures.clear()


class Unreadable(bytes):
    """A header that cannot be taken apart, or not even looked for."""

    def __new__(cls, value: bytes, fails: str) -> Self:
        made = super().__new__(cls, value)
        made.fails = fails
        return made

    fails: str

    def partition(self, *arguments: Any) -> Any:
        raise ValueError("canary")

    def __hash__(self) -> int:
        if self.fails == "looking":
            raise ValueError("canary")
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("fails", ["looking", "parsing"])
@pytest.mark.parametrize("path", NEEDS)
async def test_a_header_that_cannot_be_parsed_is_no(port: Port, path: str, fails: str) -> None:
    assert await answered(port, bearer()) == 200
    port.seen.clear()
    try:
        status = await answered(port, Unreadable(bearer().encode(), fails), path)
    except ValueError:
        status = port.last.status
    assert (status, port.seen) == (503, [])
    assert "canary" not in port.last.body.decode()
    port.judge.failures.clear()


async def test_no_room_for_a_verdict_is_no(port: Port) -> None:
    workers = Workers(WorkerSettings(queue=1), on_failure=lambda *_: None)
    port.guard._workers = workers
    port.judge.now += 10
    # Both are looked for, which a worker does, and there is none.
    assert port.send(authorization=bearer("b")).status == 0
    assert port.send(authorization=bearer("c")).status == 503
    async with trio.open_nursery() as nursery:
        await nursery.start(workers.run)
        nursery.cancel_scope.cancel()


async def test_the_end_of_the_process_is_no(port: Port) -> None:
    workers = Workers(WorkerSettings(), on_failure=lambda *_: None)
    port.guard._workers = workers
    port.judge.now += 10
    said = port.send(authorization=bearer("b"))
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.cancel()
        await nursery.start(workers.run)
    assert (said.status, port.seen) == (503, [])


async def test_who_is_looked_for_comes_in_when_found(port: Port) -> None:
    """The job cannot wait where the request came in: a worker has it, and answers."""
    write_keys(port.judge.keys, "a", "b")
    port.judge.now += 10
    said = port.send(authorization=bearer("b"))
    assert said.status == 0
    with trio.fail_after(30):
        while not said.complete:
            await trio.lowlevel.checkpoint()
    assert said.status == 200
    assert [principal.subject for principal in port.seen] == ["b"]


async def test_who_left_meanwhile_is_not_served(port: Port) -> None:
    """Nobody would hear of their leaving: what they ask for would go on for nobody."""
    write_keys(port.judge.keys, "a", "b")
    port.judge.now += 10
    said = port.send(authorization=bearer("b"))
    said.disconnect()
    with trio.fail_after(30):
        while port.judge.auth.known(bearer("b").encode()) is None:
            await trio.lowlevel.checkpoint()
    assert port.seen == []


async def test_who_sent_no_more_meanwhile_has_left_where_that_is_leaving(port: Port) -> None:
    left: list[str] = []

    def hold(_request: Request, responder: Any) -> None:
        responder.on_disconnect = lambda: left.append("left")
        responder.leaves_at_end = True

    port.guard._handler = hold
    write_keys(port.judge.keys, "a", "b")
    port.judge.now += 10
    said = port.send(authorization=bearer("b"))
    said.at_end = True
    with trio.fail_after(30):
        while said.on_disconnect is None:
            await trio.lowlevel.checkpoint()
    assert left == ["left"]
