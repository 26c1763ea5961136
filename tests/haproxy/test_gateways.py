"""A gateway as a process of a deployment: its file, what it says of itself, its end."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from haproxy.gateways import Gateway, Report, toml
from haproxy.program import ProgramError
from haproxy.redis_node import free_port
from tests.live.process import TESTED


def test_settings_are_written_as_toml() -> None:
    tables: dict[str, dict[str, Any]] = {
        "": {"store": "memory://", "ws_port": 1},
        "access": {"hosts": ["a:1", 'b"']},
        "drain": {"settle_seconds": 0.5},
    }
    read = tomllib.loads(toml(tables))
    assert read.pop("store") == "memory://"
    assert read.pop("ws_port") == 1
    assert read == {part: values for part, values in tables.items() if part}


@pytest.mark.slow
def test_a_gateway_is_started_asked_and_drained(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    gateway = Gateway("one", tmp_path / "one", tmp_path / "log", ports)
    assert (gateway.is_ready(), gateway.report()) == (False, None)
    gateway.write({"drain": {"settle_seconds": 0.0, "wait_seconds": 0.0}})
    gateway.up(TESTED)
    assert gateway.report() == Report(ready=True, frontends=0, questions=0)
    gateway.drain()
    gateway.wait()
    assert "gateway_stopped" in gateway.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_setting_that_is_none_is_said_when_it_is_started(tmp_path: Path) -> None:
    gateway = Gateway("one", tmp_path / "one", tmp_path / "log", [free_port() for _ in range(3)])
    gateway.write({"drain": {"settle_second": 0.0}})
    with pytest.raises(ProgramError, match=r"the nearest is drain\.settle_seconds"):
        gateway.up(TESTED)
