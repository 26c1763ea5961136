"""The figures that the design promises, measured: `python -m loadtest.bench`.

A gateway process on one core, the load in this process on another one. Rates
depend on the machine and on who else uses it, so each comes with the CPU time
that an operation cost the gateway, and targets are compared with operations per
second of that CPU time. It refuses to call a run good in which an answer was
lost or went astray: then the exit status is 1. Missing a target is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from loadtest import descriptors, measures, report, requests, server, tool_lists
from loadtest.handshakes import PeerError
from loadtest.measures import Sample
from loadtest.report import Row
from loadtest.server import Cores, Server, ServerError

_PIPELINED: Final = 32
_FAN_OUT: Final = 100
_WATCHED: Final = 1_000
# Targets: rates are per second of CPU time, on one core.
_ROUND_TRIPS: Final = 40_000
_MESSAGES: Final = 120_000
_PIPELINED_MESSAGES: Final = 400_000
_FAN_OUT_FRAMES: Final = 100_000
_OF_THE_OTHER: Final = 0.55
_KIB_EACH: Final = 3.0
_REQUESTS: Final = 20_000
_KIB_A_WAIT: Final = 6.0
_IDLE_PERCENT: Final = 1.0
_START_SECONDS: Final = 1.0
_TOOLS: Final = 1_000
_LIST_MILLISECONDS: Final = 5.0
# Lists that are timed in a second of a run.
_LISTS: Final = 100


class Plan(NamedTuple):
    """What is run, where, for how long and how often."""

    seconds: float = 1.5
    runs: int = 3
    frontends: int = 10_000
    idle_seconds: float = 4.0
    cores: Cores = Cores(None, None)
    against: str | None = None
    gateway: Sequence[str] = server.GATEWAY


class Bench:
    """All measures, one after the other; what they say becomes rows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: list[Row] = []
        self.failures = 0
        self._starts: list[float] = []
        self.runs = ""
        self.steps: dict[str, Callable[[], None]] = {
            "ask-handshake": lambda: self._ask(requests.HANDSHAKE),
            "ask-modern": lambda: self._ask(requests.MODERN),
            "messages": lambda: self._messages(1, _MESSAGES),
            "pipelined": lambda: self._messages(_PIPELINED, _PIPELINED_MESSAGES),
            "fan-out": self._fan_out,
            "idle": self._idle,
            "tools-list": lambda: self._request("tools/list", {}),
            "tools-call": lambda: self._request("tools/call", {"name": "list_frontends"}),
            "waits": self._waits,
            "tools": self._tools,
        }

    def run(self, wanted: Sequence[str]) -> None:
        """Take the wanted measures, and how long the gateway's starts took."""
        for name in wanted:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            self.steps[name]()
        start = statistics.median(self._starts)
        what = f"start to ready, median of {len(self._starts)}"
        self.rows.append(report.of_value(what, start, "s", _START_SECONDS))

    def _ask(self, revision: str) -> None:
        ours, theirs = [], []
        for _ in range(self.plan.runs):
            with self._gateway() as target:
                ours.append(measures.ask(target, revision, self.plan.seconds))
            if self.plan.against is not None:
                with server.other(self.plan.against, self.plan.cores.server) as target:
                    theirs.append(self._ask_other(target, revision))
        mine = self._add(f"ask_user round trip, {revision}", ours, _ROUND_TRIPS)
        if theirs:
            other = self._add("  the other server, same load", theirs, None)
            self.rows.append(report.of_ratio("  ours to the other's", mine, other, _OF_THE_OTHER))

    def _ask_other(self, target: Server, revision: str) -> Sample:
        return measures.ask(target, revision, self.plan.seconds, ours=False, says_connect=False)

    def _messages(self, depth: int, goal: int) -> None:
        samples = []
        for _ in range(self.plan.runs):
            with self._gateway() as target:
                samples.append(measures.messages(target, depth, self.plan.seconds))
        self._add(f"WebSocket message and reply, {depth} in flight", samples, goal)

    def _fan_out(self) -> None:
        samples = []
        for _ in range(self.plan.runs):
            with self._gateway() as target:
                samples.append(measures.fan_out(target, _FAN_OUT, self.plan.seconds))
        self._add(f"frames, each question to {_FAN_OUT} frontends", samples, _FAN_OUT_FRAMES)

    def _idle(self) -> None:
        count = self.plan.frontends
        watched = min(_WATCHED, count)
        with self._gateway() as target:
            found = measures.idle(target, watched, count, self.plan.idle_seconds)
        self.failures += found.failures
        cpu = report.of_value(
            f"CPU, {watched} idle frontends", 100 * found.cpu_share, "%", _IDLE_PERCENT
        )
        memory = report.of_value(
            f"memory each, {count} idle frontends", found.bytes_each / 1024, "KiB", _KIB_EACH
        )
        self.rows += cpu, memory

    def _request(self, method: str, params: dict[str, object]) -> None:
        samples = []
        for _ in range(self.plan.runs):
            with self._gateway() as target:
                samples.append(measures.request(target, method, params, self.plan.seconds))
        name = f" of {params['name']}" if params else ""
        self._add(f"{method}{name}", samples, _REQUESTS)

    def _waits(self) -> None:
        count = self.plan.frontends
        room = ("--memory-pending", f"{count + 1}", "--memory-pending-per-session", f"{count + 1}")
        with self._gateway(*room) as target:
            found = measures.waits(target, count)
        self.failures += found.failures
        self.rows.append(
            report.of_value(
                f"memory each, {count} waiting callers", found.bytes_each / 1024, "KiB", _KIB_A_WAIT
            )
        )

    def _tools(self) -> None:
        times = max(3, round(self.plan.seconds * _LISTS))
        with self._gateway() as target:
            found = tool_lists.measure(target, _TOOLS, times)
        self.failures += found.failures
        self.rows += (
            report.of_value(
                f"tools/list, {_TOOLS} tools of pages, {name}",
                1_000 * seconds,
                "ms",
                _LIST_MILLISECONDS,
            )
            for name, seconds in (("CPU", found.cpu), ("p50", found.p50))
        )

    @contextlib.contextmanager
    def _gateway(self, *flags: str) -> Iterator[Server]:
        plan = self.plan
        flags = ("--delivery", "one", *flags)
        with server.gateway(plan.cores.server, *flags, command=plan.gateway) as target:
            self._starts.append(target.start_seconds)
            self.runs = target.runs
            yield target

    def _add(self, what: str, samples: Sequence[Sample], goal: int | None) -> Sample:
        sample = report.middle(samples)
        self.failures += sample.failures
        self.rows.append(report.of_rate(what, sample, goal))
        return sample


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return whether every answer was right."""
    given = _parser().parse_args(arguments)
    cores = server.choose_cores()
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
    # The drivers make no cycles, and a pause of theirs would be seen as the gateway's.
    gc.disable()
    plan = Plan(
        given.seconds,
        given.runs,
        descriptors.possible(given.frontends),
        given.idle_seconds,
        cores,
        given.against,
        shlex.split(given.gateway) if given.gateway else server.GATEWAY,
    )
    print(report.conditions(cores, plan.seconds, plan.runs), end="\n\n")
    bench = Bench(plan)
    try:
        bench.run(given.only or list(bench.steps))
    except (ServerError, PeerError, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 2
    finally:
        if bench.rows:
            print(report.table(bench.rows))
            print(f"\nThe gateway ran {bench.runs}.")
    if bench.failures:
        print(f"\n{bench.failures} answers were lost, crossed or refused.")
    return int(bench.failures > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    names = list(Bench(Plan()).steps)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one run (default 1.5)")
    parser.add_argument("--runs", type=int, default=3, help="of each measure (default 3)")
    parser.add_argument(
        "--frontends", type=int, default=10_000, help="that do nothing (default 10000)"
    )
    parser.add_argument(
        "--idle-seconds", type=float, default=4.0, help="how long they are watched (default 4)"
    )
    parser.add_argument("--only", action="append", choices=names, help="may be repeated")
    parser.add_argument(
        "--against",
        metavar="COMMAND",
        help="another server under the same load; {ws} and {mcp} become its ports, POST /mcp "
        "needs no initialize there; CPU time is that of the process which is started, so let it "
        "be the server itself",
    )
    parser.add_argument(
        "--gateway", metavar="COMMAND", help="how to start ours (default: python -m gateway)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
