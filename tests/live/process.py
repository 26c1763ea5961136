"""A gateway in a process of its own, as a person would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from tests.live.forked import ForkedProcess, fork_gateway

# Generous: a loaded machine is slow, and nobody waits this long when all is well.
_START_SECONDS = 30
_STOP_SECONDS = 30
# The newest lines are what explains a failure.
_KEPT_LINES = 2000


class Ports(Protocol):
    """Where a gateway is, or what stands before some."""

    ws_port: int
    mcp_port: int


class GatewayProcess:
    """A started gateway: its ports, and what it logged."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        self.process = process
        self.log: deque[str] = deque(maxlen=_KEPT_LINES)
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT_LINES)
        self.ws_port = self.mcp_port = self.monitoring_port = 0
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="gateway log", daemon=True)
        self._reader.start()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it logged by now; it may log more while that is looked at."""
        with self._changed:
            return list(self._events)

    def forget_events(self) -> None:
        """Count as logged only what is logged from now on."""
        with self._changed:
            self._events.clear()

    @property
    def ports(self) -> dict[str, int]:
        """The ports by what they are for."""
        return {"ws": self.ws_port, "mcp": self.mcp_port, "monitoring": self.monitoring_port}

    def wait_until_started(self) -> None:
        """Return once the gateway said that all its ports listen."""
        started = self.wait_for_event("gateway_started")
        self.ws_port = started["ws_port"]
        self.mcp_port = started["mcp_port"]
        self.monitoring_port = started["monitoring_port"]

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Return the first logged event of this name, as soon as it is there."""

        def logged() -> dict[str, Any] | None:
            return next((event for event in self._events if event.get("event") == name), None)

        with self._changed:
            self._changed.wait_for(lambda: logged() or self._ended, _START_SECONDS)
            event = logged()
        if event is None:
            self.process.kill()
            raise AssertionError(f"the gateway never logged {name}:\n{self.text()}")
        return event

    def cpu_seconds(self) -> float:
        """Return the processor's time that it has taken: others share the machine."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Return how much memory it has."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def wait_for_silence(self) -> None:
        """Return once nobody is left who could log: an end is known before its last words are."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, _STOP_SECONDS), self.text()

    def text(self) -> str:
        """Return what was logged, for people."""
        return "\n".join(self.log)

    def stop(self) -> None:
        """End it as a service manager does, and check that nothing went wrong in its life."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the gateway did not end:\n{self.text()}") from None
        finally:
            self._reader.join(5)
        assert status == 0, f"the gateway ended with {status}:\n{self.text()}"
        assert "Traceback" not in self.text(), self.text()

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        with stdout:
            for raw in stdout:
                self._take(raw.decode(errors="replace").rstrip())
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, line: str) -> None:
        with self._changed:
            self.log.append(line)
            if line.startswith("{"):
                self._events.append(json.loads(line))
                self._changed.notify_all()


#: The program under test: the sources, or what `make test` names, the compiled one.
TESTED: Final = (
    [os.environ["TESTED_GATEWAY"]]
    if "TESTED_GATEWAY" in os.environ
    else [sys.executable, "-m", "gateway"]
)


def begun(*arguments: str) -> subprocess.Popen[bytes] | ForkedProcess:
    """Start the program under test, and do not wait until it serves."""
    if "TESTED_GATEWAY" in os.environ:
        return _begun([*TESTED, *arguments])
    return fork_gateway(arguments)


def _begun(command: Sequence[str], where: Path | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=where,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextmanager
def started(command: Sequence[str], where: Path | None = None) -> Iterator[GatewayProcess]:
    """Run a command that serves as a gateway, in a directory if one is named."""
    with _served(_begun(command, where)) as gateway:
        yield gateway


@contextmanager
def _served(process: subprocess.Popen[bytes] | ForkedProcess) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(process)
    try:
        gateway.wait_until_started()
        yield gateway
    except BaseException:
        # The test's failure is what matters; this must only not linger.
        process.kill()
        process.wait()
        raise
    gateway.stop()


@contextmanager
def running_gateway(*flags: str, under: Sequence[str] = ()) -> Iterator[GatewayProcess]:
    """Start a gateway on free ports; at the end it must leave cleanly.

    ``under`` is a command that starts the one behind it.
    """
    arguments = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0", *flags)
    process = _begun([*under, *TESTED, *arguments]) if under else begun(*arguments)
    with _served(process) as gateway:
        yield gateway
