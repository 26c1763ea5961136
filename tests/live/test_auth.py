"""Credentials on real gateways: who comes in, for how long, and that doubt lets nobody in."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from websockets.exceptions import ConnectionClosed

from gateway.clock import WallClock
from haproxy.redis_cluster import RedisNode, running_node
from haproxy.redis_node import free_port
from tests.gateway.auth.jwks_server import JwksServer, jwks_server
from tests.gateway.auth.signing import AUDIENCE, ISSUER, SECRET, jwk_set, key
from tests.live.admission import (
    PATIENCE,
    as_caller,
    as_frontend,
    bearer,
    frontend_at,
    new_key,
    new_ticket,
    offering,
    request,
    run_key,
    until,
)
from tests.live.caller import caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.process import TESTED, GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# On a loaded machine, too, there is time to use one.
_TICKET_SECONDS = 6

QUICK = (*LEAVE_AT_ONCE, "--auth-refresh-seconds", "0.2", "--auth-failures", "100000")
JWT = ("--auth-issuer", ISSUER, "--auth-audience", AUDIENCE, "--auth-leeway-seconds", "0")
now = WallClock().now


def token(lifetime: float = 600.0, by: str = "secret", **more: Any) -> str:
    """Return an access token that ends so many seconds from now."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "tenant": "acme",
        "scope": "ask answer",
        "exp": now() + lifetime,
        **more,
    }
    if by == "secret":
        return jwt.encode(claims, SECRET, "HS256")
    return jwt.encode(claims, key(by), "RS256", headers={"kid": by})


@pytest.fixture
def ring(tmp_path: Path) -> tuple[str, str]:
    """Where API keys are, as `frontend-router key` is told; there is one already."""
    where = ("--keys", str(tmp_path / "keys.json"))
    new_key(where, "first", "ask")
    return where


@contextlib.contextmanager
def running_with(ring: tuple[str, str], *flags: str) -> Iterator[GatewayProcess]:
    with running_gateway(*QUICK, "--auth-keys", ring[1], *flags) as gateway:
        yield gateway


async def caller_status(gateway: GatewayProcess, credential: str) -> int:
    return (await as_caller(gateway.mcp_port, credential)).status_code


async def ready_status(gateway: GatewayProcess) -> int:
    return (await request(gateway.monitoring_port, "/ready")).status_code


# -- API keys


async def test_a_key_is_good_soon_and_ends_with_all_that_it_opened(
    ring: tuple[str, str],
) -> None:
    with running_with(ring) as gateway:
        agent, ann = new_key(ring, "agent", "ask"), new_key(ring, "ann", "answer")
        # What it does not know is looked for once a second at most, and the file may have been
        # read between the two.
        await until(lambda: caller_status(gateway, agent), 200)
        await until(lambda: caller_status(gateway, ann), 200)
        with trio.fail_after(PATIENCE):
            async with (
                frontend_at(gateway.ws_port, ann) as person,
                caller_at(gateway.mcp_port, credential=agent) as caller,
            ):
                ask = {"name": "ask_user", "arguments": {"question": "Still there?"}}
                await caller.send("tools/call", ask)
                response = await caller.response()
                shown = await person.question()
                assert shown["from"]["subject"] == "agent"
                await trio.to_thread.run_sync(run_key, "revoke", agent, *ring)
                refusal = await response.result()
                assert refusal["error"]["code"] == -31001
                assert "not good any more" in refusal["error"]["message"]
                assert await until(lambda: caller_status(gateway, agent), 401) in ([], [200])
                # The person is somebody else, and stays; and is asked no longer.
                assert await person.answer(shown, "yes") == "too_late"
                ticket = (await new_ticket(gateway.ws_port, ann)).json()["ticket"]
                await trio.to_thread.run_sync(run_key, "revoke", ann, *ring)
                with pytest.raises(ConnectionClosed) as closed:
                    await person.question()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 3000
        for outcome in (
            await as_frontend(gateway.ws_port, ann),
            await as_frontend(gateway.ws_port),
        ):
            assert outcome == "close 3000"
        for outcome in (
            await as_frontend(gateway.ws_port, headers=bearer(ann)),
            await as_frontend(gateway.ws_port, subprotocols=offering(ticket)),
        ):
            assert outcome == "HTTP 401"
        assert (await new_ticket(gateway.ws_port, ann)).status_code == 401


async def test_a_question_is_asked_and_answered_by_who_may(ring: tuple[str, str]) -> None:
    agent, ann = new_key(ring, "agent", "ask"), new_key(ring, "ann", "answer")
    other = new_key(ring, "bob", "answer", "ask", tenant="other")
    with running_with(ring) as gateway, trio.fail_after(PATIENCE):
        async with (
            frontend_at(gateway.ws_port, ann, user="boss") as person,
            frontend_at(gateway.ws_port, other) as stranger,
            caller_at(gateway.mcp_port, credential=agent) as caller,
            caller_at(gateway.mcp_port, credential=other) as another,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                await person.answer(await person.question(), "blue")

            nursery.start_soon(answer)
            result = await caller.call("ask_user", question="Which colour?")
            assert text_of(result) == "blue"
            assert result["structuredContent"]["answered_by"]["user"] == "ann"
            question_id = result["structuredContent"]["question_id"]
            # Another tenant has never heard of it, and was shown nothing.
            gone = await another.call("collect_answer", question_id=question_id)
            assert gone["isError"]
            nursery.start_soon(lambda: another.send("tools/call", _ask("Anybody else?")))
            assert (await stranger.question())["question"] == "Anybody else?"
        # A key for one thing is not one for another.
        async with caller_at(gateway.mcp_port, credential=ann) as caller:
            await caller.send("tools/call", _ask("May I?"))
            refused = await caller.response()
            assert refused.status == 403
            assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
        assert await as_frontend(gateway.ws_port, agent) == "close 3503"
        assert await as_frontend(gateway.ws_port, headers=bearer(agent)) == "HTTP 403"
        assert (await new_ticket(gateway.ws_port, agent)).status_code == 403


def _ask(question: str) -> dict[str, Any]:
    return {"name": "ask_user", "arguments": {"question": question}}


# -- access tokens


async def test_what_a_token_opened_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    flags = ("--auth-secret-file", str(tmp_path / "secret"), *JWT)
    with running_gateway(*QUICK, *flags) as gateway, trio.fail_after(PATIENCE):
        lasting = token()
        async with frontend_at(gateway.ws_port, lasting) as other:
            end = now() + 8
            short = token(8)
            session = await open_session(gateway.mcp_port, credential=short)
            async with (
                frontend_at(gateway.ws_port, short) as person,
                caller_at(gateway.mcp_port, credential=short) as caller,
                caller_at(gateway.mcp_port, session=session, credential=short) as listener,
            ):
                await caller.send("tools/call", _ask("How long?"))
                response = await caller.response()
                shown = await person.question()
                await listener.stream.send_all(
                    f"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:{gateway.mcp_port}\r\n"
                    f"Accept: text/event-stream\r\nAuthorization: Bearer {short}\r\n"
                    f"Mcp-Session-Id: {session}\r\n"
                    "MCP-Protocol-Version: 2025-11-25\r\n\r\n".encode()
                )
                listening = await listener.response()
                assert listening.status == 200
                with pytest.raises(ConnectionClosed) as closed:
                    await person.question()
                assert end <= now() < end + 20
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 3000
                assert (await response.result())["error"]["code"] == -31001
                with pytest.raises(EOFError):
                    await listening.event()
            assert await caller_status(gateway, short) == 401
            assert await as_frontend(gateway.ws_port, short) == "close 3000"
            # Who has another one stays. What was asked with the first is taken back: nobody is
            # left to hear what they say.
            assert (await other.question())["request_id"] == shown["request_id"]
            assert await other.answer(shown, "yes") == "too_late"


# -- tickets


async def spend(gateway: GatewayProcess, ticket: str) -> str:
    return await as_frontend(gateway.ws_port, subprotocols=offering(ticket))


async def check_tickets(at: GatewayProcess, used_at: GatewayProcess, ann: str) -> None:
    """A ticket that was got at one is good once, and soon, at another."""
    late = (await new_ticket(at.ws_port, ann)).json()["ticket"]
    made_at = now()
    made = await new_ticket(at.ws_port, ann)
    assert made.headers["cache-control"] == "no-store"
    assert (made.status_code, made.json()["expires_in"]) == (200, _TICKET_SECONDS)
    ticket = made.json()["ticket"]
    for wrong in ("", ticket[:-1], ticket + "0", "0" * 64):
        offered = as_frontend(used_at.ws_port, subprotocols=offering(wrong))
        # Without any it is one who has yet to say who it is.
        assert await offered == ("HTTP 401" if wrong else "close 3000")
    assert await as_frontend(used_at.ws_port, subprotocols=(ticket,)) == "close 3000"
    assert await spend(used_at, ticket) == "welcome"
    for gateway in (at, used_at):
        assert await spend(gateway, ticket) == "HTTP 401"
    with trio.fail_after(PATIENCE):
        while now() < made_at + _TICKET_SECONDS + 0.5:
            assert await caller_status(at, ann) == 200
    assert await spend(used_at, late) == "HTTP 401"


async def test_a_ticket_is_good_once_and_soon(ring: tuple[str, str]) -> None:
    ann = new_key(ring, "ann", "answer")
    with running_with(ring, "--auth-ticket-seconds", str(_TICKET_SECONDS)) as gateway:
        await check_tickets(gateway, gateway, ann)


async def test_keys_and_tickets_in_a_store_are_every_instances(redis_url: str) -> None:
    flags = (
        "--store",
        redis_url,
        "--auth-keys",
        "store",
        "--auth-ticket-seconds",
        str(_TICKET_SECONDS),
    )
    where = ("--store", redis_url)
    with running_gateway(*QUICK, *flags) as one, running_gateway(*QUICK, *flags) as other:
        assert await caller_status(one, "fr_" + "0" * 16 + "_" + "s" * 43) == 401
        ann = new_key(where, "ann", "answer", "ask")
        both = (one, other)
        for gateway in both:
            await until(lambda gateway=gateway: caller_status(gateway, ann), 200)  # type: ignore[misc]  # of this round
        await check_tickets(one, other, ann)
        await check_tickets(other, one, ann)
        # Somebody else's frontend keeps its name at every instance.
        bob = new_key(where, "bob", "answer")
        await until(lambda: caller_status(other, bob), 200)
        with trio.fail_after(PATIENCE):
            async with (
                frontend_at(one.ws_port, ann, frontend_id="desk"),
                frontend_at(other.ws_port, bob) as person,
            ):
                await person.say(type="connect", token=bob, frontend_id="desk")
                assert (await person.frame("error"))["code"] == "frontend_id_taken"
            async with frontend_at(one.ws_port, ann) as person:
                await trio.to_thread.run_sync(run_key, "revoke", ann, *where)
                with pytest.raises(ConnectionClosed):
                    await person.question()
        for gateway in both:
            await until(lambda gateway=gateway: caller_status(gateway, ann), 401)  # type: ignore[misc]  # of this round
            assert await as_frontend(gateway.ws_port, ann) == "close 3000"


# -- starting


@pytest.mark.parametrize(
    ("flag", "content", "words"),
    [
        ("keys", None, "it cannot be read: No such file or directory"),
        ("keys", b"", "this is no file of keys"),
        ("keys", b"[" * 100_000, "this is no file of keys"),
        ("keys", b'[{"id":"canary"}]', "this is no file of keys"),
        ("jwks", b"<html>canary", "this is no JWK set (RFC 7517)"),
        ("secret-file", b"canary", "a secret for HS256 has at least 32 bytes"),
    ],
)
def test_what_cannot_be_started_with_is_one_sentence(
    tmp_path: Path, flag: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    ports = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")
    ended = subprocess.run(
        [*TESTED, *ports, f"--auth-{flag}", str(path), *JWT],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    sentence = f"--auth-{flag} {path}: {words}"
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, ended.stderr
    assert sentence in said[0]
    assert "canary" not in ended.stdout + ended.stderr


# -- doubt


async def check_nobody_comes_in(gateway: GatewayProcess, good: str, bad: str, ticket: str) -> None:
    """Neither who was good nor who never was, on any way in; monitoring says so."""
    for _ in range(3):
        assert await caller_status(gateway, good) == 503
        assert await caller_status(gateway, bad) in (401, 503)
        assert await caller_status(gateway, "") == 401
        assert await as_frontend(gateway.ws_port, good) == "unavailable"
        assert await as_frontend(gateway.ws_port, headers=bearer(good)) == "HTTP 503"
        assert await as_frontend(gateway.ws_port, subprotocols=offering(ticket)) in (
            "HTTP 401",
            "HTTP 503",
        )
        assert (await new_ticket(gateway.ws_port, good)).status_code == 503
    assert await ready_status(gateway) == 503


async def look_while_it_breaks(gateway: GatewayProcess, good: str, bad: str) -> None:
    """Until nobody is let in, only who was good is."""

    async def look() -> tuple[int, int]:
        return await caller_status(gateway, good), await caller_status(gateway, bad)

    seen = await until(look, (503, 401), (503, 503))
    assert {was for was, _ in seen} <= {200, 503}
    assert {never for _, never in seen} <= {401, 503}


async def check_that_all_is_well_again(gateway: GatewayProcess, good: str, bad: str) -> None:
    assert set(await until(lambda: caller_status(gateway, good), 200)) <= {401, 503}
    assert await caller_status(gateway, bad) == 401
    assert await as_frontend(gateway.ws_port, good) == "welcome"
    await until(lambda: ready_status(gateway), 200)


async def test_a_file_of_keys_that_breaks_lets_nobody_in(ring: tuple[str, str]) -> None:
    ann = new_key(ring, "ann", "answer", "ask")
    bad = ann[:-1] + ("A" if ann[-1] != "A" else "B")
    path = trio.Path(ring[1])
    content = await path.read_bytes()
    with running_with(ring, "--auth-stale-seconds", "3") as gateway:
        for broken in (b"garbage", b"[" * 100_000, None):
            ticket = (await new_ticket(gateway.ws_port, ann)).json()["ticket"]
            await (path.unlink() if broken is None else path.write_bytes(broken))
            await look_while_it_breaks(gateway, ann, bad)
            await check_nobody_comes_in(gateway, ann, bad, ticket)
            await path.write_bytes(content)
            await check_that_all_is_well_again(gateway, ann, bad)
    assert gateway.text().count('"credentials_unreadable"') == 3


def _serves_errors(server: JwksServer) -> None:
    server.status = 500


def _serves_nonsense(server: JwksServer) -> None:
    server.body = b"<html>"


def _serves_nobody(server: JwksServer) -> None:
    server.may_answer.clear()


async def test_a_jwk_set_that_cannot_be_had_lets_nobody_in() -> None:
    good, bad = token(by="rsa"), token(by="rsa-2")
    seconds = ("--auth-jwks-seconds", "1", "--auth-jwks-stale-seconds", "4")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(jwks_server(jwk_set("rsa")))
        flags = ("--auth-jwks", server.url, *JWT, *seconds)
        gateway = stack.enter_context(running_gateway(*QUICK, *flags))
        assert await caller_status(gateway, good) == 200
        for spoil in (_serves_errors, _serves_nonsense, _serves_nobody):
            ticket = (await new_ticket(gateway.ws_port, good)).json()["ticket"]
            spoil(server)
            await look_while_it_breaks(gateway, good, bad)
            await check_nobody_comes_in(gateway, good, bad, ticket)
            server.status, server.body = 200, jwk_set("rsa")
            server.may_answer.set()
            await check_that_all_is_well_again(gateway, good, bad)
        # Another key is there: who has the old one is out, who has the new one is in.
        server.body = jwk_set("rsa-2")
        assert await caller_status(gateway, bad) in (200, 401)
        await until(lambda: caller_status(gateway, bad), 200)
        assert await caller_status(gateway, good) == 401


async def test_a_server_of_keys_that_is_not_there_yet_lets_nobody_in() -> None:
    # None of those that are given to connections: nobody else may have it meanwhile.
    port = free_port()
    with jwks_server(b"", port) as gone:
        url = gone.url
    good, bad = token(by="rsa"), token(by="rsa-2")
    flags = ("--auth-jwks", url, *JWT, "--auth-jwks-seconds", "1")
    with running_gateway(*QUICK, *flags) as gateway:
        await check_nobody_comes_in(gateway, good, bad, "0" * 64)
        with jwks_server(jwk_set("rsa"), port):
            await check_that_all_is_well_again(gateway, good, bad)


@pytest.fixture
def fragile_redis(tmp_path: Path) -> Iterator[RedisNode]:
    with running_node(tmp_path / "redis") as node:
        yield node


async def test_a_redis_that_hangs_lets_nobody_in(fragile_redis: RedisNode) -> None:
    where = ("--store", fragile_redis.url)
    ann = new_key(where, "ann", "answer", "ask")
    bad = ann[:-1] + ("A" if ann[-1] != "A" else "B")
    flags = (*where, "--auth-keys", "store", "--auth-stale-seconds", "3")
    with running_gateway(*QUICK, *flags) as gateway:
        assert await caller_status(gateway, ann) == 200
        ticket = (await new_ticket(gateway.ws_port, ann)).json()["ticket"]
        fragile_redis.stop()
        try:
            await look_while_it_breaks(gateway, ann, bad)
            await check_nobody_comes_in(gateway, ann, bad, ticket)
        finally:
            fragile_redis.resume()
        await check_that_all_is_well_again(gateway, ann, bad)
        # Emptied, it has no keys: nobody has one.
        fragile_redis.command("FLUSHALL")
        await until(lambda: caller_status(gateway, ann), 401)
        assert json.loads((await as_caller(gateway.mcp_port, ann)).text)["status"] == 401


@pytest.mark.parametrize("resource", ["https://router.example.com/mcp", ""])
async def test_the_inbox_shows_where_callers_reach_us(resource: str) -> None:
    """Behind a proxy that is nowhere near the port we listen on."""
    flags = ("--auth-resource", resource) if resource else ()
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        told = await request(gateway.ws_port, "/config.json")
        assert told.json()["mcp_url"] == (resource or f"http://127.0.0.1:{gateway.mcp_port}/mcp")
