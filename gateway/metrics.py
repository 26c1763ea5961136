"""What the process counts, cheaply, and how Prometheus reads it.

Counting happens on the hot path, so a family is a plain dict keyed by the values
of its labels and an increment costs about a tenth of a microsecond; everything
that costs more happens when somebody scrapes. The names, labels and meanings
are a contract with dashboards and alerts; ours beyond it begin with
``frontend_router_``.

It refuses to grow with what peers send: past a bound on the label sets of a
family, further ones are counted together as ``other``. It never sees content.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

Labels: TypeAlias = tuple[str, ...]
#: A number, or numbers by label values for a family that has labels.
Reading: TypeAlias = float | Mapping[Labels, float]

_OTHER: Final = "other"
# A label set costs a line for each sample; 256 of them in each family are
# scraped in a few milliseconds, and no honest deployment comes near.
_COUNTER_LABEL_SETS: Final = 256
_HISTOGRAM_LABEL_SETS: Final = 64
_LABEL_LENGTH: Final = 100

# Go's default buckets; finer below, where most of our requests are, and coarser
# above, where calls wait for a person.
_SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 600.0),
)
_PERSON_SECONDS: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0)
_BYTES: Final = (100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)

# Read when scraped: name, help, labels.
_GAUGES: Final = (
    ("http_requests_in_flight", "HTTP requests being served.", ()),
    ("websocket_connections_active", "Open WebSockets.", ()),
    ("mcp_active_requests", "MCP requests waiting for their response.", ()),
    ("channel_utilization_percent", "How full a bounded queue is.", ("channel_name",)),
    ("active_user_sessions", "Frontends that said who they are and are attached.", ()),
    ("frontend_router_info", "Always 1; the labels tell what runs here.", ("version", "instance")),
    ("frontend_router_connections", "Open connections on the WebSocket and MCP ports.", ()),
    ("frontend_router_connections_blocked", "Connections whose peer does not read.", ()),
    ("frontend_router_outbox_bytes", "Bytes waiting for peers that do not read.", ()),
    ("frontend_router_worker_queue_depth", "Jobs waiting for a worker.", ()),
    ("frontend_router_workers", "Workers that exist.", ()),
    ("frontend_router_workers_busy", "Workers that have a job.", ()),
    ("frontend_router_loop_lag_seconds", "How late the event loop was at its last tick.", ()),
    ("frontend_router_timers", "Deadlines that are armed.", ()),
    ("frontend_router_questions_open", "Questions without an outcome, in the store.", ()),
)


@final
class Counter(dict[Labels, int]):
    """Counts by label values: ``family[("GET", "/mcp", "200")] += 1``.

    Once the family is full, each new label set stays only until the next one
    comes; then it is added to ``other``. Known label sets never pay for that.
    """

    __slots__ = ("_limit", "_newest", "help", "labels", "name")

    def __init__(self, name: str, help_: str, labels: Labels, limit: int) -> None:
        super().__init__()
        self.name = name
        self.help = help_
        self.labels = labels
        self._limit = limit
        self._newest: Labels | None = None

    def __missing__(self, key: Labels) -> int:
        if len(key) != len(self.labels):
            raise KeyError(f"{self.name} has the labels {self.labels}, not {key}")
        if len(self) >= self._limit or max(map(len, key), default=0) > _LABEL_LENGTH:
            self._fold()
            self._newest = key
        return 0

    def _fold(self) -> None:
        if self._newest is not None and self._newest in self:
            other = (_OTHER,) * len(self.labels)
            count = self.pop(self._newest)
            self[other] = self.get(other, 0) + count
        self._newest = None

    def samples(self) -> dict[Labels, float]:
        """Return the counts as they are to be shown."""
        self._fold()
        if not self.labels:
            return {(): self.get((), 0)}
        return dict(self)


@final
class Histogram:
    """How often a value fell into each bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bucket includes its upper bound."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return upper bounds and how many values are up to each."""
        so_far = 0
        cumulative = []
        names = [*map(str, self._bounds), "+Inf"]
        for name, count in zip(names, self.counts, strict=True):
            so_far += count
            cumulative.append((name, float(so_far)))
        return cumulative


@final
class Histograms(dict[Labels, Histogram]):
    """Histograms by label values: ``family[("GET", "/mcp")].observe(0.01)``."""

    __slots__ = ("bounds", "help", "labels", "name")

    def __init__(self, name: str, help_: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.name = name
        self.help = help_
        self.labels = labels
        self.bounds = bounds

    def __missing__(self, key: Labels) -> Histogram:
        if len(key) != len(self.labels):
            raise KeyError(f"{self.name} has the labels {self.labels}, not {key}")
        if len(self) >= _HISTOGRAM_LABEL_SETS or max(map(len, key), default=0) > _LABEL_LENGTH:
            key = (_OTHER,) * len(self.labels)
        return self.setdefault(key, Histogram(self.bounds))


@final
class Metrics:
    """Every family of the process; see the attributes for what may be counted."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: list[Histograms] = []
        self._reads: list[Callable[[], Mapping[str, Reading]]] = []
        counter, histograms = self._counter, self._histogram_family
        route = ("method", "endpoint")
        self.http_requests = counter(
            "http_requests_total", "HTTP requests answered.", (*route, "status_code")
        )
        self.http_duration = histograms(
            "http_request_duration_seconds", "From a request to its last byte.", route, _SECONDS
        )
        self.http_response_size = histograms(
            "http_response_size_bytes", "Bytes of response bodies.", route, _BYTES
        )
        self.websocket_messages = counter(
            "websocket_messages_total", "WebSocket messages.", ("direction", "message_type")
        )
        self.websocket_message_size = histograms(
            "websocket_message_size_bytes", "Bytes of WebSocket messages.", ("direction",), _BYTES
        )
        self.websocket_connections = counter(
            "websocket_connections_total", "What happened to WebSockets.", ("event",)
        )
        self.mcp_requests = counter(
            "mcp_requests_total", "MCP requests answered.", ("method", "status")
        )
        self.mcp_duration = histograms(
            "mcp_request_duration_seconds", "From an MCP request to its response.",
            ("method",), _SECONDS,
        )  # fmt: skip
        self.mcp_tools = counter(
            "mcp_tool_executions_total", "Tools that ran.", ("tool_name", "status")
        )
        self.questions = counter(
            "user_questions_total", "Questions, by what became of them.", ("status",)
        )
        self.response_time = histograms(
            "user_response_time_seconds", "From a question to its outcome.",
            ("status",), _PERSON_SECONDS,
        )  # fmt: skip
        self.accepted = counter(
            "frontend_router_connections_accepted_total", "Connections accepted.", ()
        )
        self.refused = counter(
            "frontend_router_refused_total", "What was turned away, by reason.", ("reason",)
        )
        self.slow_consumers = counter(
            "frontend_router_slow_consumers_total", "Connections closed as nobody read.", ()
        )
        self.failures = counter(
            "frontend_router_failures_total", "Defects: what ended with an exception.", ("where",)
        )
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(self))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    # -- the hot path

    def request_done(
        self, method: str, endpoint: str, status: str, seconds: float, size: int
    ) -> None:
        """Count an HTTP request that was answered with ``size`` bytes of body.

        ``method`` and ``endpoint`` must come from sets that we chose.
        """
        route = (method, endpoint)
        self.http_requests[method, endpoint, status] += 1
        self.http_duration[route].observe(seconds)
        self.http_response_size[route].observe(size)

    def message(self, direction: str, message_type: str, size: int) -> None:
        """Count a WebSocket message that came ("in") or went ("out")."""
        self.websocket_messages[direction, message_type] += 1
        self.websocket_message_size[direction,].observe(size)

    def mcp_done(self, method: str, status: str, seconds: float) -> None:
        """Count an MCP request that has its response."""
        self.mcp_requests[method, status] += 1
        self.mcp_duration[method,].observe(seconds)

    def question_settled(self, status: str, seconds: float) -> None:
        """Count a question that has its outcome, ``seconds`` after it was asked."""
        self.questions[status,] += 1
        self.response_time[status,].observe(seconds)

    # -- when scraped

    def gauge(self, name: str, read: Callable[[], Reading]) -> None:
        """Have a declared gauge, or a declared counter, read from ``read`` at each scrape.

        What is read of a counter is added to what was counted here.

        Raises:
            KeyError: no such family is declared.
        """
        if name not in self._counters and name not in {gauge[0] for gauge in _GAUGES}:
            raise KeyError(name)
        self._reads.append(lambda: {name: read()})

    def read_from(self, read: Callable[[], Mapping[str, Reading]]) -> None:
        """Have several declared families read at once, for numbers that come together."""
        self._reads.append(read)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all families as text in the format ``accept`` prefers, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def families(self) -> Iterator[Metric]:
        """Yield every family as it is now."""
        read = self._read()
        for counter in self._counters.values():
            samples = counter.samples()
            for labels, value in read.get(counter.name, {}).items():
                samples[labels] = samples.get(labels, 0) + value
            yield _counted(counter.name, counter.help, counter.labels, samples)
        # All that passed through, in and out: what the name promises on a dashboard.
        messages = sum(self.websocket_messages.values()) + sum(self.mcp_requests.values())
        yield _counted("messages_total", "WebSocket messages and MCP requests.", (), {(): messages})
        for family in self._histograms:
            metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for labels, histogram in family.items():
                metric.add_metric(labels, histogram.buckets(), histogram.total)
            yield metric
        for name, help_, names in _GAUGES:
            gauge = GaugeMetricFamily(name, help_, labels=names)
            for labels, value in read.get(name, {} if names else {(): 0}).items():
                gauge.add_metric(labels, value)
            yield gauge

    def _read(self) -> dict[str, Mapping[Labels, float]]:
        found: dict[str, Mapping[Labels, float]] = {}
        for read in self._reads:
            for name, reading in read().items():
                found[name] = reading if isinstance(reading, Mapping) else {(): reading}
        return found

    def _counter(self, name: str, help_: str, labels: Labels) -> Counter:
        counter = self._counters[name] = Counter(name, help_, labels, _COUNTER_LABEL_SETS)
        return counter

    def _histogram_family(
        self, name: str, help_: str, labels: Labels, bounds: tuple[float, ...]
    ) -> Histograms:
        family = Histograms(name, help_, labels, bounds)
        self._histograms.append(family)
        return family


def _counted(name: str, help_: str, labels: Labels, samples: Mapping[Labels, float]) -> Metric:
    metric = CounterMetricFamily(name, help_, labels=labels)
    for values, count in samples.items():
        metric.add_metric(values, count)
    return metric


@final
class _Families(Collector):
    """What prometheus-client asks for the families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()
