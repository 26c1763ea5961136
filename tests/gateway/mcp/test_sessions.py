"""Sessions belong to who opened them; most of it is shown in `test_endpoint`."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import trio
import trio.testing

from gateway.ids import Ids
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.revisions.handshake import Introduction
from gateway.mcp.sessions import Sessions, owned
from pool.connection import Callback
from pool.timers import Timers
from session import MemorySettings, MemoryStore
from session.model import SCOPES, McpSession, Principal

ANN = Principal("acme", "ann", scopes=SCOPES)
WORDS: dict[str, Any] = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"sampling": {}},
    "clientInfo": {"name": "tester"},
}


async def _open(
    limit: int = 4, timers: Timers[Callback] | None = None
) -> tuple[Sessions, MemoryStore, McpSession]:
    store = MemoryStore(MemorySettings(), lambda: 100.0)
    sessions = Sessions(
        store, Ids(), lambda: 100.0, Timers(0.0) if timers is None else timers, limit
    )
    return sessions, store, await sessions.open(ANN, Introduction(WORDS))


async def test_a_session_keeps_what_its_caller_said() -> None:
    sessions, _, session = await _open()
    found = owned(await sessions.find(session.id), ANN)
    assert (found.tenant, found.subject, found.revision) == ("acme", "ann", "2025-06-18")
    assert (found.client_name, found.capabilities) == ("tester", {"sampling": {}})
    assert found.created_at == 100.0
    assert uuid.UUID(found.id).version == 4
    assert str(uuid.UUID(found.id)) == found.id


@pytest.mark.parametrize(
    ("principal", "session_id", "status"),
    [
        (Principal("acme", "bob", scopes=SCOPES), None, 404),
        (Principal("other", "ann", scopes=SCOPES), None, 404),
        (ANN, "f" * 32, 404),
        (ANN, "", 404),
    ],
)
async def test_unknown_and_foreign_sessions_look_the_same(
    principal: Principal, session_id: str | None, status: int
) -> None:
    sessions, _, session = await _open()
    with pytest.raises(RpcError) as caught:
        owned(await sessions.find(session.id if session_id is None else session_id), principal)
    assert caught.value.status == status


async def test_an_ended_session_is_unknown() -> None:
    sessions, store, session = await _open()
    await sessions.end(session)
    with pytest.raises(RpcError):
        owned(await sessions.find(session.id), ANN)
    assert store.statistics().sessions == 0


async def test_the_oldest_streams_are_forgotten_first() -> None:
    sessions, store, session = await _open(limit=2)
    for number in range(4):
        await sessions.remember(session, f"stream-{number}", f"question-{number}", number)
    found = [await store.find_stream(session.id, f"stream-{number}") for number in range(4)]
    assert found == [None, None, ("question-2", 2), ("question-3", 3)]


@pytest.mark.parametrize("noted_at", [0, 10, 19, None])
async def test_a_stream_that_is_not_known_is_waited_for_a_little(noted_at: int | None) -> None:
    """Who resumes it may be faster than who notes what it waits for; others hear so soon."""
    timers: Timers[Callback] = Timers(0.0)
    sessions, _, session = await _open(timers=timers)
    if noted_at == 0:
        await sessions.remember(session, "stream", "question", 7)
    found: list[tuple[str, str | int] | None] = []

    async def resume() -> None:
        found.append(await sessions.waited_for(session, "stream"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(resume)
        await trio.testing.wait_all_tasks_blocked()
        assert bool(found) == (noted_at == 0)
        for tick in range(1, 30):
            if noted_at == tick:
                await sessions.remember(session, "stream", "question", 7)
            for callback in timers.due(tick * 0.05):
                callback()
            await trio.testing.wait_all_tasks_blocked()
    assert found == [None if noted_at is None else ("question", 7)]
