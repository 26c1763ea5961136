"""Instances that share a Redis, in this process: the one place where tests open them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final, Protocol

import trio

from gateway.ids import Ids
from pool.connection import Callback
from pool.connection_settings import Settings as ConnectionSettings
from pool.connections import Connections
from pool.timers import Timers
from session import RedisSettings, parse_store_address
from session.model import Audience, Outcome, Question
from session.redis.client import RedisClient
from session.redis.store import RedisStore
from session.steps import Stepper, at_once
from session.store import Listed

Translate = Callable[[tuple[str, int]], tuple[str, int]]

#: Nobody waits this long when all is well.
PATIENCE: Final = 60.0
#: Quick to notice what is gone.
QUICK: Final = RedisSettings(lease_seconds=1.0, refresh_seconds=1.0)
_names = itertools.count(1)
_LOOK_SECONDS: Final = 0.01


@dataclasses.dataclass
class Heard:
    """A `session.bus.BusReceiver` that remembers what it heard."""

    opened: list[str] = dataclasses.field(default_factory=list)
    given: list[Question] = dataclasses.field(default_factory=list)
    settled: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    told: list[tuple[str, Audience, bytes]] = dataclasses.field(default_factory=list)
    missing: list[Callable[[str], bool]] = dataclasses.field(default_factory=list)
    tools: list[str] = dataclasses.field(default_factory=list)
    progress: list[tuple[str, str, bytes]] = dataclasses.field(default_factory=list)
    present: list[str] = dataclasses.field(default_factory=list)
    responses: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    sessions: list[str] = dataclasses.field(default_factory=list)
    cancellations: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    times_forgotten: int = 0

    def question_opened(self, listed: Listed) -> None:
        self.opened.append(listed.id)

    def question_given(self, question: Question) -> None:
        self.given.append(question)

    def question_settled(self, tenant: str, question_id: str, outcome: Outcome | None) -> None:
        self.settled.append((tenant, question_id))

    def notified(self, tenant: str, audience: Audience, notification: bytes) -> None:
        self.told.append((tenant, audience, notification))

    def tools_changed(self, tenant: str) -> None:
        self.tools.append(tenant)

    def presence_changed(self, tenant: str) -> None:
        self.present.append(tenant)

    def responded(self, inquiry_id: str, response: bytes) -> None:
        self.responses.append((inquiry_id, response))

    def session_changed(self, session_id: str) -> None:
        self.sessions.append(session_id)

    def cancelled(self, session_id: str, cancellation: bytes) -> None:
        self.cancellations.append((session_id, cancellation))

    def progressed(self, tenant: str, call_id: str, progress: bytes) -> None:
        self.progress.append((tenant, call_id, progress))

    def missed(self, concerns: Callable[[str], bool]) -> None:
        self.missing.append(concerns)

    def forgotten(self) -> None:
        self.times_forgotten += 1


@dataclasses.dataclass(frozen=True)
class Instance:
    """One of those that share a Redis."""

    name: str
    store: RedisStore
    client: RedisClient
    heard: Heard

    async def sweep(self) -> list[Any]:
        return list(await self.store.sweep(0.0, 500))

    async def settle_in(self) -> None:
        """Sweep until everything is heard, and forget what was heard so far."""
        await until(lambda: self.is_current, self.sweep)
        heard = self.heard
        for each in (heard.opened, heard.given, heard.settled, heard.told, heard.missing):
            each.clear()
        heard.times_forgotten = 0

    def lose_invalidations(self) -> None:
        """Hear nothing of what Redis says of keys that were read."""
        self.client.on_invalidated = lambda _key: None

    @property
    def is_current(self) -> bool:
        """Whether it hears everything, and has read what it did not."""
        return self.store._inboxes.is_current


class Open(Protocol):
    """Opens instances that end with the test."""

    async def __call__(
        self,
        settings: RedisSettings = QUICK,
        *,
        url: str | None = None,
        translate: Translate = lambda host: host,
        stepper: Stepper = at_once,
        now: Callable[[], float] = trio.current_time,
    ) -> Instance: ...


async def until(holds: Callable[[], bool], step: Callable[[], Any] | None = None) -> None:
    """Return when something holds, which others bring about; ``step`` is done meanwhile."""
    with trio.fail_after(PATIENCE):
        while not holds():
            if step is not None:
                await step()
            await trio.sleep(_LOOK_SECONDS)


@contextlib.asynccontextmanager
async def instances(url: str) -> AsyncIterator[Open]:
    """Give a function that opens instances on the Redis at ``url``."""
    async with trio.open_nursery() as nursery:
        yield partial(_open, nursery, url)
        nursery.cancel_scope.cancel()


async def _open(
    nursery: trio.Nursery,
    usual_url: str,
    settings: RedisSettings = QUICK,
    *,
    url: str | None = None,
    translate: Translate = lambda host: host,
    stepper: Stepper = at_once,
    now: Callable[[], float] = trio.current_time,
) -> Instance:
    name = f"instance-{next(_names)}"
    timers: Timers[Callback] = Timers(trio.current_time())
    connections = Connections(ConnectionSettings(), timers, _failed)
    client = RedisClient(
        parse_store_address(url or usual_url),
        settings,
        connections=connections,
        timers=timers,
        name=name,
        translate=translate,
    )
    store = RedisStore(
        client,
        settings,
        instance=name,
        new_id=Ids().new,
        now=now,
        stepper=stepper,
    )
    heard = Heard()
    store.subscribe(heard)
    with trio.fail_after(PATIENCE):
        await nursery.start(connections.run)
        await nursery.start(client.run)
    return Instance(name, store, client, heard)


def _failed(_connection: object, error: Exception) -> None:
    raise error
