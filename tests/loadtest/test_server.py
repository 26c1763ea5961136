"""Servers that start, that do not, and what they cost."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path

import pytest

from loadtest import server
from loadtest.server import Cpu, ServerError

pytestmark = pytest.mark.slow
# Busy first, so that it has cost something when its ports are open.
LISTENING = """
import socket, sys
sum(range(3_000_000))
listeners = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:]]
listeners[0].accept()
ends = socket.socketpair()
ends[0].recv(1)
"""


def test_another_server_is_told_its_ports_and_ended() -> None:
    command = shlex.join([sys.executable, "-c", LISTENING, "{ws}", "{mcp}"])
    with server.other(command, server.choose_cores().server) as running:
        assert running.ws_port != running.mcp_port
        assert running.process.poll() is None
        assert running.memory() > 1_000_000
        assert 0 < sum(running.cpu()) <= running.cpu_seconds() + 0.05
        assert running.cpu_seconds() <= sum(running.cpu()) + 0.05
        assert running.waited() >= 0
        assert running.epitaph() == ""
        running.process.kill()
        assert running.epitaph(10.0) == "what was started here has ended with exit status -9:\n"
    assert running.process.returncode is not None
    assert math.isnan(running.memory())
    assert all(math.isnan(part) for part in running.cpu())
    assert math.isnan(running.cpu_seconds())
    assert isinstance(running.cpu(), Cpu)


# A shell that goes on, whose child has threads and a child of its own.
MANY = """
import socket, subprocess, sys, threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
listeners = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:]]
threading.Event().wait()
"""


def _tree(pid: int) -> list[int]:
    """Return the threads of this process and of all that it started."""
    threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
    children = [
        int(child)
        for thread in threads
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    ]
    return threads + [each for child in children for each in _tree(child)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells of threads")
def test_another_server_is_on_its_core_with_all_its_threads_and_processes() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    python = shlex.join([sys.executable, "-c", MANY, "{ws}", "{mcp}"])
    # Ended, the shell ends whom it waits for.
    script = f"trap 'kill 0' TERM; {python} & wait"
    with server.other(shlex.join(["sh", "-c", script]), core) as running:
        found = _tree(running.process.pid)
        places = {each: os.sched_getaffinity(each) for each in found}
    assert len(found) >= 6
    assert set(map(frozenset, places.values())) == {frozenset({core})}
    assert os.sched_getaffinity(0) == before


def test_a_server_that_does_not_listen_is_an_error() -> None:
    with pytest.raises(ServerError, match="nobody listens"):
        server.other(shlex.join([sys.executable, "-c", ""]), None).__enter__()


def test_a_gateway_that_does_not_start_is_an_error_with_its_last_words() -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such luck')")
    with pytest.raises(ServerError, match="no such luck"), server.gateway(None, command=command):
        pass


def test_server_and_load_have_a_core_each_where_there_are_two() -> None:
    cores = server.choose_cores()
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        assert cores.server != cores.load
    else:
        assert cores == (None, None)
