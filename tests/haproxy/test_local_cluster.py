"""A whole deployment on this machine: it is made once, mended, and leaves nothing behind."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from haproxy.local_cluster import LocalCluster, free_ports
from haproxy.program import ProgramError
from haproxy.redis_node import BUS, PortInUseError, is_free
from tests.haproxy.stub import asked

pytestmark = pytest.mark.slow


def test_all_of_it_serves_and_its_logs_are_in_one_folder(deployment: LocalCluster) -> None:
    assert deployment.balancer.what_is_missing() == ""
    logs = {path.name for path in (deployment.directory / "logs").iterdir()}
    redis = {f"redis-{port}.log" for port in range(deployment.ports["redis"][0], 20_000)}
    assert {"gateway1.log", "gateway2.log", "gateway3.log", "haproxy.log"} == logs - redis
    assert len(logs & redis) == 6
    assert all(path.stat().st_size for path in (deployment.directory / "logs").iterdir())


def test_what_runs_stays_when_it_is_started_again_and_what_does_not_is_started(
    deployment: LocalCluster,
) -> None:
    before = [each.pid for each in deployment.gateways]
    deployment.gateways[0].kill()
    deployment.balancer.set_state("gateway2", "drain")
    balancer = deployment.balancer.pid
    deployment.up()
    # As another program sees it.
    again = LocalCluster.read(deployment.directory)
    assert again is not None
    assert [each.pid for each in again.gateways][1:] == before[1:]
    assert again.gateways[0].pid not in (0, before[0])
    assert again.balancer.pid == balancer
    assert again.balancer.what_is_missing() == ""


def test_the_inbox_is_served_by_its_public_name_and_to_nobody_elses_pages(
    deployment: LocalCluster,
) -> None:
    port = deployment.balancer.ws_port
    for field, status in (
        (f"Host: 127.0.0.1:{port}", b"200"),
        ("Host: evil.example", b"403"),
        (f"Host: localhost:{port}\r\nOrigin: http://localhost:{port}", b"200"),
        (f"Host: localhost:{port}\r\nOrigin: http://evil.example", b"403"),
    ):
        request = f"GET / HTTP/1.1\r\n{field}\r\nConnection: close\r\n\r\n"
        assert asked(port, request.encode())[9:12] == status, field


@pytest.mark.parametrize("whose", ["gateway1", "haproxy", "redis"])
def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path, whose: str) -> None:
    ports = free_ports()
    # Of six nodes any one, and its bus, are looked at.
    port = ports[whose][-1] + (5 + BUS if whose == "redis" else 0)
    cluster = LocalCluster(tmp_path / "local", ports)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(PortInUseError, match=f"port {port} is in use, and {whose}"),
    ):
        cluster.up()
    assert not (tmp_path / "local").exists()
    assert cluster.down() == 0


def test_of_one_that_cannot_be_started_nothing_is_left(tmp_path: Path) -> None:
    ports = free_ports()
    cluster = LocalCluster(tmp_path / "local", ports)
    cluster.command = (sys.executable, "-c", "raise SystemExit('not today')")
    with pytest.raises(ProgramError, match=r"(?s)gateway1 ended.*not today"):
        cluster.up()
    assert not (tmp_path / "local").exists()
    assert all(is_free(port) for numbers in ports.values() for port in numbers)
