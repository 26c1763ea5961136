"""Sessions belong to who opened them; most of it is shown in `test_endpoint`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ids import Ids
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.revisions.handshake import Introduction
from gateway.mcp.sessions import Sessions
from session import MemorySettings, MemoryStore
from session.model import McpSession, Principal

ANN = Principal("acme", "ann")
WORDS: dict[str, Any] = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"sampling": {}},
    "clientInfo": {"name": "tester"},
}


async def _open(limit: int = 4) -> tuple[Sessions, MemoryStore, McpSession]:
    store = MemoryStore(MemorySettings(), lambda: 100.0)
    sessions = Sessions(store, Ids(), lambda: 100.0, limit)
    return sessions, store, await sessions.open(ANN, Introduction(WORDS))


async def test_a_session_keeps_what_its_caller_said() -> None:
    sessions, _, session = await _open()
    found = await sessions.find(session.id, ANN)
    assert (found.tenant, found.subject, found.revision) == ("acme", "ann", "2025-06-18")
    assert (found.client_name, found.capabilities) == ("tester", {"sampling": {}})
    assert found.created_at == 100.0
    assert all("\x21" <= letter <= "\x7e" for letter in found.id)


@pytest.mark.parametrize(
    ("principal", "session_id", "status"),
    [
        (Principal("acme", "bob"), None, 404),
        (Principal("other", "ann"), None, 404),
        (ANN, "f" * 32, 404),
        (ANN, "", 404),
    ],
)
async def test_unknown_and_foreign_sessions_look_the_same(
    principal: Principal, session_id: str | None, status: int
) -> None:
    sessions, _, session = await _open()
    with pytest.raises(RpcError) as caught:
        await sessions.find(session.id if session_id is None else session_id, principal)
    assert caught.value.status == status


async def test_an_ended_session_is_unknown() -> None:
    sessions, store, session = await _open()
    await sessions.end(session)
    with pytest.raises(RpcError):
        await sessions.find(session.id, ANN)
    assert store.statistics().sessions == 0


async def test_the_oldest_streams_are_forgotten_first() -> None:
    sessions, _, session = await _open(limit=2)
    for number in range(4):
        await sessions.remember(session, f"stream-{number}", f"question-{number}", number)
    found = await sessions.find(session.id, ANN)
    assert found.streams == {"stream-2": ("question-2", 2), "stream-3": ("question-3", 3)}
