"""One Redis and a cluster, each with instances in this process that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from haproxy.redis_cluster import RedisCluster, RedisNode
from session.redis.keys import Place, slot_of
from tests.proxy import Proxy
from tests.session.redis.instances import Open, instances


class Servers:
    """One server or a cluster, to look into and to meddle with."""

    def __init__(self, url: str, whole: RedisNode | RedisCluster) -> None:
        self.url = url
        self._whole = whole

    def at(self, place: Place, *words: bytes | str | int) -> Any:
        """Have the server of a place do something."""
        return self._node(place.slot).command(*words)

    def do(self, command: str, key: bytes, *words: bytes | str | int) -> Any:
        """Do something with a key that has no hash tag."""
        return self.do_at(key, command, key, *words)

    def do_at(self, key: bytes, *words: bytes | str | int) -> Any:
        """Have the server of a key without a hash tag do something."""
        return self._node(slot_of(key)).command(*words)

    def flush(self) -> None:
        """Lose everything."""
        if isinstance(self._whole, RedisCluster):
            self._whole.flush()
        else:
            self._whole.command("FLUSHALL")

    def _node(self, slot: int) -> RedisNode:
        whole = self._whole
        return whole.primary_of(slot) if isinstance(whole, RedisCluster) else whole


@pytest.fixture(params=["node", "cluster"])
def servers(request: pytest.FixtureRequest) -> Servers:
    if request.param == "cluster":
        cluster = request.getfixturevalue("redis_cluster")
        return Servers(cluster.url, cluster)
    url = request.getfixturevalue("redis_url")
    return Servers(url, request.getfixturevalue("redis_node"))


@pytest.fixture
async def open_instance(servers: Servers) -> AsyncIterator[Open]:
    async with instances(servers.url) as open_one:
        yield open_one


@pytest.fixture
def proxy(redis_url: str, redis_node: RedisNode) -> Iterator[Proxy]:
    """Stands before one Redis, which is empty."""
    with Proxy(redis_node.address) as proxy:
        yield proxy


@pytest.fixture
async def open_on_node(redis_url: str) -> AsyncIterator[Open]:
    """Opens instances on the Redis behind the proxy, or with its `url`, through it."""
    async with instances(redis_url) as open_one:
        yield open_one


@pytest.fixture
async def open_on_cluster(redis_cluster: RedisCluster) -> AsyncIterator[Open]:
    async with instances(redis_cluster.url) as open_one:
        yield open_one
