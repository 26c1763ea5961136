"""Several processes on the same ports, as `--workers` starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import fleet
from gateway.settings import load
from haproxy.redis_node import free_port, is_free, wait_until
from tests.live.process import TESTED, GatewayProcess, running_gateway

WORKERS = 2


@contextmanager
def running_fleet(store: str, *more: str) -> Iterator[tuple[GatewayProcess, list[int]]]:
    """Run two gateways on the same ports; yield them with their monitoring ports."""
    ports = [free_port() for _ in range(2)]
    monitoring = next(
        p for p in iter(free_port, 0) if not {p, p + 1} & set(ports) and is_free(p + 1)
    )
    flags = ("--workers", str(WORKERS), "--store", store, "--drain-settle-seconds", "0", *more)
    places = ("--ws-port", str(ports[0]), "--mcp-port", str(ports[1]))
    with running_gateway(*flags, *places, "--monitoring-port", str(monitoring)) as gateway:
        numbers = [monitoring + number for number in range(WORKERS)]
        wait_until(lambda: "" if all(map(_is_ready, numbers)) else "some are not ready", "fleet")
        yield gateway, numbers


def _read(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return bytes(response.read())


def _is_ready(port: int) -> bool:
    try:
        return b'"ready"' in _read(port, "/ready")
    except OSError:
        return False


def _instance(port: int) -> str:
    return str(json.loads(_read(port, "/health"))["system_info"]["instance"])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_each_process_has_a_monitoring_port_of_its_own() -> None:
    settings = load({"workers": "3", "store": "redis://localhost", "monitoring_port": "9000"}, {})
    served = [fleet.settings_of(settings, number) for number in range(3)]
    assert [each.monitoring_port for each in served] == [9000, 9001, 9002]
    assert {each.workers for each in served} == {1}


def test_connections_are_spread_and_one_signal_ends_all(redis_url: str) -> None:
    with running_fleet(redis_url) as (gateway, monitoring):
        instances = {_instance(port) for port in monitoring}
        assert len(instances) == WORKERS
        seen = {_instance(gateway.ws_port) for _ in range(60)}
        # By chance all of sixty go to one of two about once in 10**17 runs.
        assert seen == instances


def test_a_process_that_dies_is_started_again(redis_url: str) -> None:
    with running_fleet(redis_url) as (gateway, monitoring):
        before = {_instance(port) for port in monitoring}
        os.kill(_children(gateway.process.pid)[0], signal.SIGKILL)

        def missing() -> str:
            if not all(map(_is_ready, monitoring)):
                return "somebody is not back"
            return "" if {_instance(port) for port in monitoring} != before else "nobody is new"

        wait_until(missing, "the fleet is whole again")
        assert gateway.wait_for_event("worker_died")["status"] == -signal.SIGKILL


def test_processes_whose_parent_is_killed_go_away_in_order(redis_url: str) -> None:
    with pytest.raises(AssertionError, match="ended with -9"), running_fleet(redis_url) as running:
        gateway, monitoring = running
        children = _children(gateway.process.pid)
        gateway.process.kill()
        wait_until(lambda: "" if not any(map(_lives, children)) else "still alive", "the end")
        assert not any(map(_is_ready, monitoring))
        gateway.wait_for_silence()
        text = gateway.text()
        assert text.count("gateway_stopped") == WORKERS


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_store_that_cannot_be_used_ends_all_with_its_sentence() -> None:
    flags = ("--workers", "2", "--store", f"redis://127.0.0.1:{free_port()}")
    ports = [str(free_port()) for _ in range(3)]
    places = ("--ws-port", ports[0], "--mcp-port", ports[1], "--monitoring-port", ports[2])
    ended = subprocess.run(
        [*TESTED, "serve", *flags, *places, "--redis-start-seconds", "0.2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr
