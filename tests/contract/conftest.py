"""The stores that the contract suite is run against."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from gateway.clock import WallClock
from haproxy.redis_cluster import RedisCluster
from session import (
    Credentials,
    MemoryCredentials,
    MemoryReceipts,
    MemorySettings,
    MemoryStore,
    MemoryTools,
    Receipts,
    RedisSettings,
    Store,
    Tools,
)
from session.redis.credentials import RedisCredentials
from session.redis.receipts import RedisReceipts
from tests.contract.permissions import permitted
from tests.session.redis.instances import QUICK, instances


class Time:
    """The clock of a store, in seconds since the epoch: the test's own, or Redis's."""

    def __init__(self, *, is_real: bool = False) -> None:
        self.now = 1_700_000_000.0
        self._wall = WallClock().now if is_real else None

    def __call__(self) -> float:
        return self.now if self._wall is None else self._wall()

    async def later(self, seconds: float) -> None:
        """Go on when so much time has passed; nothing but time brings a deadline about."""
        if self._wall is None:
            self.now += seconds
        else:
            await trio.sleep(seconds)


OpenStore = Callable[..., Awaitable[Store]]
OpenCredentials = Callable[[], Awaitable[Credentials]]
OpenReceipts = Callable[[], Awaitable[Receipts]]
OpenTools = Callable[[], Awaitable[tuple[str, Tools]]]


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_url", marks=pytest.mark.slow),
        pytest.param("redis_cluster", marks=pytest.mark.slow),
    ]
)
def store_url(request: pytest.FixtureRequest) -> str:
    """Where the store is: memory, one Redis or a cluster, with nothing in it.

    On a Redis we are the user that the documentation has operators make.
    """
    if request.param == "memory":
        return "memory"
    server = request.getfixturevalue(request.param)
    if isinstance(server, RedisCluster):
        return permitted(server.url, server.nodes)
    return permitted(server, [request.getfixturevalue("redis_node")])


@pytest.fixture
def time(store_url: str) -> Time:
    return Time(is_real=store_url != "memory")


@pytest.fixture
async def open_store(store_url: str, time: Time) -> AsyncIterator[OpenStore]:
    """Give a function that makes a store with the given limits; on a Redis they share it."""
    if store_url == "memory":

        async def in_memory(**limits: float) -> Store:
            return MemoryStore(MemorySettings(**limits), time)  # type: ignore[arg-type]

        yield in_memory
        return
    async with instances(store_url) as open_instance:

        async def in_redis(**limits: float) -> Store:
            settings = dataclasses.replace(QUICK, **limits)  # type: ignore[arg-type]
            return (await open_instance(settings)).store

        yield in_redis


@pytest.fixture
async def open_credentials(store_url: str, time: Time) -> AsyncIterator[OpenCredentials]:
    """Give a function that returns an instance's credentials; all instances share them."""
    if store_url == "memory":
        alone = MemoryCredentials(time)

        async def in_memory() -> Credentials:
            return alone

        yield in_memory
        return
    async with instances(store_url) as open_instance:

        async def in_redis() -> Credentials:
            return RedisCredentials((await open_instance()).client)

        yield in_redis


@pytest.fixture
async def open_receipts(store_url: str, time: Time) -> AsyncIterator[OpenReceipts]:
    """Give a function that returns what an instance knows of signatures; all share it."""
    if store_url == "memory":
        alone = MemoryReceipts(time)

        async def in_memory() -> Receipts:
            return alone

        yield in_memory
        return
    async with instances(store_url) as open_instance:

        async def in_redis() -> Receipts:
            return RedisReceipts((await open_instance()).client, RedisSettings())

        yield in_redis


@pytest.fixture
async def open_tools(store_url: str) -> AsyncIterator[OpenTools]:
    """Give a function that returns an instance's name and its tools; all instances share them."""
    if store_url == "memory":
        alone = MemoryTools()

        async def in_memory() -> tuple[str, Tools]:
            return "alone", alone

        yield in_memory
        return
    async with instances(store_url) as open_instance:

        async def in_redis() -> tuple[str, Tools]:
            instance = await open_instance()
            await instance.settle_in()
            return instance.name, instance.store.tools

        yield in_redis
