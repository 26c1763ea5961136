"""The README's backends make tickets that open a WebSocket, each as its person."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a backend runs, with the secret that it shares with the gateway."""
    tmp_path.joinpath("gateway.secret").write_text("0123456789abcdef" * 4 + "\n")
    return tmp_path


@pytest.fixture
def gateway(folder: Path) -> Iterator[GatewayProcess]:
    """A gateway as the README starts it."""
    shared = ("--auth-secret-file", str(folder / "gateway.secret"))
    whose = ("--auth-issuer", "https://app.example", "--auth-audience", "frontend-router")
    with running_gateway(*shared, *whose, "--drain-settle-seconds", "0") as process:
        yield process


def example(language: str, word: str, gateway: GatewayProcess) -> str:
    """Return the README's one example in a language that has a word, for this gateway."""
    blocks = re.findall(rf"```{language}\n(.*?)```", _README.read_text(), re.DOTALL)
    [found] = [block for block in blocks if word in block]
    assert "http://127.0.0.1:8080" in found
    return str(found).replace("127.0.0.1:8080", f"127.0.0.1:{gateway.ws_port}")


def person_of(gateway: GatewayProcess, ticket: str) -> tuple[str, list[str]]:
    """Open a WebSocket with a ticket, as a browser does, and return who the gateway sees."""
    with connect(
        f"ws://127.0.0.1:{gateway.ws_port}/ws",
        subprotocols=["frontend-router.v1", f"frontend-router.ticket.{ticket}"],  # type: ignore[list-item]  # names are texts
    ) as socket:
        assert socket.subprotocol == "frontend-router.v1"
        socket.send('{"type": "connect", "user": "somebody else"}')
        welcome = json.loads(socket.recv(timeout=10))
    return welcome["user"], welcome["groups"]


def test_a_backend_in_python_makes_a_ticket(gateway: GatewayProcess, folder: Path) -> None:
    program = example("python", "ticket_for", gateway) + '\nprint(ticket_for("ann", ["ops"]))'
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True
    )
    assert person_of(gateway, made.stdout.strip()) == ("ann", ["ops"])


def test_a_backend_in_javascript_makes_a_ticket(gateway: GatewayProcess, folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("this test needs Node.js")
    program = example("js", "ticketFor", gateway) + '\nconsole.log(await ticketFor("ben"));'
    folder.joinpath("backend.mjs").write_text(program)
    made = subprocess.run(
        [node, "backend.mjs"], cwd=folder, check=True, capture_output=True, text=True
    )
    assert person_of(gateway, made.stdout.strip()) == ("ben", [])
