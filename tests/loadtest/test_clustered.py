"""Two gateways on a real cluster, measured for a moment, and servers that fail on purpose."""

from __future__ import annotations

import functools
import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway import errors
from loadtest import clustered
from loadtest.clustered import Recovery, Round
from loadtest.server import Server
from tests.loadtest import liar
from tests.loadtest.liar import Lie, lying_server

pytestmark = pytest.mark.slow
ROUND = Round(rate=1, a_us=1, b_us=1, p50=1, p99=1, commands=3, batches=1, failures=0)


def test_round_trips_between_two_gateways_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert clustered.main(["--seconds", "0.3", "--runs", "1"]) == 0
    said = capsys.readouterr().out
    assert "CPU of both" in said
    assert "all served again after" in said
    # A question is admitted and settled, and held unless it is given; sweeps are what is more.
    (line,) = (line for line in said.splitlines() if "commands to Redis" in line)
    assert 2.0 <= float(line.split()[3].rstrip(":")) < 10.0


@contextmanager
def _served(lie: Lie) -> Iterator[Server]:
    """Yield a server that lies, with an empty page of metrics."""
    metrics = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    thread = threading.Thread(target=metrics.serve_forever, args=(0.01,))
    thread.start()
    try:
        with (
            lying_server(lie) as target,
            # Costs nothing, for as long as it is looked at.
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
        ):
            server = Server(process, target.ws.port, target.mcp.port)
            server.monitoring_port = metrics.server_address[1]
            yield server
    finally:
        metrics.shutdown()
        thread.join()
        metrics.server_close()


class _Empty(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - what it is called
        """Say nothing."""


def test_what_is_lost_counts_once() -> None:
    def losing(sock: socket.socket, number: int, reply: bytes) -> None:
        if number != 3:
            sock.sendall(reply)

    with _served(losing) as server:
        assert clustered.measured(server, server, 0.1, callers=4).failures == 1


class _Struck:
    """A server that fails its next questions once it was struck, each in this way."""

    def __init__(self, way: Lie, most: int) -> None:
        self._way = way
        self._left = most
        self._lock = threading.Lock()
        self.strike = threading.Event()

    def __call__(self, sock: socket.socket, number: int, reply: bytes) -> None:
        with self._lock:
            fails = self.strike.is_set() and self._left > 0
            self._left -= fails
        (self._way if fails else liar.honest)(sock, number, reply)


def _refusing(sock: socket.socket, number: int, reply: bytes, why: str = "not today") -> None:
    asked = json.loads(reply.partition(b"\r\n\r\n")[2])["id"]
    refusal = {"content": [{"type": "text", "text": why}], "isError": True}
    sock.sendall(liar.response({"jsonrpc": "2.0", "id": asked, "result": refusal}))


def _cutting(sock: socket.socket, number: int, reply: bytes) -> None:
    sock.shutdown(socket.SHUT_RDWR)


def _silent(sock: socket.socket, number: int, reply: bytes) -> None:
    """Say nothing."""


@pytest.mark.parametrize("way", [_refusing, _cutting, _silent])
def test_only_an_answer_is_service(way: Lie) -> None:
    """Whoever is refused, cut off or kept waiting is not served again, and each is a failure."""
    struck = _Struck(way, 1_000_000)
    with _served(struck) as server:
        found = clustered.recovery(server, server, struck.strike.set, patience=0.3)
    assert not found.served
    assert found.failures >= clustered.CALLERS


@pytest.mark.parametrize(
    ("why", "refused", "failures"), [("not today", 0, 100), (errors.STORE_AWAY, 100, 0)]
)
def test_who_is_answered_after_a_refusal_is_served_and_was_refused(
    why: str, refused: int, failures: int
) -> None:
    """That its store is away is what a gateway has to say then, and is told."""
    struck = _Struck(functools.partial(_refusing, why=why), 100)
    with _served(struck) as server:
        found = clustered.recovery(server, server, struck.strike.set)
    assert (found.served, found.refused, found.failures) == (True, refused, failures)


def _recovered(seconds: float, failures: int = 0, *, served: bool = True) -> Recovery:
    return Recovery(seconds, served=served, refused=1_234, failures=failures)


@pytest.mark.parametrize(
    ("recovered", "failures", "told", "complaint"),
    [
        (_recovered(2.0), 0, "all served again after 2.0 s   target <= 15 s  reached", ""),
        (_recovered(2.0), 3, "all served again after 2.0 s", "3 answers were lost"),
        (_recovered(2.0, 4), 3, "all served again after 2.0 s", "7 answers were lost"),
        (_recovered(60.0, served=False), 0, "NOT served again in 60.0 s   ", "NOT served again"),
        # Given up before the target: that is no way to reach it.
        (_recovered(9.0, served=False), 0, "9.0 s   target <= 15 s  MISSED", "NOT served again"),
    ],
)
def test_the_exit_status_is_0_when_all_was_right_and_all_are_served_again(
    capsys: pytest.CaptureFixture[str],
    recovered: Recovery,
    failures: int,
    told: str,
    complaint: str,
) -> None:
    rounds = [ROUND._replace(failures=failures)]
    lines = "\n".join(clustered._lines(rounds, recovered))
    assert told in lines
    assert "refused meanwhile       1,234, as the store was away" in lines
    assert clustered._status(rounds, recovered) == bool(complaint)
    said = capsys.readouterr().err
    assert complaint in said
    assert bool(complaint) == bool(said)
