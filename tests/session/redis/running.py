"""A client that runs, on sockets that are served, and what went wrong with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import trio

from pool.connection_settings import Settings as ConnectionSettings
from pool.connections import Connections
from pool.timers import Timers
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session.errors import StoreUnusableError
from session.redis.address import Place, parse_address
from session.redis.client import RedisClient
from session.redis.settings import Settings
from session.redis.topology import key_slot

Step = Callable[[], Coroutine[Any, Any, None]]


class Running:
    """A client that has started, and who serves it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.failures: list[Exception] = []
        self.timers: Timers[Callable[[], None]] = Timers(trio.current_time())
        self.connections = Connections(
            ConnectionSettings(), self.timers, lambda _, error: self.failures.append(error)
        )
        self.workers = Workers(
            WorkerSettings(), on_failure=lambda _, error: self.failures.append(error)
        )
        self.client: RedisClient

    async def open(self, url: str, more: dict[str, Any]) -> RedisClient:
        """Start one more client."""
        options = {key: more.pop(key) for key in ("translate", "random") if key in more}
        client = RedisClient(
            parse_address(url),
            Settings(**more),
            connections=self.connections,
            timers=self.timers,
            name="test",
            **options,
        )
        await self.nursery.start(client.run)
        return client

    async def command(self, key: str | bytes, *words: Any, **options: Any) -> Any:
        """Do a command on the node of a key, and return its reply."""
        raw = key.encode() if isinstance(key, str) else key
        return await self.client.execute(*words, slot=key_slot(raw), **options)

    async def get(self, key: str) -> Any:
        return await self.command(key, "GET", key)

    async def set(self, key: str, value: Any) -> Any:
        return await self.command(key, "SET", key, value)


@asynccontextmanager
async def running_client(url: str, **more: Any) -> AsyncIterator[Running]:
    """Run a client of what is at ``url``; ``more`` are its settings and options."""
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            running = Running(nursery)
            await nursery.start(running.connections.run)
            await nursery.start(running.workers.run)
            running.client = await running.open(url, more)
            yield running
            nursery.cancel_scope.cancel()
    assert running.failures == []
    assert running.connections.statistics().ours == 0


async def why_unusable(url: str, **more: Any) -> str:
    """Start a client of what cannot be used, and return what it says."""
    said = ""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            running = Running(nursery)
            await nursery.start(running.connections.run)
            try:
                await running.open(url, more)
            except StoreUnusableError as error:
                said = str(error)
            nursery.cancel_scope.cancel()
    assert running.failures == []
    return said


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when something holds, which others bring about."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - others know nothing of us
            await trio.sleep(0.01)


class Ear:
    """Notes what it hears of a channel."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.changed = trio.Event()

    def _note(self, what: Any) -> None:
        self.log.append(what)
        self.changed.set()
        self.changed = trio.Event()

    def message(self, channel: bytes, payload: bytes) -> None:
        self._note(payload)

    def subscribed(self, channel: bytes) -> None:
        self._note("subscribed")

    def unsubscribed(self, channel: bytes) -> None:
        self._note("unsubscribed")

    async def wait_for(self, *log: Any, seconds: float = 60.0) -> None:
        """Return when the log ends so."""
        with trio.fail_after(seconds):
            while self.log[-len(log) :] != list(log):
                await self.changed.wait()


Translate = Callable[[Place], Place]
Reply = Awaitable[Any]
