"""What a run of the load-test program found: the one model that is measured into and reported from.

It is written as JSON by `--json`, read again by `--compare`, and drawn by the
report. Seconds are seconds, latencies are milliseconds, both as floats; times
are seconds since the load began. Latency is measured from the moment at which a
question was meant to be asked, not from the one at which it could be sent, so
that a server which stalls shows all that it kept waiting.
"""

from __future__ import annotations

import msgspec

#: Raised when a reader of older files would misunderstand newer ones.
FORMAT = 1


class Result(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One run of one scenario."""

    format: int = FORMAT
    scenario: str
    #: When it began, as RFC 3339 in UTC.
    began: str
    #: What the load consisted of and where it ran, in the order in which to show it.
    conditions: dict[str, str]
    #: How long the load lasted, without connecting and draining.
    seconds: float
    truth: Truth
    latency: Latency
    client: Client
    slices: list[Slice]
    server: list[ServerSample]
    #: How long it took to connect everybody, and how many handshakes were refused.
    connecting: Connecting
    #: The steps of `find-limit`, and nothing for other scenarios.
    steps: list[Step] = []
    #: How it was beside another tenant, where there is one.
    neighbour: Neighbour | None = None
    #: What `--require` asked for, and whether it holds.
    verdicts: list[Verdict] = []


class Truth(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What became of what was asked. All but the first two and `refused` shall be zero."""

    asked: int = 0
    answered: int = 0
    #: Asked, and no reply of any kind came before the drain was over.
    lost: int = 0
    #: More than one reply to one request.
    duplicated: int = 0
    #: A reply with another question's token.
    crossed: int = 0
    #: A reply after the deadline that the caller had set.
    late: int = 0
    #: The server said no (or closed): what it said, and how often.
    refused: dict[str, int] = {}

    @property
    def failures(self) -> int:
        """How often the server broke its promise; a refusal that was not provoked is one, too."""
        return self.lost + self.duplicated + self.crossed + self.late + sum(self.refused.values())


class Latency(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long answers took, in milliseconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    #: All of it: HdrHistogram's own encoding (V2, compressed, base64), values in microseconds.
    histogram: str


class Slice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What happened in one stretch of the run, usually a second."""

    at: float
    seconds: float
    asked: int
    answered: int
    failed: int
    in_flight: int
    #: `None` when nothing was answered.
    p50: float | None
    p99: float | None
    max: float | None
    #: Frames that frontends received.
    frames: int
    #: The longest time by which a turn of the load's own loop was late, in milliseconds.
    lag: float
    #: The share of a core that the busiest process of the load used.
    cpu: float


class ServerSample(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What one instance said of itself at one moment."""

    at: float
    #: The address of its monitoring port.
    instance: str
    rss_bytes: float | None = None
    cpu_seconds: float | None = None
    #: The longest stall of its loop in the last half minute, in milliseconds.
    loop_lag: float | None = None
    #: How much waits, by the name of the gauge.
    queues: dict[str, float] = {}


class Client(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether the load's own side was fit to measure."""

    processes: int
    #: The longest turn of a loop, in milliseconds.
    lag_max: float
    #: The share of a core that the busiest process used, on average; of a search, in the
    #: busiest second of the two steps beside the limit.
    cpu: float
    #: Why the figures say more of the client than of the server; empty when they do not.
    bottleneck: str = ""


class Connecting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How everybody came to be connected."""

    connections: int
    seconds: float
    refused: int


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rate that `find-limit` tried."""

    rate: float
    answered_rate: float
    p50: float
    p99: float
    failed: int
    held: bool
    #: The share of a core that the busiest process of the load used, in its busiest second.
    client_cpu: float | None = None
    #: Cores that the busiest instance used; `None` when nobody asked it.
    server_cpu: float | None = None


class Neighbour(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What another tenant did that asks more than it may, and what that did to this one."""

    #: Milliseconds, without the other one and beside it.
    p99_alone: float
    p99_beside: float
    asked: int
    answered: int
    #: Questions over its quota.
    over_quota: int

    @property
    def ratio(self) -> float | None:
        """How many times as long the p99 is beside it."""
        return self.p99_beside / self.p99_alone if self.p99_alone else None


class Verdict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What became of one requirement."""

    requirement: str
    #: What was measured, as a person reads it.
    found: str
    held: bool
