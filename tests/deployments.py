"""A whole deployment that tests share: HAProxy, three gateways, a Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from haproxy.local_cluster import LocalCluster, running_local_cluster
from tests.live.process import TESTED

#: Deadlines that tests can wait for.
SETTINGS = {
    "drain": {"settle_seconds": 1.0, "wait_seconds": 0.5},
    "mcp": {"keep_alive_seconds": 0.4, "retry_milliseconds": 50},
    "frontends": {"connect_seconds": 0.05},
    "questions": {"unseen_seconds": 0.5},
    "redis": {"lease_seconds": 2.0},
}
#: All tests come from one address.
VARIABLES = {"FR_MCP_PER_10S": "50000", "FR_WS_PER_10S": "50000"}


@pytest.fixture(scope="session")
def whole_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """The cluster of `deployment`, in whatever state it is."""
    directory = tmp_path_factory.mktemp("local")
    with running_local_cluster(
        directory, command=TESTED, settings=SETTINGS, variables=VARIABLES
    ) as cluster:
        yield cluster


@pytest.fixture
def deployment(whole_deployment: LocalCluster) -> LocalCluster:
    """A deployment that is well: who ends a gateway may leave it ended."""
    whole_deployment.up()
    return whole_deployment
