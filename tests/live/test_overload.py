"""Twice what a gateway takes: what is too much is refused before it is accepted (E11).

Nothing that was accepted is lost, whoever is refused is told when to come back, and what
can be done is done: what it costs to refuse is counted in `tests/costs`.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.interop.person import Person, person_at
from tests.live.caller import Caller, caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_PATIENCE = 60
_ROOM = 200


class Outcomes:
    """What callers were told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._changed = trio.Event()

    @property
    def answered(self) -> list[tuple[str, str]]:
        return [(text, answer) for text, answer in self.told if answer]

    def note(self, text: str, result: dict[str, Any]) -> None:
        is_answer = "content" in result and not result.get("isError")
        self.told.append((text, text_of(result) if is_answer else ""))
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, count: int) -> None:
        while len(self.told) < count:
            await self._changed.wait()


async def answer_all(person: Person, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Answer whatever comes with what it asked."""
    task_status.started()
    while True:
        shown = await person.question()
        await person.say(
            type="user_response", request_id=shown["request_id"], answer=shown["question"]
        )


async def ask_once(gateway: GatewayProcess, text: str, outcomes: Outcomes) -> None:
    async with caller_at(gateway.mcp_port) as caller:
        outcomes.note(text, await caller.call("ask_user", question=text))


async def test_with_twice_as_many_questions_as_there_is_room_for_none_accepted_is_lost() -> None:
    flags = ("--memory-pending", str(_ROOM))
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway, trio.fail_after(_PATIENCE):
        outcomes = Outcomes()
        async with trio.open_nursery() as nursery:
            for number in range(2 * _ROOM):
                nursery.start_soon(ask_once, gateway, f"number {number}", outcomes)
            # The refused hear so at once, while the accepted wait for somebody to come.
            await outcomes.wait_for(_ROOM)
            assert outcomes.answered == []
            async with person_at(gateway.ws_port) as person:
                await nursery.start(answer_all, person)
                await outcomes.wait_for(2 * _ROOM)
                nursery.cancel_scope.cancel()
        assert len(outcomes.answered) == _ROOM
        assert all(text == answer for text, answer in outcomes.answered)
        assert counted(gateway, "frontend_router_questions_open") == 0


async def refused(caller: Caller, method: str, params: dict[str, Any]) -> tuple[int, int]:
    """Return the status of a refusal, and in how many seconds to come back."""
    await caller.send(method, params, 9)
    response = await caller.response()
    assert "error" in await response.result()
    return response.status, int(response.headers["retry-after"])


async def test_whoever_is_refused_is_told_when_to_come_back() -> None:
    """Sessions in all, and calls of one; tests of each bound are beside what it bounds."""
    flags = ("--memory-sessions", "3", "--mcp-session-calls", "2")
    introduction = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    question = {"name": "ask_user", "arguments": {"question": "?"}}
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway, trio.fail_after(_PATIENCE):
        session = await open_session(gateway.mcp_port)
        for _ in range(2):
            await open_session(gateway.mcp_port)
        async with caller_at(gateway.mcp_port) as caller:
            assert await refused(caller, "initialize", introduction) == (503, 1)
        async with (
            caller_at(gateway.mcp_port, session=session) as first,
            caller_at(gateway.mcp_port, session=session) as second,
            caller_at(gateway.mcp_port, session=session) as third,
        ):
            for caller in (first, second):
                await caller.send("tools/call", question)
                # Its stream has begun: it is under way.
                assert (await caller.response()).status == 200
            assert await refused(third, "tools/call", question) == (429, 1)
