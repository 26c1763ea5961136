"""Real Redis servers that tests share, started when the first test asks for one.

Synchronous fixtures, as Trio's last only for one test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from haproxy.redis_cluster import RedisCluster, RedisNode, running_cluster, running_node


@pytest.fixture(scope="session")
def redis_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNode]:
    """One plain server. It stays up: who breaks a server starts one of its own."""
    with running_node(tmp_path_factory.mktemp("redis")) as node:
        yield node


@pytest.fixture
def redis_url(redis_node: RedisNode) -> str:
    """Where the plain server is, with nothing in it."""
    redis_node.command("FLUSHALL")
    return redis_node.url


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """The cluster of `redis_cluster`, with whatever is in it."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(shared_cluster: RedisCluster) -> RedisCluster:
    """A cluster that is well, with nothing in it. Slots may move in it, no node may end."""
    shared_cluster.wait_until_healthy()
    shared_cluster.flush()
    return shared_cluster


@pytest.fixture(scope="session")
def fragile_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """The cluster of `broken_cluster`, in whatever state it is."""
    with running_cluster(tmp_path_factory.mktemp("fragile")) as cluster:
        yield cluster


@pytest.fixture
def broken_cluster(fragile_cluster: RedisCluster) -> Iterator[RedisCluster]:
    """A cluster to break: well and empty at the beginning, and healed after the test."""
    fragile_cluster.flush()
    yield fragile_cluster
    fragile_cluster.revive()
