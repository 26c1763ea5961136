"""The gateway beside what one would write instead: `python -m loadtest.compare`.

One run, one load, one core for whoever serves: 64 callers ask and 10 frontends
answer. Round by round the gateway and each reference (`loadtest/reference/`)
serve in turn, so that a disturbance of the machine meets them all; the medians
are compared. The references in Go run with GOMAXPROCS=1; they collect garbage
rarely (GOGC=400) where they are to be fast, and often (GOGC=10) where small.

Every answer is checked. The exit status is 1 if any server lost one, crossed
two or refused a caller, and 2 if nothing could be measured. Missing a target is
no failure.

us/op: CPU time of the server for a question and its answer.
per core s: the same as operations per second of that CPU time.
hung: callers whose answer never came.
busy callers: rate times mean latency, which in a closed loop is how many
callers are being served. Fewer than there are means that the others wait for
ever and that the rate says nothing.
x rate, x CPU: how many times theirs ours is; targets are about the second.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest import descriptors, measures, reference, report, requests, server
from loadtest.handshakes import PeerError
from loadtest.measures import Sample
from loadtest.reference import BuildError
from loadtest.server import Cores, Server, ServerError

#: How many times better ours shall be.
TARGETS: Final = {"gosdk": 5.0, "mcpgo": 2.0, "nethttp": 1.0, reference.PYTHON: None}
_OURS: Final = "gateway"
_MEMORY_TARGET: Final = 4.0
_REQUESTS_TARGET: Final = 10.0
_DEPTHS: Final = (1, 32)
# Answers at the edges of a window count wholly or not at all: short windows are not exact.
_ALL_BUSY: Final = 0.8

HEADINGS: Final = (
    "64 callers ask, 10 frontends answer",
    "per second",
    "us/op",
    "per core s",
    "p50 ms",
    "p99 ms",
    "hung",
    "busy callers",
    "x rate",
    "x CPU",
    "target",
    "",
)
MORE_HEADINGS: Final = ("one by one", "gateway", "other", "times", "target", "")


class Plan(NamedTuple):
    """What is compared, for how long and how often."""

    seconds: float = 1.5
    rounds: int = 5
    frontends: int = 10_000
    engines: Sequence[str] = tuple(TARGETS)
    cores: Cores = Cores(None, None)
    gateway: Sequence[str] = server.GATEWAY

    @property
    def go_engines(self) -> list[str]:
        """The references that must be built."""
        return [engine for engine in self.engines if engine != reference.PYTHON]


class Versus(NamedTuple):
    """One figure of both; ``times`` says how much better ours is."""

    what: str
    ours: float
    theirs: float
    times: float
    target: float | None = None


def serving(name: str, plan: Plan, gogc: int = reference.FAST) -> AbstractContextManager[Server]:
    """Run the gateway or a reference on the core of whoever serves."""
    if name == _OURS:
        return server.gateway(plan.cores.server, "--delivery", "one", command=plan.gateway)
    return reference.serving(name, plan.cores, gogc)


class Comparison:
    """All servers in turn, and what it comes to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.failures = 0
        self.versus: list[Versus] = []
        #: How the gateway says that it runs.
        self.runs = ""
        self._rounds: dict[str, list[Sample]] = {name: [] for name in (_OURS, *plan.engines)}

    def run(self) -> None:
        """Measure everything."""
        for name in self._turns("questions", self._rounds):
            with serving(name, self.plan) as target:
                ours = name == _OURS
                taken = measures.ask(target, requests.HANDSHAKE, self.plan.seconds, ours=ours)
                self.runs = target.runs if ours else self.runs
            self.add(name, taken)
        if reference.PYTHON in self.plan.engines:
            self._requests("tools/list", {})
            self._requests("tools/call", {"name": "list_frontends"})
        if self.plan.go_engines:
            for depth in _DEPTHS:
                self._messages(depth)
            self._memory()

    def add(self, name: str, taken: Sample) -> None:
        """Take the round of a server into account."""
        self.failures += taken.failures
        self._rounds[name].append(taken)

    def result(self, name: str) -> Sample:
        """Return the medians of a server, and how many callers hung in all."""
        return report.middle(self._rounds[name])

    def _turns(self, what: str, names: Sequence[str] | dict[str, Any]) -> Iterator[str]:
        for turn in range(1, self.plan.rounds + 1):
            for name in names:
                _say(f"{what}, round {turn} of {self.plan.rounds}: {name} ...")
                yield name

    def _messages(self, depth: int) -> None:
        # Frontends are the same whichever engine serves callers.
        samples: dict[str, list[Sample]] = {_OURS: [], self.plan.go_engines[-1]: []}
        for name in self._turns(f"messages, {depth} in flight", samples):
            with serving(name, self.plan) as target:
                samples[name].append(measures.messages(target, depth, self.plan.seconds))
        ours, theirs = (report.middle(taken) for taken in samples.values())
        self.failures += ours.failures + theirs.failures
        rates = report.per_core(ours), report.per_core(theirs)
        what = f"messages and replies, {depth} in flight, per core s, beside gorilla/websocket"
        self.versus.append(Versus(what, *rates, rates[0] / rates[1]))

    def _requests(self, method: str, params: dict[str, object]) -> None:
        samples: dict[str, list[Sample]] = {_OURS: [], reference.PYTHON: []}
        for name in self._turns(method, samples):
            ours = name == _OURS
            with serving(name, self.plan) as target:
                taken = measures.request(target, method, params, self.plan.seconds, ours=ours)
            samples[name].append(taken)
        mine, theirs = (report.middle(taken) for taken in samples.values())
        self.failures += mine.failures + theirs.failures
        rates = report.per_core(mine), report.per_core(theirs)
        what = f"{method} per core s, beside the official SDK in Python"
        self.versus.append(Versus(what, *rates, rates[0] / rates[1], _REQUESTS_TARGET))

    def _memory(self) -> None:
        kib = []
        count = self.plan.frontends
        for name in (_OURS, self.plan.go_engines[-1]):
            _say(f"memory of {count} idle frontends: {name} ...")
            with serving(name, self.plan, reference.SMALL) as target:
                found = measures.idle(target, count, count, self.plan.seconds)
            self.failures += found.failures
            kib.append(found.bytes_each / 1024)
        what = f"memory each of {count} idle frontends, KiB, beside gorilla/websocket"
        self.versus.append(Versus(what, kib[0], kib[1], kib[1] / kib[0], _MEMORY_TARGET))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tables(comparison: Comparison) -> str:
    """Return what was found, for people."""
    ours = comparison.result(_OURS)
    lines = [_line("the gateway", ours, [""] * 3, [])]
    for engine in comparison.plan.engines:
        theirs = comparison.result(engine)
        by_rate, by_cpu = ratios(ours, theirs)
        target = TARGETS[engine]
        cells = f"{by_rate:.2f}", f"{by_cpu:.2f}", "" if target is None else f">= {target:g}"
        lines.append(
            _line(reference.ENGINES[engine], theirs, cells, _verdict(by_rate, by_cpu, target))
        )
    text = aligned([HEADINGS, *lines])
    if comparison.versus:
        more = [
            (
                row.what,
                *(f"{value:,.2f}" for value in (row.ours, row.theirs, row.times)),
                "" if row.target is None else f">= {row.target:g}",
                ", ".join(_verdict(row.times, row.times, row.target)),
            )
            for row in comparison.versus
        ]
        text += "\n\n" + aligned([MORE_HEADINGS, *more])
    return text


def ratios(ours: Sample, theirs: Sample) -> tuple[float, float]:
    """Return how many times theirs ours is, by rate and by CPU time."""
    by_cpu = report.per_core(ours) / report.per_core(theirs)
    return report.rate_ratio(ours, theirs), by_cpu


def _verdict(by_rate: float, by_cpu: float, target: float | None) -> list[str]:
    if target is None:
        return []
    # Where CPU time is not known, the rate must do.
    ratio = by_rate if math.isnan(by_cpu) else by_cpu
    return ["unknown here" if math.isnan(ratio) else "reached" if ratio >= target else "MISSED"]


def _line(what: str, sample: Sample, times: Sequence[str], remarks: Sequence[str]) -> Sequence[str]:
    # The rest of what may be said of a sample, report.py says already.
    row = report.of_rate(what, sample, None)
    remarks = [*remarks, row.verdict] if row.verdict else list(remarks)
    # Not a number is none served at all.
    if not sample.busy >= _ALL_BUSY * measures.CALLERS:
        remarks.append("NOT ALL CALLERS SERVED")
    figures = row.rate, row.cost, row.per_core, row.p50, row.p99, f"{sample.lost}"
    return (what, *figures, f"{sample.busy:.1f}", *times, ", ".join(remarks))


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return the lines in columns: text to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, last) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_json(comparison: Comparison) -> str:
    """Return what was found, for programs; what is not known is null."""
    ours = comparison.result(_OURS)
    servers = {}
    for name in (_OURS, *comparison.plan.engines):
        taken = comparison.result(name)
        by_rate, by_cpu = ratios(ours, taken)
        figures = taken._asdict() | {
            "first_refusal": taken.first_refusal.decode(errors="replace"),
            "per_core": report.per_core(taken),
            "busy_callers": taken.busy,
            "hung": taken.lost,
        }
        if name != _OURS:
            figures |= {"times_rate": by_rate, "times_cpu": by_cpu, "target": TARGETS[name]}
        servers[name] = _known(figures)
    found = {
        "seconds": comparison.plan.seconds,
        "rounds": comparison.plan.rounds,
        "failures": comparison.failures,
        "servers": servers,
        "one_by_one": [_known(row._asdict()) for row in comparison.versus],
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _known(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, measure, print, and return whether every answer was right."""
    given = _parser().parse_args(arguments)
    cores = server.choose_cores()
    plan = Plan(
        given.seconds,
        given.rounds,
        descriptors.possible(given.frontends),
        # In the order of the table, and each once.
        [engine for engine in reference.ENGINES if engine in (given.only or TARGETS)],
        cores,
        shlex.split(given.gateway) if given.gateway else server.GATEWAY,
    )
    comparison = Comparison(plan)
    try:
        if plan.go_engines:
            _say("building the references in Go ...")
            reference.build()
        if cores.load is not None:
            os.sched_setaffinity(0, {cores.load})
        # The drivers make no cycles, and a pause of theirs would be seen as the server's.
        gc.disable()
        comparison.run()
    except (BuildError, ServerError, PeerError, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 2
    print(report.conditions(cores, plan.seconds, plan.rounds), end="\n\n")
    print(tables(comparison))
    print(f"\nThe gateway ran {comparison.runs}.")
    if given.json is not None:
        given.json.write_text(as_json(comparison), encoding="utf-8")
    if comparison.failures:
        print(f"\n{comparison.failures} answers were lost, crossed or refused.")
    return int(comparison.failures > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=_count, default=5, help="how often each server has its turn (default 5)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.5, help="of a turn, after a warm-up (default 1.5)"
    )
    parser.add_argument(
        "--frontends", type=_count, default=10_000, help="that do nothing (default 10000)"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="ENGINE",
        choices=list(reference.ENGINES),
        help=f"{', '.join(reference.ENGINES)}; may be repeated (default: all)",
    )
    parser.add_argument(
        "--gateway", metavar="COMMAND", help="how to start ours (default: python -m gateway)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be 1 at least")
    return count


if __name__ == "__main__":
    sys.exit(main())
