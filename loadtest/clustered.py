"""What a question costs that is asked at one gateway and answered at another.

`python -m loadtest.clustered`: a real Redis Cluster of six nodes, two gateways on one
core, the load and Redis on the other. Asked on A, answered on B; what both gateways
spend together is what is compared with the target. It refuses to call a run good in
which an answer was lost or went astray, or after which not everybody is served again:
then the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from gateway import errors
from haproxy.redis_node import RedisServerError
from haproxy.redis_shards import running_cluster
from loadtest import descriptors, drivers, measures, report, requests, server
from loadtest.callers import Caller
from loadtest.handshakes import PeerError
from loadtest.load import opened_load
from loadtest.server import Server, ServerError

CALLERS: Final = 64
FRONTENDS: Final = 10
_TARGET_US: Final = 80.0
_TARGET_RECOVERY_SECONDS: Final = 15.0
_GIVE_UP_SECONDS: Final = 60.0
_SLICE_SECONDS: Final = 0.05
# Within this time every caller has asked a question that the dead primary would have.
_STRUCK_SECONDS: Final = 1.0
_COUNTED: Final = (
    "frontend_router_redis_commands_total",
    "frontend_router_redis_batches_total",
)


class Round(NamedTuple):
    """One run: what a round trip cost whom."""

    rate: float
    a_us: float
    b_us: float
    p50: float
    p99: float
    commands: float
    batches: float
    failures: int

    @property
    def both_us(self) -> float:
        """The CPU time of both gateways, in microseconds."""
        return self.a_us + self.b_us


def measured(a: Server, b: Server, seconds: float, callers: int = CALLERS) -> Round:
    """Measure round trips: asked on A, answered on B."""
    with opened_load() as load:
        drivers.add_frontends(load, b.ws_port, FRONTENDS)
        askers = drivers.add_callers(load, a.mcp_port, callers, requests.HANDSHAKE)
        drivers.begin(load, askers)
        load.run(measures.WARM_UP_SECONDS)
        load.open_window()
        before = (a.cpu(), b.cpu())
        counted = _counted(a, b)
        took = load.run(seconds)
        after = (a.cpu(), b.cpu())
        done = load.tally.answered or 1
        latencies = sorted(load.tally.seconds) or [0.0]
        sent = [now - then for now, then in zip(_counted(a, b), counted, strict=True)]
        load.drain()
        a_us, b_us = (
            (sum(now) - sum(then)) / done * 1e6 for now, then in zip(after, before, strict=True)
        )
        return Round(
            rate=done / took,
            a_us=a_us,
            b_us=b_us,
            p50=latencies[len(latencies) // 2] * 1e3,
            p99=latencies[int(len(latencies) * 0.99)] * 1e3,
            commands=sent[0] / done,
            batches=sent[1] / done,
            failures=load.tally.failures,
        )


def _counted(*servers: Server) -> list[float]:
    """Return what all of them have sent to Redis so far, and in how many pieces it came back."""
    totals = dict.fromkeys(_COUNTED, 0.0)
    for each in servers:
        address = f"http://127.0.0.1:{each.monitoring_port}/metrics"
        with urllib.request.urlopen(address, timeout=5) as response:
            text = response.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in totals:
                    totals[sample.name] += sample.value
    return [totals[name] for name in _COUNTED]


class Recovery(NamedTuple):
    """What came of a primary's death."""

    seconds: float
    #: Whether everybody got an answer again within them.
    served: bool
    #: Questions that were refused with the words that the store is away: it was, and that is told.
    refused: int
    #: All else that was no answer in time to whoever asked.
    failures: int


def recovery(
    a: Server, b: Server, kill: Callable[[], None], patience: float = _GIVE_UP_SECONDS
) -> Recovery:
    """Kill a primary under load, and wait until everybody has an answer again, or give up."""
    with opened_load() as load:
        drivers.add_frontends(load, b.ws_port, FRONTENDS)
        askers = drivers.add_callers(load, a.mcp_port, CALLERS, requests.MODERN)
        drivers.begin(load, askers)
        load.run(measures.WARM_UP_SECONDS)
        kill()
        killed = now = time.perf_counter()
        waiting: dict[Caller, int] = {}
        while now - killed < patience:
            if now - killed < _STRUCK_SECONDS:
                # Each of these questions has to be answered; most are not struck.
                waiting |= {asker: asker.answered for asker in askers}
            elif not waiting:
                break
            load.run(_SLICE_SECONDS)
            now = time.perf_counter()
            # Nobody is served by a refusal, after which the next question is asked, too.
            waiting = {asker: had for asker, had in waiting.items() if asker.answered == had}
        load.drain()
        away = load.tally.refusals.get(errors.STORE_AWAY.encode(), 0)
        return Recovery(now - killed, not waiting, away, load.tally.failures - away)


def _lines(rounds: Sequence[Round], recovered: Recovery) -> Iterator[str]:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    both = middle("both_us")
    yield f"round trips, {CALLERS} callers at A, {FRONTENDS} frontends at B, delivery one"
    yield f"  a second                {middle('rate'):,.0f}"
    yield f"  CPU of A, of B          {middle('a_us'):.1f} us, {middle('b_us'):.1f} us"
    yield f"  CPU of both             {both:.1f} us   {_said(both, _TARGET_US, 'us')}"
    yield f"  p50, p99                {middle('p50'):.2f} ms, {middle('p99'):.2f} ms"
    made = "admit at A, settle at B, hold if not given"
    yield f"  commands to Redis       {middle('commands'):.2f}: {made}"
    yield f"  replies came in         {middle('batches'):.2f} readings each"
    again = "all served again after" if recovered.served else "NOT served again in"
    in_time = recovered.served and recovered.seconds <= _TARGET_RECOVERY_SECONDS
    judged = _judged(_TARGET_RECOVERY_SECONDS, "s", reached=in_time)
    yield f"a primary killed          {again} {recovered.seconds:.1f} s   {judged}"
    yield f"  refused meanwhile       {recovered.refused:,}, as the store was away"


def _said(value: float, most: float, unit: str) -> str:
    return _judged(most, unit, reached=value <= most)


def _judged(most: float, unit: str, *, reached: bool) -> str:
    return f"target <= {most:g} {unit}  {'reached' if reached else 'MISSED'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 when not everybody got their own answer."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.clustered", description=__doc__)
    parser.add_argument("--gateway", default=shlex.join(server.GATEWAY), help="how to start one")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run [3]")
    parser.add_argument("--runs", type=int, default=5, help="medians are of so many [5]")
    options = parser.parse_args(arguments)
    descriptors.allow_many()
    cores = server.choose_cores()
    print(report.conditions(cores, options.seconds, options.runs))
    try:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            with server.pinned(cores.load):
                cluster = stack.enter_context(running_cluster(Path(folder)))
            flags = ("--store", cluster.url, "--delivery", "one")
            command = shlex.split(options.gateway)
            a, b = (
                stack.enter_context(server.gateway(cores.server, *flags, command=command))
                for _ in range(2)
            )
            with server.pinned(cores.load):
                rounds = [measured(a, b, options.seconds) for _ in range(options.runs)]
                recovered = recovery(a, b, cluster.primaries[0].kill)
            for line in _lines(rounds, recovered):
                print(line)
            print(f"\nBoth gateways ran {a.runs}, on one core; Redis and the load on the other.")
    except (ServerError, PeerError, RedisServerError) as error:
        print(f"loadtest.clustered: {error}", file=sys.stderr)
        return 1
    return _status(rounds, recovered)


def _status(rounds: Sequence[Round], recovered: Recovery) -> int:
    """Return the exit status, and say why it is 1."""
    failures = recovered.failures + sum(each.failures for each in rounds)
    if failures:
        print(f"{failures} answers were lost, refused or went astray", file=sys.stderr)
    if not recovered.served:
        print("NOT served again after a primary was killed", file=sys.stderr)
    return int(failures > 0 or not recovered.served)


if __name__ == "__main__":
    sys.exit(main())
