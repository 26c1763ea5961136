"""Gateways that share a store: started together, killed or frozen one by one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
import trio

from tests.live.forked import ForkedProcess
from tests.live.process import GatewayProcess, begun

# Nobody waits this long when all is well.
PATIENCE: Final = 60
_LOOK_AGAIN_SECONDS: Final = 0.02

#: Deadlines that tests can wait for. The name is for callers that come through a relay.
FLAGS: Final = (
    *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.3"),
    *("--mcp-keep-alive-seconds", "0.4", "--mcp-retry-milliseconds", "50"),
    *("--frontends-connect-seconds", "0.05", "--questions-unseen-seconds", "2"),
    *("--redis-lease-seconds", "2", "--access-hosts", "gateway.test"),
)


class Instance(GatewayProcess):
    """One of several gateways, which a test may end or stop."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        super().__init__(process)
        self.name = ""
        self.was_killed = False

    def wait_until_started(self) -> None:
        super().wait_until_started()
        self.name = self.wait_for_event("gateway_started")["instance"]

    def kill(self) -> None:
        """End it without a word."""
        self.was_killed = True
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it do nothing, with all its connections open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, as if no time had passed."""
        os.kill(self.process.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to go away, as a service manager does."""
        self.process.send_signal(signal.SIGTERM)

    async def metric(self, name: str) -> float:
        """Return a number that it counts; what never happened is not among them."""
        lines = (await self.get("/metrics")).text.splitlines()
        counts = (float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
        return next(counts, 0.0)

    async def get(self, path: str) -> httpx.Response:
        """Ask its monitoring port."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.get(f"http://127.0.0.1:{self.monitoring_port}{path}")

    async def statuses(self) -> tuple[int, int]:
        """Return whether it is ready, and whether it lives."""
        return (await self.get("/ready")).status_code, (await self.get("/live")).status_code


@contextmanager
def running_instances(
    url: str, count: int, *flags: str, each: Sequence[Sequence[str]] = ()
) -> Iterator[list[Instance]]:
    """Start gateways on a store, all at once; those that live at the end must leave cleanly.

    ``each`` has further flags for the first, the second and so on.
    """
    ports = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")
    instances: list[Instance] = []
    try:
        for index in range(count):
            own = each[index] if index < len(each) else ()
            process = begun("serve", "--store", url, *ports, *FLAGS, *flags, *own)
            instances.append(Instance(process))
        for instance in instances:
            instance.wait_until_started()
        yield instances
    except BaseException:
        # The test's failure is what matters; nothing must linger.
        for instance in instances:
            instance.kill()
        raise
    living = [instance for instance in instances if not instance.was_killed]
    for instance in living:
        if instance.process.poll() is None:
            instance.terminate()
    for instance in living:
        instance.stop()


async def until(
    state: Callable[[], Any], what: str, seconds: float = PATIENCE, *, every: float = 0.0
) -> float:
    """Look at processes from outside until something is so; return how long it took.

    ``state`` is a coroutine function. The only way to hear of it is to look again.
    """
    began = trio.current_time()
    with trio.move_on_after(seconds):
        while not await state():  # noqa: ASYNC110 - as it says
            await trio.sleep(every or _LOOK_AGAIN_SECONDS)
        return trio.current_time() - began
    raise AssertionError(f"after {seconds} s still not so: {what}")
