"""A run as the load-test program would have found it, made up and always the same."""

from __future__ import annotations

import functools
import math
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from loadtest.result import (
    Client,
    Connecting,
    Latency,
    Result,
    ServerSample,
    Slice,
    Step,
    Truth,
    Verdict,
)

SECONDS = 60
RATE = 2_000


def result(**changed: Any) -> Result:
    """Return a run in which all went well, but for what is ``changed``."""
    seconds = changed.pop("seconds", SECONDS)
    made = Result(
        scenario="steady",
        began="2026-03-01T12:00:00Z",
        conditions={"rate": "2,000/s", "processor": "Imaginary 9000, 8 cores"},
        seconds=float(seconds),
        truth=Truth(asked=RATE * seconds, answered=RATE * seconds),
        latency=latency(),
        client=Client(processes=2, lag_max=4.5, cpu=0.62),
        slices=[second(at) for at in range(seconds)],
        server=[sample(at) for at in range(seconds)],
        connecting=Connecting(connections=500, seconds=0.8, refused=0),
    )
    return msgspec.structs.replace(made, **changed)


def empty() -> Result:
    """Return a run in which nothing happened."""
    return result(
        seconds=0,
        conditions={},
        truth=Truth(),
        latency=Latency(count=0, mean=0, p50=0, p90=0, p99=0, p999=0, max=0, histogram=""),
        client=Client(processes=0, lag_max=0, cpu=0),
        connecting=Connecting(connections=0, seconds=0, refused=0),
    )


def find_limit() -> Result:
    """Return a search whose highest rate that held was 4,000 in a second."""
    return result(
        scenario="find-limit",
        steps=[
            Step(
                rate=rate,
                answered_rate=answered,
                p50=p50,
                p99=p99,
                failed=failed,
                held=held,
                client_cpu=rate / 16_000,
                server_cpu=None if rate == 1_000 else answered / 5_500,
            )
            for rate, answered, p50, p99, failed, held in (
                (1_000.0, 1_000.0, 0.9, 2.0, 0, True),
                (2_000.0, 2_000.0, 1.0, 2.6, 0, True),
                (8_000.0, 5_100.0, 400.0, 1_900.0, 31, False),
                (4_000.0, 4_000.0, 1.2, 6.0, 0, True),
                (6_000.0, 5_000.0, 90.0, 700.0, 0, False),
            )
        ],
    )


def broken() -> Result:
    """Return a run of which everything is to be said that nobody likes to hear."""
    asked = RATE * SECONDS
    return result(
        truth=Truth(
            asked=asked,
            answered=asked - 14,
            lost=3,
            duplicated=1,
            crossed=2,
            late=4,
            refused={"HTTP 503": 7},
        ),
        client=Client(processes=2, lag_max=950.0, cpu=0.99, bottleneck="its loop was 950 ms late"),
        verdicts=[
            Verdict(requirement="p99<20ms", found="4.1 ms", held=True),
            Verdict(requirement="lost==0", found="3", held=False),
        ],
    )


@functools.cache
def latency() -> Latency:
    """Return a hundred thousand latencies with a long tail."""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    count = 100_000
    for rank in range(count):
        histogram.record_value(int(600 + 180 * math.log(count / (count - rank)) ** 2.1))

    def at(percent: float) -> float:
        return float(histogram.get_value_at_percentile(percent)) / 1e3

    return Latency(
        count=count,
        mean=float(histogram.get_mean_value()) / 1e3,
        p50=at(50),
        p90=at(90),
        p99=at(99),
        p999=at(99.9),
        max=at(100),
        histogram=histogram.encode().decode("ascii"),
    )


def second(at: int) -> Slice:
    """Return the slice of one second, with a stall at every fortieth."""
    stalled = at % 40 == 39
    wave = math.sin(at / 7)
    return Slice(
        at=float(at),
        seconds=1.0,
        asked=RATE,
        answered=RATE - 900 if stalled else RATE,
        failed=0,
        in_flight=950 if stalled else 30 + int(12 * wave),
        p50=0.7 + 0.1 * wave,
        p99=180.0 if stalled else 3.0 + wave,
        max=320.0 if stalled else 7.0 + 2 * math.sin(at * 1.7),
        frames=2 * RATE,
        lag=2.0 + math.sin(at / 3),
        cpu=0.6 + 0.05 * wave,
    )


def sample(at: int, instance: str = "127.0.0.1:8082") -> ServerSample:
    """Return what the gateway said in that second."""
    return ServerSample(
        at=float(at),
        instance=instance,
        rss_bytes=80.0 * 2**20 + at * 20_000,
        cpu_seconds=1.0 + at * 0.55,
        loop_lag=210.0 if at % 40 == 39 else 1.0 + abs(math.sin(at)),
        queues={
            "frontend_router_worker_queue_depth": 90.0 if at % 40 == 39 else 2.0 + at % 3,
            "frontend_router_outbox_bytes": 4_000.0 * (at % 5),
            "frontend_router_connections_blocked": 0.0,
        },
    )
