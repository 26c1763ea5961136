"""What tests of several gateways share: synchronous fixtures, as Trio's last only for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from haproxy.redis_cluster import RedisCluster, running_cluster
from tests.cluster.instances import Instance, running_instances


@pytest.fixture(scope="session")
def instances(shared_cluster: RedisCluster) -> Iterator[list[Instance]]:
    """Three gateways on a real cluster. Tests ask users and groups of their own.

    The first answers in plain JSON whenever it can, the others as by default.
    """
    with running_instances(shared_cluster.url, 3, each=[("--mcp-json-seconds", "10")]) as three:
        yield three


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster where `instances` are not: who sweeps and who lives is up to a test alone."""
    with running_cluster(tmp_path_factory.mktemp("own")) as cluster:
        yield cluster
