"""A call waits at one gateway, and its caller gives it up at another one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest
import trio

from haproxy.redis_cluster import RedisCluster
from tests.cluster.instances import PATIENCE, Instance, running_instances
from tests.interop.person import Person, person_at
from tests.live.caller import HANDSHAKE, Response, caller_at, open_session, text_of
from tests.live.credentials import new_key

pytestmark = pytest.mark.slow


class Guarded(NamedTuple):
    """Two gateways, and the keys of those who may ask there, and of who answers."""

    both: list[Instance]
    owner: str
    #: Another subject of the tenant, and the same subject of another tenant.
    thieves: list[str]
    person: str


@pytest.fixture(scope="module")
def guarded(shared_cluster: RedisCluster) -> Iterator[Guarded]:
    """Two gateways that know credentials."""
    shared_cluster.wait_until_healthy()
    url = shared_cluster.url
    owner, *thieves = [
        new_key(url, tenant, subject, "ask")
        for tenant, subject in (("acme", "ann"), ("acme", "eve"), ("globex", "ann"))
    ]
    person = new_key(url, "acme", "bob", "answer")
    with running_instances(url, 2, "--auth-keys", "store") as both:
        yield Guarded(both, owner, thieves, person)


async def said(
    gateway: Instance, session: str, request_id: str = "", *, credential: str = ""
) -> int:
    """Cancel a request, or end the session; return the status."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Mcp-Session-Id": session,
        "MCP-Protocol-Version": HANDSHAKE,
    }
    if credential:
        headers["Authorization"] = f"Bearer {credential}"
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE, headers=headers) as client:
        if not request_id:
            return (await client.delete(url)).status_code
        message = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": request_id, "reason": "no longer needed"},
        }
        return (await client.post(url, json=message)).status_code


@asynccontextmanager
async def asking(
    gateway: Instance,
    session: str,
    person: Person,
    request_id: str,
    *,
    user: str,
    credential: str = "",
) -> AsyncIterator[tuple[Response, dict[str, Any]]]:
    """Ask somebody; give the stream, which waits, and the question."""
    async with caller_at(gateway.mcp_port, session=session, credential=credential) as caller:
        caller.accept = "text/event-stream"
        audience = {"kind": "user", "name": user}
        call = {"name": "ask_user", "arguments": {"question": "?", "audience": audience}}
        await caller.send("tools/call", call, request_id)
        question = await person.question()
        yield await caller.response(), question


async def given_up(stream: Response, person: Person, question: dict[str, Any]) -> None:
    """Return when a question is taken from a person, and its call has ended without a reply."""
    closed = await person.frame("question_closed")
    assert (closed["request_id"], closed["reason"]) == (question["request_id"], "cancelled")
    with pytest.raises(EOFError):
        await stream.result()


@pytest.mark.parametrize("ends", [False, True], ids=["cancelled", "DELETE"])
async def test_a_call_is_given_up_at_another_gateway(
    instances: list[Instance], *, ends: bool
) -> None:
    """The person is at a third one."""
    a, b, c = instances
    user = uuid.uuid4().hex
    with trio.fail_after(PATIENCE):
        session = await open_session(b.mcp_port)
        async with (
            person_at(c.ws_port, user=user) as person,
            asking(a, session, person, "one", user=user) as (stream, question),
            asking(a, session, person, "two", user=user) as (other, remaining),
        ):
            if ends:
                assert await said(b, session) == 204
                frames = [await person.frame("question_closed") for _ in range(2)]
                assert {(frame["request_id"], frame["reason"]) for frame in frames} == {
                    (each["request_id"], "cancelled") for each in (question, remaining)
                }
                for each in (stream, other):
                    with pytest.raises(EOFError):
                        await each.result()
            else:
                assert await said(b, session, "one") == 202
                await given_up(stream, person, question)
                assert await person.answer(remaining, "still here") == "accepted"
                assert text_of((await other.result())["result"]) == "still here"


async def open_beside(gateway: Instance, session: str, credential: str) -> str:
    """Open a session of which is told on the same channel: what is said comes in order."""
    while True:
        own = await open_session(gateway.mcp_port, credential=credential)
        if own[0] == session[0]:
            return own
        assert await said(gateway, own, credential=credential) == 204


async def test_nobody_but_its_caller_gives_up_a_call_at_another_gateway(guarded: Guarded) -> None:
    (a, b), owner = guarded.both, guarded.owner
    with trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port, credential=owner)
        async with (
            person_at(b.ws_port, token=guarded.person) as person,
            asking(a, session, person, "x", user="bob", credential=owner) as (kept, question),
        ):
            for thief in (*guarded.thieves, owner):
                if thief != owner:
                    for meant in ("x", ""):
                        assert await said(b, session, meant, credential=thief) == 404
                own = await open_beside(b, session, thief)
                assert await said(b, own, "x", credential=thief) == 202
                assert await said(b, own, credential=thief) == 204
            # When this one is given up, all that was said before it has been heard.
            async with asking(a, session, person, "y", user="bob", credential=owner) as waiting:
                assert await said(b, session, "y", credential=owner) == 202
                await given_up(waiting[0], person, waiting[1])
            assert await person.answer(question, "mine") == "accepted"
            assert text_of((await kept.result())["result"]) == "mine"
