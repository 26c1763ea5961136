"""A light and steady load whose clients do not give up, and note what they are told.

Agents ask under a key until there is an answer, people send their answers until they are
acknowledged, each at whichever gateway takes them. All people answer all questions, so
that every question is a race between gateways.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

from tests.cluster.history import Answer, Ask, History, Status
from tests.live.caller import caller_at, text_of

_THINKING_SECONDS: Final = 0.03
_PAUSE_SECONDS: Final = 0.1
# A gateway that says nothing for so long is left for another.
_PATIENCE_SECONDS: Final = 4.0
_LEAVING_SECONDS: Final = 0.5
_CALL_SECONDS: Final = 8.0
_END_SECONDS: Final = 45.0
_PLACES: Final = 16
_numbers = itertools.count(1)


class Place(Protocol):
    """A gateway, or what stands in front of some."""

    @property
    def ws_port(self) -> int: ...
    @property
    def mcp_port(self) -> int: ...
    @property
    def was_killed(self) -> bool: ...


class Load:
    """Agents and people at a few gateways."""

    def __init__(
        self,
        instances: Sequence[Place],
        seats: Sequence[Place],
        *,
        agents: int,
        people: int,
        delivery: str,
        call_seconds: float,
    ) -> None:
        self.history = History()
        #: What agents were told while there was no answer, and the status of such responses.
        self.refusals: list[str] = []
        #: How many connections of people ended without their doing.
        self.reconnects = 0
        self._instances = instances
        self._name = f"load{next(_numbers)}"
        self._agents, self._people, self._delivery = agents, people, delivery
        self._call_seconds = call_seconds
        self._seats = seats
        self._stopping = trio.Event()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Ask and answer until stopped, and then until nothing is left to be told."""
        async with trio.open_nursery() as people:
            for index in range(self._people):
                people.start_soon(self._person, f"{self._name}-person{index}", index)
            async with trio.open_nursery() as agents:
                for index in range(self._agents):
                    agents.start_soon(self._agent, f"{self._name}-agent{index}", index)
            with trio.move_on_after(_END_SECONDS):
                while self._pending():
                    await self._changed.wait()
            people.cancel_scope.cancel()

    def stop(self) -> None:
        """Have nothing new asked."""
        self._stopping.set()

    async def answered(self, count: int) -> None:
        """Return once so many more asks have their answers."""
        since = trio.current_time()
        while sum(ask.ended_at >= since for ask in self._ended()) < count:
            await self._changed.wait()

    async def works_everywhere(self) -> float:
        """Return how long it took until questions of all places are asked and answered again."""
        since = trio.current_time()
        while True:
            places = {ask.question_id[0] for ask in self._ended() if ask.invoked_at >= since}
            if len(places) == _PLACES:
                return trio.current_time() - since
            await self._changed.wait()

    def _ended(self) -> list[Ask]:
        return [ask for ask in self.history.asks if ask.status is Status.OK]

    def _pending(self) -> bool:
        return any(each.status is Status.INVOKED for each in self.history.answers.values())

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _alive(self, turn: int, rather: Sequence[Place] = ()) -> Place:
        alive = [each for each in rather or self._instances if not each.was_killed]
        return alive[turn % len(alive)] if alive else self._alive(turn)

    # -- agents

    async def _agent(self, name: str, turn: int) -> None:
        for number in itertools.count(1):
            if self._stopping.is_set():
                return
            ask = self.history.ask(f"{name}-{number}", trio.current_time())
            with trio.move_on_after(_END_SECONDS):
                while ask.status is Status.INVOKED:
                    turn += 1
                    await self._try(ask, self._alive(turn))
            if ask.status is Status.INVOKED:
                ask.status = Status.UNKNOWN
            self._tell()
            await trio.sleep(_THINKING_SECONDS)

    async def _try(self, ask: Ask, instance: Place) -> None:
        try:
            with trio.move_on_after(self._call_seconds):
                async with caller_at(instance.mcp_port) as caller:
                    result = await caller.call(
                        "ask_user",
                        question=ask.token,
                        idempotency_key=ask.token,
                        audience={"kind": "group", "name": self._name},
                        timeout_seconds=120,
                        delivery=self._delivery,
                    )
                self._hear(ask, result)
        except (OSError, EOFError, trio.BrokenResourceError) as error:
            self.refusals.append(type(error).__name__)
        if ask.status is Status.INVOKED:
            await trio.sleep(_PAUSE_SECONDS)

    def _hear(self, ask: Ask, result: dict[str, Any]) -> None:
        state = result.get("structuredContent", {})
        if state.get("state") == "answered":
            ask.question_id, ask.value = state["question_id"], text_of(result)
            ask.ended_at = trio.current_time()
            ask.status = Status.OK
        elif state.get("state") in {None, "open"}:
            # Put off, or refused: it says why.
            self.refusals.append(result.get("message") or text_of(result))
        else:
            ask.status = Status.FAILED

    # -- people

    async def _person(self, name: str, turn: int) -> None:
        while True:
            instance = self._alive(turn, self._seats)
            turn += 1
            try:
                async with open_websocket_url(
                    f"ws://127.0.0.1:{instance.ws_port}/ws",
                    connect_timeout=_PATIENCE_SECONDS,
                    disconnect_timeout=_LEAVING_SECONDS,
                ) as connection:
                    await self._sit(connection, name)
            except (OSError, ConnectionClosed, HandshakeError, trio.TooSlowError):
                pass
            self.reconnects += 1
            await trio.sleep(_PAUSE_SECONDS)

    async def _sit(self, connection: WebSocketConnection, name: str) -> None:
        mine = [each for each in self.history.answers.values() if each.by == name]
        pending = {each.question_id: each for each in mine if each.status is Status.INVOKED}
        await _say(connection, type="connect", frontend_id=name, groups=[self._name])
        for answer in list(pending.values()):
            await _send(connection, answer)
        while True:
            with trio.fail_after(_PATIENCE_SECONDS):
                frame = json.loads(await connection.get_message())
            question_id = frame.get("request_id", "")
            if frame["type"] == "ask_user":
                answer = self.history.answer(question_id, frame["question"], name)
                if answer.status is Status.INVOKED:
                    pending[question_id] = answer
                    await _send(connection, answer)
            elif frame["type"] == "response_ack" and question_id in pending:
                _acknowledged(pending.pop(question_id), frame)
                self._tell()
            elif frame["type"] == "error" and question_id in pending:
                assert frame["retryable"], frame
                await trio.sleep(_PAUSE_SECONDS)
                await _send(connection, pending[question_id])


def _acknowledged(answer: Answer, frame: dict[str, Any]) -> None:
    mine = frame.get("by", {}).get("frontend_id") == answer.by
    answer.status = Status.OK if frame["status"] == "accepted" or mine else Status.FAILED


async def _send(connection: WebSocketConnection, answer: Answer) -> None:
    await _say(connection, type="user_response", request_id=answer.question_id, answer=answer.value)


async def _say(connection: WebSocketConnection, **frame: Any) -> None:
    await connection.send_message(json.dumps(frame))


@asynccontextmanager
async def under_load(
    instances: Sequence[Place],
    *,
    agents: int = 4,
    people: int = 3,
    delivery: str = "all",
    call_seconds: float = _CALL_SECONDS,
    seats: Sequence[Place] = (),
) -> AsyncIterator[Load]:
    """Have gateways asked and answered, well before and until the end of this.

    ``seats``: where people sit while one of these is alive; elsewhere nobody is asked.
    """
    load = Load(
        instances,
        seats,
        agents=agents,
        people=people,
        delivery=delivery,
        call_seconds=call_seconds,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        await load.answered(20)
        yield load
        load.stop()
