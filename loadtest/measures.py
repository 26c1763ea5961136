"""One run of one load against a server that is already there.

It measures, and refuses to interpret: medians, targets and tables are `loadtest.bench`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from loadtest import drivers, requests
from loadtest.load import Load, opened_load
from loadtest.server import Server

WARM_UP_SECONDS: Final = 0.4
# A server without `connect` has no acknowledgement to wait for.
_ATTACH_SECONDS: Final = 0.5
_SETTLE_SECONDS: Final = 1.0
# Longer than a gateway waits before it begins a stream.
_BEGUN_SECONDS: Final = 3.0
CALLERS: Final = 64
_FRONTENDS: Final = 10
_CONNECTIONS: Final = 100
_FAN_OUT_CALLERS: Final = 8


class Sample(NamedTuple):
    """One run: what was done in how much of whose time. Costs are not-a-number when unknown."""

    rate: float
    user_us: float
    system_us: float
    #: Seconds, as the percentiles.
    mean: float
    p50: float
    p99: float
    server_share: float
    load_share: float
    #: The share of the time in which somebody else had the server's core; 0 where unknown.
    waited_share: float
    #: How many requests were being served on average: rate times mean latency.
    busy: float
    #: Requests without any reply.
    lost: int
    streamed: int
    failures: int
    first_refusal: bytes


class Idleness(NamedTuple):
    """What those cost who wait."""

    cpu_share: float
    bytes_each: float
    failures: int


def ask(  # noqa: PLR0913 - which load this is
    server: Server,
    revision: str,
    seconds: float,
    *,
    ours: bool = True,
    says_connect: bool = True,
    callers: int = CALLERS,
    frontends: int = _FRONTENDS,
) -> Sample:
    """Measure round trips: a caller's question, a frontend's answer.

    A server that is not ``ours`` need not know `initialize`, and one whose
    frontends do not say `connect` need not know that either.
    """
    with opened_load() as load:
        drivers.add_frontends(load, server.ws_port, frontends, says_connect=says_connect)
        if not says_connect:
            load.run(_ATTACH_SECONDS)
        askers = drivers.add_callers(load, server.mcp_port, callers, revision, initialize=ours)
        drivers.begin(load, askers)
        sample = _measure(server, load, seconds)
        # The system tells how long a program's first thread waited, and others may work elsewhere.
        return sample if ours else sample._replace(waited_share=0.0)


def request(  # noqa: PLR0913 - which load this is
    server: Server,
    method: str,
    params: Mapping[str, object],
    seconds: float,
    *,
    ours: bool = True,
    callers: int = CALLERS,
) -> Sample:
    """Measure requests that need no person, in the handshake era, which all servers speak."""
    with opened_load() as load:
        port, revision = server.mcp_port, requests.HANDSHAKE
        askers = drivers.add_requesters(
            load, port, callers, revision, method=method, params=params, initialize=ours
        )
        drivers.begin(load, askers)
        sample = _measure(server, load, seconds)
        return sample if ours else sample._replace(waited_share=0.0)


def waits(server: Server, count: int) -> Idleness:
    """Measure what so many callers cost whose questions nobody answers, each with its stream."""
    with opened_load() as load:
        empty = server.memory()
        callers = drivers.add_callers(
            load, server.mcp_port, count, requests.MODERN, arguments={"timeout_seconds": 3600}
        )
        drivers.begin(load, callers)
        # Until every stream has begun, and what making them took is given back.
        load.run(_BEGUN_SECONDS)
        before, begun = server.cpu(), time.perf_counter()
        load.run(_SETTLE_SECONDS)
        spent = sum(server.cpu()) - sum(before)
        found = Idleness(
            spent / (time.perf_counter() - begun),
            (server.memory() - empty) / count,
            load.tally.failures,
        )
        load.asking = False
        return found


def messages(
    server: Server, depth: int, seconds: float, *, connections: int = _CONNECTIONS
) -> Sample:
    """Measure WebSocket messages that each have one reply."""
    with opened_load() as load:
        drivers.begin(load, drivers.add_messengers(load, server.ws_port, connections, depth))
        return _measure(server, load, seconds)


def fan_out(
    server: Server, frontends: int, seconds: float, *, callers: int = _FAN_OUT_CALLERS
) -> Sample:
    """Measure frames when everybody is shown every question and one of them answers.

    Everybody gets two frames a question, that it is asked and how it ended; one
    who got fewer than the others is a failure.
    """
    digits = len(str(frontends - 1))
    with opened_load() as load:
        shown = drivers.add_frontends(
            load, server.ws_port, frontends, turn=lambda index: f"{index:0{digits}d}"
        )
        askers = drivers.add_callers(
            load, server.mcp_port, callers, requests.MODERN, arguments={"delivery": "all"}
        )
        drivers.begin(load, askers)
        sample = _measure(server, load, seconds, frames=True)
        load.run(WARM_UP_SECONDS)
        most = max(frontend.frames for frontend in shown)
        missing = sum(most - frontend.frames for frontend in shown)
        return sample._replace(failures=sample.failures + missing)


def idle(server: Server, watched: int, count: int, seconds: float) -> Idleness:
    """Measure the CPU share that ``watched`` frontends cost, and the memory that ``count`` do."""
    with opened_load() as load:
        empty = server.memory()
        drivers.add_frontends(load, server.ws_port, watched)
        load.run(_SETTLE_SECONDS)
        before = server.cpu_seconds()
        # The load is idle, too: nothing of ours keeps the gateway awake.
        begun = time.perf_counter()
        load.run(seconds)
        spent = time.perf_counter() - begun
        used = server.cpu_seconds() - before
        drivers.add_frontends(load, server.ws_port, count - watched)
        load.run(_SETTLE_SECONDS)
        return Idleness(
            used / spent,
            (server.memory() - empty) / count,
            load.tally.failures,
        )


def _measure(server: Server, load: Load, seconds: float, *, frames: bool = False) -> Sample:
    load.run(WARM_UP_SECONDS)
    load.open_window()
    before, waited = server.cpu(), server.waited()
    took = load.run(seconds)
    after, waited = server.cpu(), server.waited() - waited
    tally = load.tally
    done = (tally.frames if frames else tally.answered) or 1
    latencies = sorted(tally.seconds) or [math.nan]
    streamed = tally.streamed
    share = load.cpu_share
    load.drain()
    user, system = after.user - before.user, after.system - before.system
    return Sample(
        rate=done / took,
        user_us=user / done * 1e6,
        system_us=system / done * 1e6,
        mean=sum(latencies) / len(latencies),
        p50=latencies[len(latencies) // 2],
        p99=latencies[int(len(latencies) * 0.99)],
        server_share=(user + system) / took,
        load_share=share,
        waited_share=waited / took,
        busy=sum(latencies) / took,
        lost=tally.lost,
        streamed=streamed,
        failures=tally.failures,
        first_refusal=tally.first_refusal,
    )
