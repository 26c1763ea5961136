"""Crowds of peers that are slow, or never say who they are, keep nobody waiting.

A crowd is a process of its own (`tests.live.crowd`), of 5,000 when CROWD=5000 says so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.credentials import new_key
from tests.live.metrics import counted
from tests.live.peer import frame, websocket
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_CROWD: Final = int(os.environ.get("CROWD", "600"))
_SECONDS: Final = 2
# A loaded machine is slow, and may stand still for a moment: most are let in soon, and whoever
# waits for a crowd waits until it is given up.
_WAITED_SECONDS: Final = 1.0
_GIVEN_UP_SECONDS: Final = 5.0
_MEBIBYTE: Final = 1024 * 1024


@contextmanager
def crowd_at(port: int, count: int, addresses: int, *how: str) -> Iterator[None]:
    """Have a crowd there, from the moment that all of it has come, and for a while at least."""
    words = [str(number) for number in (port, count, addresses, _SECONDS + count // 2000)]
    command = [sys.executable, "-m", "tests.live.crowd", *words, *how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "there\n"
            yield
        finally:
            counts = process.communicate(timeout=60)[0]
    assert json.loads(counts)["came"] >= count


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the key of `ann` is, with the key beside it."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    ann = new_key(str(path), "acme", "ann", "answer")
    path.with_name("ann").write_text(ann)
    return path


def sign_in(gateway: GatewayProcess, keys: Path) -> float:
    """Come as an honest person does; return the seconds until one is let in."""
    said = {"type": "connect", "token": keys.with_name("ann").read_text()}
    began = time.monotonic()
    with websocket(gateway.ws_port) as peer:
        peer.send(frame(1, json.dumps(said).encode()))
        assert json.loads(peer.frame().payload)["type"] == "connect_ack"
        return time.monotonic() - began


def median(gateway: GatewayProcess, keys: Path, count: int = 300) -> float:
    seconds = [sign_in(gateway, keys) for _ in range(count)]
    assert max(seconds) < _GIVEN_UP_SECONDS
    return statistics.median(seconds)


@pytest.mark.parametrize("how", [(), ("upgrade",)], ids=["slow requests", "silent WebSockets"])
def test_a_crowd_delays_nobody_and_leaves_nothing(keys: Path, how: tuple[str, ...]) -> None:
    with running_gateway(*LEAVE_AT_ONCE, "--auth-keys", str(keys)) as gateway:
        before = median(gateway, keys)
        size = gateway.resident_bytes()
        with crowd_at(gateway.ws_port, _CROWD, 8, *how):
            during = median(gateway, keys)
            assert gateway.resident_bytes() - size < 16 * _MEBIBYTE
        after = median(gateway, keys)
        told = f"median before {before:.4f} s, during {during:.4f} s, after {after:.4f} s"
        print(
            told,
            f"memory {size / _MEBIBYTE:.1f} then {gateway.resident_bytes() / _MEBIBYTE:.1f} MiB",
        )
        assert during <= max(2 * before, _WAITED_SECONDS), told
        assert after <= max(2 * before, _WAITED_SECONDS), told
        assert gateway.resident_bytes() - size < 16 * _MEBIBYTE
        # Nobody of the crowd is left but who may still have to say goodbye.
        assert counted(gateway, "frontend_router_connections") < _CROWD / 10


def test_who_never_says_who_they_are_makes_room_for_who_does(keys: Path) -> None:
    few = ("--auth-unauthenticated", "200", "--auth-unauthenticated-per-address", "80")
    with running_gateway(*LEAVE_AT_ONCE, "--auth-keys", str(keys), *few) as gateway:
        # More addresses than fill it.
        with crowd_at(gateway.ws_port, 600, 10, "upgrade"):
            assert median(gateway, keys, 100) < _WAITED_SECONDS
        displaced = counted(gateway, "frontend_router_denied_total", reason="strangers")
        assert displaced >= 400
        # Each is counted, and not each fills the log.
        told = sum(event.get("event") == "denied" for event in gateway.events)
        assert 0 < told < displaced


def test_a_crowd_from_one_address_displaces_its_own(keys: Path) -> None:
    few = ("--auth-unauthenticated", "50", "--auth-unauthenticated-per-address", "20")
    patient = ("--auth-connect-seconds", "30")
    with (
        running_gateway(*LEAVE_AT_ONCE, "--auth-keys", str(keys), *few, *patient) as gateway,
        websocket(gateway.ws_port, source="127.0.0.9") as hesitant,
    ):
        with crowd_at(gateway.ws_port, 200, 1, "upgrade"):
            pass
        said = {"type": "connect", "token": keys.with_name("ann").read_text()}
        hesitant.send(frame(1, json.dumps(said).encode()))
        assert json.loads(hesitant.frame().payload)["type"] == "connect_ack"


def test_a_crowd_that_fills_the_gateway_keeps_nobody_out(keys: Path) -> None:
    flags = ("--connections-maximum", "200", "--auth-keys", str(keys))
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        with crowd_at(gateway.ws_port, 600, 8):
            assert median(gateway, keys, 100) < _WAITED_SECONDS
        assert counted(gateway, "frontend_router_refused_total", reason="idle") >= 400
