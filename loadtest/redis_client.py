"""SETs of 200 bytes from 50 tasks to a real redis-server: our client and redis-py.

`python -m loadtest.redis_client`. The client has one core and the server another, where
there are two. redis-py has no Trio: what its tasks ask in one tick goes out as one
pipeline, from a thread, which is the best it does there. Every figure is printed with
the wall time and the CPU time of this process; rates differ by what the server takes,
so the CPU time is what is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import redis
import trio

import pool.connection_settings
from loadtest.server import free_port
from pool.connections import Connections
from pool.promises import Promise
from pool.timers import Timers
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session.redis.address import parse_address
from session.redis.client import RedisClient
from session.redis.settings import Settings
from session.redis.topology import key_slot

VALUE: Final = b"x" * 200
_TARGET: Final = 100_000
_RATIO: Final = 2.0
_START_SECONDS: Final = 10.0

Ask = Callable[[bytes], Awaitable[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Commands, and what they took."""

    commands: int
    wall: float
    cpu: float

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.commands / self.wall:>9,.0f} SET/s wall  {self.commands / self.cpu:>9,.0f} "
            f"SET/s of CPU  {1e6 * self.cpu / self.commands:6.2f} us each"
        )


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Run a redis-server that keeps nothing; yields its port.

    Raises:
        SystemExit: there is no redis-server on PATH, or it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server on PATH: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
        command += ["--save", "", "--appendonly", "no"]
        cores = sorted(os.sched_getaffinity(0))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            if len(cores) > 1:
                os.sched_setaffinity(process.pid, {cores[1]})
                os.sched_setaffinity(0, {cores[0]})
            _wait_for(port)
            yield port
        finally:
            os.sched_setaffinity(0, cores)
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            redis.Redis(port=port).ping()
        except redis.ConnectionError:
            continue
        return
    raise SystemExit("redis-server does not answer")


async def spread(ask: Ask, commands: int, tasks: int) -> Measured:
    """Share commands among tasks, and measure them together."""

    async def some(number: int) -> None:
        key = b"key:%d" % number
        for _ in range(commands // tasks):
            await ask(key)

    wall, cpu = time.perf_counter(), time.process_time()
    async with trio.open_nursery() as nursery:
        for number in range(tasks):
            nursery.start_soon(some, number)
    return Measured(commands, time.perf_counter() - wall, time.process_time() - cpu)


async def spread_jobs(client: RedisClient, workers: Workers, commands: int, jobs: int) -> Measured:
    """As `spread`, by jobs that are parked while they wait."""

    async def some(number: int) -> None:
        key = b"key:%d" % number
        slot = key_slot(key)
        for _ in range(commands // jobs):
            await client.execute(b"SET", key, VALUE, slot=slot)

    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(jobs):
        workers.start("load", some(number))
    await workers.drain()
    return Measured(commands, time.perf_counter() - wall, time.process_time() - cpu)


async def measure_ours(port: int, commands: int, tasks: int) -> tuple[Measured, Measured]:
    """Measure our client, with tasks and with jobs."""
    timers: Timers[Callable[[], None]] = Timers(trio.current_time())
    connections = Connections(pool.connection_settings.Settings(), timers, _fail)
    workers = Workers(WorkerSettings(), on_failure=_fail)
    client = RedisClient(
        parse_address(f"redis://127.0.0.1:{port}"),
        Settings(),
        connections=connections,
        timers=timers,
        name="load",
    )
    slots = {b"key:%d" % number: key_slot(b"key:%d" % number) for number in range(tasks)}

    def ask(key: bytes) -> Promise[Any]:
        return client.execute(b"SET", key, VALUE, slot=slots[key])

    async with trio.open_nursery() as nursery:
        for run in (connections.run, workers.run, client.run):
            await nursery.start(run)
        await spread(ask, commands // 10, tasks)
        by_tasks = await spread(ask, commands, tasks)
        by_jobs = await spread_jobs(client, workers, commands, tasks)
        nursery.cancel_scope.cancel()
    return by_tasks, by_jobs


async def measure_redis_py(port: int, commands: int, tasks: int) -> Measured:
    """Measure redis-py: one pipeline at a time, in a thread, with all that was asked since."""
    server = redis.Redis(port=port, protocol=3)
    asked: list[tuple[bytes, Promise[Any]]] = []
    wanted = trio.Event()

    async def ask(key: bytes) -> Any:
        promise = Promise[Any]()
        asked.append((key, promise))
        wanted.set()
        return await promise

    async def send() -> None:
        nonlocal asked, wanted
        while True:
            await wanted.wait()
            batch, asked, wanted = asked, [], trio.Event()
            pipeline = server.pipeline(transaction=False)
            for key, _ in batch:
                pipeline.set(key, VALUE)
            replies = await trio.to_thread.run_sync(pipeline.execute)
            for (_, promise), reply in zip(batch, replies, strict=True):
                promise.set(reply)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await spread(ask, commands // 10, tasks)
        measured = await spread(ask, commands, tasks)
        nursery.cancel_scope.cancel()
    return measured


def _fail(*what: object) -> None:
    raise SystemExit(f"failed: {what}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both in turns, and print the best of each."""
    parser = argparse.ArgumentParser(description="SETs of 200 bytes: our client, and redis-py.")
    parser.add_argument("--commands", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    compiled = not (pool.connections.__file__ or "").endswith(".py")
    print(f"Python {sys.version.split()[0]}, {'compiled' if compiled else 'interpreted'}, ", end="")
    print(f"{given.tasks} tasks, {given.commands:,} commands, best of {given.rounds}")
    found: dict[str, Measured] = {}

    def note(name: str, measured: Measured) -> None:
        if name not in found or measured.cpu < found[name].cpu:
            found[name] = measured

    with server() as port:
        for _ in range(given.rounds):
            tasks, jobs = trio.run(partial(measure_ours, port, given.commands, given.tasks))
            note("ours, tasks", tasks)
            note("ours, parked jobs", jobs)
            note(
                "redis-py, a thread",
                trio.run(partial(measure_redis_py, port, given.commands // 4, given.tasks)),
            )
    for name, measured in found.items():
        print(f"  {name:<20}{measured}")
    base = found["redis-py, a thread"]
    for name in ("ours, tasks", "ours, parked jobs"):
        rate = found[name].commands / found[name].cpu
        cpu_ratio = rate * base.cpu / base.commands
        wall_ratio = found[name].commands / found[name].wall * base.wall / base.commands
        verdict = "met" if rate >= _TARGET and cpu_ratio >= _RATIO else "missed"
        print(
            f"  {name}: {cpu_ratio:.1f} times redis-py by CPU, {wall_ratio:.1f} by wall time; "
            f"target of {_TARGET:,}/s of CPU and {_RATIO:g} times {verdict}"
        )


if __name__ == "__main__":
    main()
