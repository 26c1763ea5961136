"""A server in a process of its own, on a core of its own, and what it costs there.

It starts and measures; it does not judge. Where the system has no `/proc` the
costs are not known, and said to be so.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

GATEWAY: Final = (sys.executable, "-m", "gateway")
_START_SECONDS: Final = 30.0
# Below those of outgoing connections, which begin at 32768 on Linux.
_PORTS: Final = range(20_000, 30_000)
_CHOICES: Final = 100
_STOP_SECONDS: Final = 10.0
_KEPT_LINES: Final = 30
_LAST_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.002
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICK: Final = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The server did not start."""


class Cpu(NamedTuple):
    """CPU seconds of a process."""

    user: float
    system: float


class Cores(NamedTuple):
    """Who runs where; ``None`` when the system does not let us say."""

    server: int | None
    load: int | None


def choose_cores() -> Cores:
    """Return a core for the server and another one for the load, where there are two."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[-1]) if len(usable) > 1 else Cores(None, None)


class Server:
    """A process that serves, its ports, and where what it logs is kept."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ws_port: int,
        mcp_port: int,
        log: _Log | None = None,
    ) -> None:
        self.process = process
        self.ws_port = ws_port
        self.mcp_port = mcp_port
        #: 0 where there is none.
        self.monitoring_port = 0
        self.start_seconds = 0.0
        #: How the gateway says that it runs; another server says nothing.
        self.runs = ""
        self._log = log

    def epitaph(self, seconds: float = 0.0) -> str:
        """Return how it ended, with the last words of a gateway; nothing while it runs.

        Wait for so long for one that is about to end.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(seconds)
            words = "" if self._log is None else self._log.last_words()
            return f"what was started here has ended with exit status {status}:\n{words}"
        return ""

    def cpu(self) -> Cpu:
        """Return the CPU time it has used so far; not-a-number where that is not known."""
        stat = self._read("stat")
        if stat is None:
            return Cpu(math.nan, math.nan)
        fields = stat.rsplit(")", 1)[1].split()
        return Cpu(int(fields[11]) / _TICK, int(fields[12]) / _TICK)

    def cpu_seconds(self) -> float:
        """Return both together, to the nanosecond: an idle server uses less than a tick."""
        try:
            # MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED, in Linux' posix-timers.h.
            return time.clock_gettime(~self.process.pid << 3 | 2)
        except OSError:
            return math.nan

    def waited(self) -> float:
        """Return for how many seconds it could have run and had no core; 0 where unknown."""
        schedstat = self._read("schedstat")
        return 0.0 if schedstat is None else int(schedstat.split()[1]) / 1e9

    def memory(self) -> float:
        """Return the bytes that it has in memory; not-a-number where that is not known."""
        statm = self._read("statm")
        return math.nan if statm is None else int(statm.split()[1]) * _PAGE

    def _read(self, name: str) -> str | None:
        try:
            return Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="ascii")
        except OSError:
            return None


class _Log(threading.Thread):
    """Reads what the gateway logs, so that it never waits for a reader of its log."""

    def __init__(self, stdout: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.started_event: dict[str, Any] = {}
        self.newest: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self.known = threading.Event()
        self._stdout = stdout
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with self._stdout:
            for line in self._stdout:
                self.newest.append(line.decode(errors="replace"))
                if not self.known.is_set() and line.startswith(b"{"):
                    event = json.loads(line)
                    if event.get("event") == "gateway_started":
                        self.started_event = event
                        self.known.set()
        self.known.set()

    def last_words(self) -> str:
        """Return the newest lines of a gateway that has ended."""
        # Who inherited its output may hold it open.
        self.join(_LAST_SECONDS)
        return "".join(self.newest)


@contextlib.contextmanager
def gateway(core: int | None, *flags: str, command: Sequence[str] = GATEWAY) -> Iterator[Server]:
    """Run our gateway on free ports, from ready to SIGTERM.

    Raises:
        ServerError: it does not become ready; the message has its last words.
    """
    ports = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")
    begun = time.perf_counter()
    with _running([*command, *ports, *flags], core, subprocess.PIPE) as process:
        assert process.stdout is not None
        log = _Log(process.stdout)
        log.known.wait(_START_SECONDS)
        if not log.started_event:
            raise ServerError("the gateway did not start:\n" + "".join(log.newest))
        event = log.started_event
        server = Server(process, event["ws_port"], event["mcp_port"], log)
        how = "compiled" if event["compiled"] else "from source"
        server.runs = f"{how}, on {event['python']}"
        server.monitoring_port = event["monitoring_port"]
        _wait_until_ready(server.monitoring_port)
        server.start_seconds = time.perf_counter() - begun
        yield server


@contextlib.contextmanager
def other(command: str, core: int | None) -> Iterator[Server]:
    """Run another server, whose command names its ports as ``{ws}`` and ``{mcp}``.

    Raises:
        ServerError: nobody listens there.
    """
    ws_port, mcp_port = free_port(), free_port()
    words = [word.format(ws=ws_port, mcp=mcp_port) for word in shlex.split(command)]
    with _running(words, core, subprocess.DEVNULL) as process:
        for port in (ws_port, mcp_port):
            _wait_until_open(port, process)
        yield Server(process, ws_port, mcp_port)


@contextlib.contextmanager
def _running(
    command: Sequence[str], core: int | None, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    with pinned(core):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the load, which lets this server answer to the end.
            process_group=0,
        )
    try:
        yield process
    finally:
        _stop(process)


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Have what is started meanwhile run on this core, with every thread and process of its own.

    They inherit where they may run. Who is moved later is moved alone: the threads
    that it has by then stay where they are.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Twice: nobody who is still connected is to be waited for.
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            break
    else:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(port: int) -> None:
    end = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < end:
        address = f"http://127.0.0.1:{port}/ready"
        # A 503 is raised, as an OSError like the others.
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return
        time.sleep(_POLL_SECONDS)
    raise ServerError("the gateway did not become ready")


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(_POLL_SECONDS)
    raise ServerError(f"nobody listens on port {port}")


def free_port() -> int:
    """Return a port where nobody listens now.

    It is none of those that the kernel gives to connections, which would take it before
    a server that has yet to start.

    Raises:
        ServerError: there is none.
    """
    for _ in range(_CHOICES):
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ServerError(f"there is no free port from {_PORTS[0]} to {_PORTS[-1]}")
