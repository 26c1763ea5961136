"""The table that tells how a deployment is."""

from __future__ import annotations

import pytest

from haproxy.cluster_status import table, watch, what_is_wrong
from haproxy.local_cluster import LocalCluster

pytestmark = pytest.mark.slow


def test_each_part_has_its_line(deployment: LocalCluster) -> None:
    assert what_is_wrong(deployment) == ""
    lines = table(deployment).splitlines()
    assert lines[0].split()[:3] == ["process", "ready", "frontends"]
    for line, gateway in zip(lines[1:4], deployment.gateways, strict=True):
        words = line.split()
        assert words[:3] == [gateway.name, str(gateway.pid), "yes"]
        assert words.count("UP,") == 2
    assert "6 nodes" in lines[5]


def test_what_is_away_is_said(deployment: LocalCluster) -> None:
    deployment.gateways[1].kill()
    assert what_is_wrong(deployment) == "gateway2 does not run"
    assert table(deployment).splitlines()[2].split()[:3] == ["gateway2", "-", "-"]


def test_the_table_is_shown_again_until_somebody_has_enough(deployment: LocalCluster) -> None:
    shown: list[str] = []

    def show(text: str) -> None:
        shown.append(text)
        if len(shown) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(deployment, 0.01, show)
    assert all("All is well." in text for text in shown)
