"""A frontends' port with everything real behind it, except sockets and time."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from functools import partial
from typing import Any

from websockets.frames import Frame, Opcode

from gateway.frontends.endpoint import FrontendsEndpoint, Settings
from gateway.frontends.socket import FrontendSocket
from gateway.frontends.static import StaticFiles
from gateway.frontends.strange import NOTHING_AGREED, Agreed
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.large import Large
from gateway.large import Settings as LargeSettings
from gateway.metrics import Metrics
from gateway.offers import Ask
from gateway.offers import Settings as RouterSettings
from gateway.quotas.allowances import Allowances
from gateway.quotas.roster import Roster
from gateway.quotas.settings import Quota
from gateway.router import Router
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryBus, MemoryQuotas, MemorySettings, MemoryStore, Quotas
from session.model import SCOPES, Draft, Outcome, Principal, Question
from tests.wire import Clock, Wire

AGENT = Principal("default", "agent", scopes=SCOPES)


def frame(
    payload: bytes | dict[str, Any], opcode: Opcode = Opcode.TEXT, *, fin: bool = True
) -> bytes:
    """Return a client's frame."""
    data = json.dumps(payload).encode() if isinstance(payload, dict) else payload
    return Frame(opcode, data, fin=fin).serialize(mask=True)


class Tab:
    """One frontend: what it says, and what it was told."""

    def __init__(self, world: World, agreed: Agreed = NOTHING_AGREED) -> None:
        self.wire = Wire()
        self.socket: FrontendSocket = self.wire.speak(partial(world.endpoint.open, AGENT, agreed))

    def say(self, *messages: dict[str, Any]) -> None:
        self.socket.data_received(b"".join(map(frame, messages)))

    def send(self, data: bytes) -> None:
        self.socket.data_received(data)

    def frames(self) -> list[tuple[int, bytes]]:
        """Return opcode and payload of every frame since the last call."""
        found = []
        data = self.wire.taken()
        while data:
            length, start = data[1], 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(data[2:10], "big"), 10
            found.append((data[0] & 15, data[start : start + length]))
            data = data[start + length :]
        return found

    def heard(self) -> list[dict[str, Any]]:
        """Return the messages since the last call."""
        return [json.loads(payload) for opcode, payload in self.frames() if opcode == 1]

    def close_code(self) -> int | None:
        """Return the code of the close frame that was sent last, if any."""
        codes = [
            int.from_bytes(payload[:2], "big") for opcode, payload in self.frames() if opcode == 8
        ]
        return codes[-1] if codes else None


class SlowDrafts:
    """The memory store, where what somebody has typed is found when the test says so."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.asked: list[Promise[list[Draft]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def drafts(self, *_: object) -> list[Draft]:
        promise: Promise[list[Draft]] = Promise()
        self.asked.append(promise)
        return await promise


class World:
    """The port, its router and its time."""

    def __init__(
        self,
        workers: WorkerSettings | None = None,
        quotas: Quota | None = None,
        store: Quotas | None = None,
        **settings: float,
    ) -> None:
        self.clock = Clock()
        self.failures: list[BaseException] = []
        self.hub = Hub()
        self.store = MemoryStore(MemorySettings(), self.clock.timers.now)
        self.router = Router(
            RouterSettings(),
            store=self.store,
            bus=MemoryBus(),
            hub=self.hub,
            ids=Ids(),
            clock=self.clock.timers.now,
            instance="here",
        )
        self.metrics = Metrics()
        self.workers = Workers(
            workers or WorkerSettings(), on_failure=lambda _lane, error: self.failures.append(error)
        )
        self.large = Large(LargeSettings(), lambda _lane, error: self.failures.append(error))
        #: What frontends may use, if that is limited.
        self.quotas: Allowances | None = None
        self.refused: list[str] = []
        if quotas is not None:
            self.quotas = Allowances(
                store or MemoryQuotas(self.clock.timers.now, lambda _session: False),
                workers=self.workers,
                now=self.clock.timers.now,
                refused=lambda quota, _principal: self.refused.append(quota),
                roster=Roster(shared=store is not None),
            )
            self.quotas.roster.follow(quotas, {})
        self.endpoint = FrontendsEndpoint(
            Settings(**settings),  # type: ignore[arg-type]
            router=self.router,
            workers=self.workers,
            timers=self.clock.timers,
            ids=Ids(),
            static=StaticFiles({"index.html": b"<p>", "a.js": b"1"}),
            health=lambda path, _id: (200, b"{}", ()) if path == "/health" else None,
            config={"version": "1"},
            instance="here",
            version="1",
            metrics=self.metrics,
            large=self.large,
            quotas=self.quotas,
        )

    def tab(self, **connect: Any) -> Tab:
        """Open a frontend that has said who it is; what it heard so far is forgotten."""
        tab = Tab(self)
        tab.say({"type": "connect", **connect})
        tab.wire.taken()
        return tab

    def ask(self, text: str = "Which?", **more: Any) -> tuple[Question, list[Outcome]]:
        """Ask; return the question and where its outcome will be."""
        outcomes: list[Outcome] = []

        class Waiter:
            def settled(self, _question: Question, outcome: Outcome) -> None:
                outcomes.append(outcome)

            principal = AGENT
            session_id = ""
            waits = True

            def put_off(self) -> None:
                """Nothing in memory is."""

            def cut_off(self) -> None:
                """Nobody's credential ends here."""

        asked = now(self.router.ask(AGENT, Ask(text, **more), Waiter()))
        question: Question = asked.question
        return question, outcomes


def now(step: Coroutine[Any, Any, Any]) -> Any:
    """Run a step that does not wait."""
    try:
        step.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the step waited")
