"""Who looks after a tenant acts on every question of it, at every instance and in either store.

Who does not hears, byte for byte, what they would hear of an id that nobody has (A3).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from tests.live.admission import PATIENCE, frontend_at
from tests.live.caller import WITH_TASKS, Caller, caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.credentials import new_key
from tests.live.process import GatewayProcess, running_gateway
from tests.live.subscribing import ERAS, subscribed

pytestmark = pytest.mark.slow

#: Of each key its tenant, its subject and its scopes.
_KEYS = {
    "agent": ("acme", "agent", "ask"),
    "person": ("acme", "ann", "answer"),
    "admin": ("acme", "boss", "ask", "admin"),
    "colleague": ("acme", "colleague", "ask", "notify", "list", "tools", "answer"),
    "admin without ask": ("acme", "boss", "admin"),
    "admin of another tenant": ("globex", "boss", "ask", "admin"),
    "namesake in another tenant": ("globex", "agent", "ask", "admin"),
}
_STRANGERS = [name for name in _KEYS if name not in ("agent", "person", "admin")]


class Heard(NamedTuple):
    """The whole of a reply but its date, which is another each second."""

    status: int
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def asking(port: int, credential: str, session: str = "") -> AsyncIterator[Caller]:
    """Open a connection on which every reply comes at once and whole."""
    async with caller_at(port, session=session, credential=credential) as caller:
        caller.accept = "application/json"
        yield caller


async def reply_to(caller: Caller, method: str, params: dict[str, Any]) -> Heard:
    await caller.send(method, params)
    response = await caller.response()
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    return Heard(response.status, headers, await response.body())


def ways(question_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return how a question that somebody asked can be acted on, but for its end."""
    arguments = {"question_id": question_id}
    return [
        ("tools/call", {"name": "collect_answer", "arguments": arguments}),
        ("tools/call", {"name": "collect_answer", "arguments": {**arguments, "wait_seconds": 0.1}}),
        ("resources/read", {"uri": f"question://{question_id}"}),
    ]


def ends(question_id: str) -> list[tuple[str, dict[str, Any]]]:
    call = {"name": "cancel_question", "arguments": {"question_id": question_id}}
    return [("tools/call", call)]


def of_its_task(question_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what only the asker may do, whoever else may act on the question."""
    task = {"taskId": f"question-{question_id}", **WITH_TASKS}
    return [
        ("tasks/get", task),
        ("tasks/update", {**task, "inputResponses": {}}),
        ("tasks/cancel", task),
    ]


async def heard_of(port: int, key: str, question_id: str, session: str) -> list[Heard]:
    """Try everything with a question; return what is heard, without its id."""
    heard = []
    async with asking(port, key) as modern, asking(port, key, session) as old:
        for method, params in (*ways(question_id), *ends(question_id), *of_its_task(question_id)):
            heard.append(await reply_to(modern, method, params))
        for method, params in (*ways(question_id), *ends(question_id)):
            heard.append(await reply_to(old, method, params))
        watched = {"uri": f"question://{question_id}"}
        heard.append(await reply_to(old, "resources/subscribe", watched))
    return [without(question_id, each) for each in heard]


def without(question_id: str, heard: Heard) -> Heard:
    return heard._replace(body=heard.body.replace(question_id.encode(), b"(id)"))


async def is_told_of(port: int, key: str, question_id: str) -> list[str]:
    """Return which resources a listener hears of that asks for this question."""
    async with caller_at(port, credential=key) as caller:
        uri = f"question://{question_id}"
        wanted = {"notifications": {"resourceSubscriptions": [uri]}}
        await caller.send("subscriptions/listen", wanted)
        _, acknowledged = await (await caller.response()).event()
        assert acknowledged is not None
        watched: list[str] = acknowledged["params"]["notifications"]["resourceSubscriptions"]
        return watched


async def check_that_strangers_find_nothing(
    port: int, keys: dict[str, str], question_id: str
) -> None:
    nothing = uuid.uuid4().hex
    for name in _STRANGERS:
        session = await open_session(port, credential=keys[name])
        unknown = await heard_of(port, keys[name], nothing, session)
        assert await heard_of(port, keys[name], question_id, session) == unknown, name
        assert not [each.body for each in unknown if b"Mine?" in each.body]
        assert await is_told_of(port, keys[name], question_id) == [], name
    # Nor does an admin of what is the asker's besides the question.
    async with asking(port, keys["admin"]) as caller:
        both = zip(of_its_task(question_id), of_its_task(nothing), strict=True)
        for (method, params), (_, of_nothing) in both:
            foreign = await reply_to(caller, method, params)
            unknown_task = await reply_to(caller, method, of_nothing)
            assert without(question_id, foreign) == without(nothing, unknown_task), method
            assert b'"error"' in foreign.body


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_an_admin_acts_on_every_question_of_its_tenant_and_of_no_other(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_shared = store == "redis"
    where = request.getfixturevalue("redis_url") if is_shared else str(tmp_path / "keys.json")
    keys = {name: new_key(where, *key) for name, key in _KEYS.items()}
    flags = ("--store", where, "--auth-keys", "store") if is_shared else ("--auth-keys", where)
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(running_gateway(*LEAVE_AT_ONCE, "--audit-to", "log", *flags))
            for _ in range(1 + is_shared)
        ]
        here, there = running[0], running[-1]
        with trio.fail_after(PATIENCE):
            cancelled = await check_an_admin(here, there, keys)
    # What ended is written by who ended it: the record of a gateway that left is whole.
    entries = [each for each in there.events if each.get("question") == cancelled]
    assert [
        (each["tenant"], each["subject"], each["credential"])
        for each in entries
        if each["kind"] == "cancelled"
    ] == [("acme", "boss", "key:" + keys["admin"].split("_")[1])]


async def check_an_admin(here: GatewayProcess, there: GatewayProcess, keys: dict[str, str]) -> str:
    """Ask at one gateway and look after it at another; return the question that was cancelled."""
    port = there.mcp_port
    async with (
        frontend_at(here.ws_port, keys["person"]) as person,
        caller_at(here.mcp_port, credential=keys["agent"]) as agent,
        caller_at(here.mcp_port, credential=keys["agent"]) as waiting,
        caller_at(port, credential=keys["admin"]) as admin,
        caller_at(port, credential=keys["admin"]) as patient,
        contextlib.AsyncExitStack() as stack,
    ):
        await agent.call("ask_user", question="Mine?", wait="return")
        await waiting.send("tools/call", {"name": "ask_user", "arguments": {"question": "Mine?"}})
        shown = [await person.question(), await person.question()]
        question_ids: list[str] = [each["request_id"] for each in shown]
        for question_id in question_ids:
            await check_that_strangers_find_nothing(port, keys, question_id)

        answered, cancelled = question_ids
        for method, params in ways(answered):
            async with asking(port, keys["admin"]) as caller:
                assert b"open" in (await reply_to(caller, method, params)).body
        watching = [
            await stack.enter_async_context(
                subscribed(port, f"question://{answered}", era, credential=keys["admin"])
            )
            for era in ERAS
        ]
        arguments = {"question_id": answered, "wait_seconds": 60}
        await patient.send("tools/call", {"name": "collect_answer", "arguments": arguments})
        # The stream has begun, so that it waits.
        response = await patient.response()
        assert await person.answer(shown[0], "mine") == "accepted"
        assert text_of((await response.result())["result"]) == "mine"
        for each in watching:
            assert await each.update() == f"question://{answered}"
        assert text_of(await admin.call("collect_answer", question_id=answered)) == "mine"

        taken = await admin.call("cancel_question", question_id=cancelled, reason="a flood")
        assert taken["structuredContent"]["state"] == "cancelled"
        assert await person.answer(shown[1], "too late") == "too_late"
        result = (await (await waiting.response()).result())["result"]
        assert text_of(result) == "The question was cancelled: a flood."
        ended = result["structuredContent"]["history"][-1]
        assert (ended["event"], ended["by"]) == ("cancelled", "boss")
        for question_id in question_ids:
            await check_that_strangers_find_nothing(port, keys, question_id)
    return cancelled
