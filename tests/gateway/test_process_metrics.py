"""What the process uses is told as Prometheus' own collector tells it, and sooner."""

import platform
import socket
from collections.abc import Iterable

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from gateway.process_metrics import ProcessMetrics

# Elsewhere nothing is told, by either.
LINUX = platform.system() == "Linux"


def told(families: Iterable[Metric]) -> dict[str, float]:
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_it_has_the_families_of_the_clients_own() -> None:
    ours, theirs = list(ProcessMetrics().collect()), list(ProcessCollector(registry=None).collect())
    assert [(each.name, each.documentation, each.type) for each in ours] == [
        (each.name, each.documentation, each.type) for each in theirs
    ]
    assert bool(ours) == LINUX


def test_it_has_their_values() -> None:
    ours, theirs = (
        told(ProcessMetrics().collect()),
        told(ProcessCollector(registry=None).collect()),
    )
    assert ours == {name: pytest.approx(value, rel=0.1) for name, value in theirs.items()}
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert ours.get(name) == theirs.get(name)


def test_each_descriptor_counts() -> None:
    before = told(ProcessMetrics().collect()).get("process_open_fds", 0.0)
    sockets = [socket.socket() for _ in range(50)]
    after = told(ProcessMetrics().collect()).get("process_open_fds", 0.0)
    for each in sockets:
        each.close()
    assert after - before == 50 * LINUX
