"""Gateways are replaced one by one; tests/cluster does it under load."""

from __future__ import annotations

import pytest

from haproxy.local_cluster import LocalCluster
from haproxy.rolling_restart import replace_all

pytestmark = pytest.mark.slow


def test_all_are_new_and_up_and_nobody_else_is_touched(deployment: LocalCluster) -> None:
    before = [each.pid for each in deployment.gateways]
    balancer = deployment.balancer.pid
    told: list[str] = []
    replace_all(deployment.balancer, deployment.gateways, deployment.command, told.append)
    assert not set(before) & {each.pid for each in deployment.gateways}
    assert deployment.balancer.what_is_missing() == ""
    assert deployment.balancer.pid == balancer
    assert [text.split()[0] for text in told] == ["gateway1", "gateway2", "gateway3"]
