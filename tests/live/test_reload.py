"""SIGHUP: a real gateway looks at its settings again, and nobody notices."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from haproxy.redis_node import wait_until
from tests.haproxy.stub import asked, got
from tests.live.peer import websocket
from tests.live.process import GatewayProcess, running_gateway
from tests.live.test_fleet import running_fleet

pytestmark = pytest.mark.slow

QUICK = "[drain]\nsettle_seconds = 0.0\nwait_seconds = 0.0\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(QUICK, encoding="utf-8")
    return path


@pytest.fixture
def gateway(file: Path) -> Iterator[GatewayProcess]:
    with running_gateway("--config", str(file)) as one:
        yield one


def reload(gateway: GatewayProcess, file: Path, text: str, event: str) -> dict[str, object]:
    """Write other settings, tell the gateway, and return what it says to them."""
    file.write_text(QUICK + text, encoding="utf-8")
    gateway.forget_events()
    gateway.process.send_signal(signal.SIGHUP)
    return gateway.wait_for_event(event)


def status(port: int, *lines: str) -> bytes:
    return asked(port, got("GET", "/", *lines).replace(b"Host: a\r\n", b""))[9:12]


def test_access_and_limits_change_while_sockets_stay(gateway: GatewayProcess, file: Path) -> None:
    host = "Host: new.example"
    for port in (gateway.ws_port, gateway.monitoring_port):
        assert status(port, host) == b"403"
    with websocket(gateway.ws_port) as peer, ExitStack() as stack:
        access = '[access]\nhosts = ["new.example"]\n'
        limits = "[connections]\nper_address = 2\n[http]\nheader_bytes = 1024\n"
        said = reload(gateway, file, access + limits, "settings_reloaded")
        assert said["changed"] == {
            "access.hosts": [[], ["new.example"]],
            "connections.per_address": [16384, 2],
            "http.header_bytes": [16384, 1024],
        }
        assert said["needs_restart"] == []
        # Also where the very same head was accepted, or refused, before.
        assert status(gateway.ws_port, host) == b"200"
        assert status(gateway.monitoring_port, host) == b"404"
        assert status(gateway.ws_port, host, f"X: {'x' * 1000}") == b"431"
        stack.enter_context(websocket(gateway.ws_port))
        assert status(gateway.ws_port, host) == b"503"
        reload(gateway, file, "", "settings_reloaded")
        assert status(gateway.ws_port, host) == b"403"
        peer.send(b"\x89\x80\x00\x00\x00\x00")
        assert peer.frame().first == 0x8A


def test_settings_that_are_no_good_change_nothing(gateway: GatewayProcess, file: Path) -> None:
    text = '[access]\nhosts = ["new.example"]\n[http]\nheader_bytes = 1\n'
    said = reload(gateway, file, text, "reload_refused")
    assert "http.header_bytes is at least 1,024 bytes" in str(said["reason"])
    assert status(gateway.ws_port, "Host: new.example") == b"403"


def test_the_log_level_changes_and_what_needs_a_restart_is_named(
    gateway: GatewayProcess, file: Path
) -> None:
    file.write_text('log_level = "error"\nworkers = 1\nws_port = 1\n' + QUICK, encoding="utf-8")
    gateway.process.send_signal(signal.SIGHUP)
    said = gateway.wait_for_event("settings_reloaded")
    # The port was told on the command line, which wins.
    assert said["changed"] == {"log_level": ["info", "error"]}
    gateway.forget_events()
    file.write_text('delivery = "one"\nlog_level = "info"\n' + QUICK, encoding="utf-8")
    gateway.process.send_signal(signal.SIGHUP)
    # Nothing below an error is logged until this one has been read.
    file.write_text('log_level = "loud"\n' + QUICK, encoding="utf-8")
    wait_until(lambda: _told(gateway), "a word after the second reload")


def _told(gateway: GatewayProcess) -> str:
    gateway.process.send_signal(signal.SIGHUP)
    return "" if any(each["event"] == "reload_refused" for each in gateway.events) else "silence"


def test_all_processes_of_one_machine_are_told(redis_url: str, file: Path) -> None:
    flags = ("--config", str(file))
    with running_fleet(redis_url, *flags) as (gateway, monitoring):
        assert [status(port, "Host: new.example") for port in monitoring] == [b"403", b"403"]
        reload(gateway, file, '[access]\nhosts = ["new.example"]\n', "settings_reloaded")

        def missing() -> str:
            told = {status(port, "Host: new.example") for port in monitoring}
            return "" if told == {b"404"} else str(told)

        wait_until(missing, "both processes know the new name")
        # Those of before, which were not started again.
        assert gateway.text().count("gateway_started") == 2
