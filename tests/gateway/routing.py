"""A router with everything real behind it, and frontends and callers that note what they hear."""

from collections.abc import Mapping
from typing import Any

from gateway.audit import Audit
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.offers import Ask, Notification, Offer, Settings
from gateway.router import Router
from gateway.upkeep import Upkeep
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryBus, MemorySettings, MemoryStore
from session.errors import StoreUnavailableError
from session.model import (
    Outcome,
    Presence,
    Principal,
    Question,
)

AGENT = Principal("acme", "agent")


def fail_loudly(_lane: str, error: Exception) -> None:
    raise error


class Tab:
    """A frontend that notes what it is told."""

    def __init__(
        self, name: str, *, tenant: str = "acme", user: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        self.tenant = tenant
        self.frontend_id = name
        self.user = user
        self.groups = groups
        self.offers: dict[str, Offer] = {}
        self.tools: Mapping[str, str] = {}
        self.attached = False
        self.principal = Principal(tenant, user, credential=f"key:{name}")
        self.presence = Presence(name, f"c-{name}", tenant, user, "", groups, 0.0, "here")
        self.log: list[tuple[str, str]] = []

    def offer(self, offer: Offer) -> None:
        self.log.append(("offer", offer.question.id))

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        self.log.append((reason, offer.question.id))

    def notify(self, notification: Notification) -> None:
        self.log.append(("notify", notification.message))

    def told(self, question: Question) -> list[str]:
        return [what for what, question_id in self.log if question_id == question.id]


class Caller:
    """A waiter that notes the outcomes it hears."""

    def __init__(self, session_id: str = "", *, waits: bool = True) -> None:
        self.outcomes: list[Outcome] = []
        self.principal = AGENT
        self.session_id = session_id
        self.waits = waits

    def settled(self, question: Question, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def put_off(self) -> None:
        raise AssertionError("nothing in memory is put off")

    def cut_off(self) -> None:
        raise AssertionError("nobody's credential ends here")


class Shared:
    """A memory store as if other instances had it, too; some of what it does can fail."""

    shared = True

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        #: The methods that cannot reach it now.
        self.away: set[str] = set()

    def lose_everything(self, **limits: int) -> None:
        """Be empty, as after the worst of failovers."""
        self._store = MemoryStore(MemorySettings(**limits), self._store._clock)

    def __getattr__(self, name: str) -> Any:
        if name not in self.away:
            return getattr(self._store, name)

        async def fail(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("it is away")

        return fail


class World:
    """A router with everything real behind it, and a clock that the test sets."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        shared: bool = False,
        audit: Audit | None = None,
        **limits: float,
    ) -> None:
        self.now = 1_700_000_000.0
        self.store = MemoryStore(MemorySettings(**limits), lambda: self.now)  # type: ignore[arg-type]
        self.served: Any = Shared(self.store) if shared else self.store
        self.hub = Hub()
        self.settled: list[str] = []
        self.router = Router(
            settings or Settings(),
            store=self.served,
            bus=MemoryBus(),
            hub=self.hub,
            ids=Ids(),
            clock=lambda: self.now,
            instance="here",
            on_settled=lambda state, _seconds: self.settled.append(state),
            audit=audit,
        )
        self.upkeep = Upkeep(self.router, Workers(WorkerSettings(), on_failure=fail_loudly))

    async def tab(self, name: str, **more: Any) -> Tab:
        tab = Tab(name, **more)
        await self.router.attach(tab)
        return tab

    async def ask(self, text: str = "Which colour?", **more: Any) -> tuple[Question, Caller]:
        caller = Caller()
        asked = await self.router.ask(AGENT, Ask(text, **more), caller)
        if asked.outcome is not None:
            caller.outcomes.append(asked.outcome)
        return asked.question, caller
