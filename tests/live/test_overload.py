"""Twice what a gateway takes: what is too much is refused before it is accepted (E11).

Nothing that was accepted is lost, whoever is refused is told when to come back, and what
can be done is done: refusing costs next to nothing.
"""

from __future__ import annotations

import statistics
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
# A caller that was refused comes again when others have had so many answers, on whatever machine
# and however busy that is: much sooner than it is told to.
_ANSWERS_BETWEEN = 100


class Outcomes:
    """What callers were told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        #: How many of them were answers.
        self.count = 0
        self._changed = trio.Event()

    @property
    def answered(self) -> list[tuple[str, str]]:
        return [(text, answer) for text, answer in self.told if answer]

    def note(self, text: str, result: dict[str, Any]) -> bool:
        """Note a result; return whether it is an answer."""
        is_answer = "content" in result and not result.get("isError")
        self.told.append((text, text_of(result) if is_answer else ""))
        self.count += is_answer
        self._changed.set()
        self._changed = trio.Event()
        return is_answer

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


async def goodput(gateway: GatewayProcess, callers: int, person: Person) -> float:
    """Return how many questions are answered for a second of the gateway's processor.

    So many callers go on asking. It is the processor's time, as others share the machine.
    """
    before = gateway.cpu_seconds()
    outcomes = Outcomes()

    async def keep_asking(text: str) -> None:
        async with caller_at(gateway.mcp_port) as caller:
            while True:
                if not outcomes.note(text, await caller.call("ask_user", question=text)):
                    again = outcomes.count + _ANSWERS_BETWEEN
                    while outcomes.count < again:  # noqa: ASYNC110 - to wake all for each answer is work
                        await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        await nursery.start(answer_all, person)
        for number in range(callers):
            nursery.start_soon(keep_asking, f"by {number}")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    return len(outcomes.answered) / (gateway.cpu_seconds() - before)


async def test_refusing_as_many_again_leaves_four_fifths_of_the_goodput() -> None:
    flags = ("--memory-pending", "20")
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway, trio.fail_after(_PATIENCE):
        alone, crowded = [], []
        for _ in range(3):
            async with person_at(gateway.ws_port) as person:
                alone.append(await goodput(gateway, 20, person))
            async with person_at(gateway.ws_port) as person:
                crowded.append(await goodput(gateway, 40, person))
        share = statistics.median(crowded) / statistics.median(alone)
        print(f"goodput {alone}, at twice the limit {crowded}: {share:.2f}")
        assert share >= 0.8


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
