"""What the process counts, cheaply, and how Prometheus reads it.

Counting happens on the hot path, so what is counted often keeps the children of
its families (`gateway.families`); everything that costs more happens when somebody
scrapes. The names, labels and meanings are a contract with dashboards and
alerts; ours beyond it begin with ``frontend_router_``. It never sees content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway.families import Count, Counter, Histogram, Histograms, Labels
from gateway.process_metrics import ProcessMetrics

#: A number, or numbers by label values for a family that has labels.
Reading: TypeAlias = float | Mapping[Labels, float]

_OTHER: Final = "other"
# The paths that become labels; anybody can invent others.
_ENDPOINTS: Final = frozenset(
    ("/mcp", "/ws", "/health", "/ready", "/live", "/metrics", "/config.json")
)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# A label set costs a line for each sample; 256 of them in each family are
# scraped in a few milliseconds, and no honest deployment comes near.
_COUNTER_LABEL_SETS: Final = 256
_HISTOGRAM_LABEL_SETS: Final = 64

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
    ("frontend_router_large_waiting", "Large messages that wait to be read or written.", ("how",)),
    ("frontend_router_tasks", "Trio tasks that live.", ()),
    ("frontend_router_workers", "Workers that exist.", ()),
    ("frontend_router_workers_busy", "Workers that have a job.", ()),
    ("frontend_router_loop_lag_seconds", "How late the event loop was at its last tick.", ()),
    ("frontend_router_loop_stall_seconds", "Its longest lag in the last 15 to 30 seconds.", ()),
    ("frontend_router_timers", "Deadlines that are armed.", ()),
    ("frontend_router_questions_open", "Questions without an outcome that are known here.", ()),
    ("frontend_router_withdrawals_waiting", "Questions to take back once the store is back.", ()),
    ("frontend_router_receipts_used", "Uses of approvals that the memory store remembers.", ()),
    ("frontend_router_tools_offered", "Tools that the frontends here offer.", ()),
    ("frontend_router_tool_bytes", "Bytes of their definitions.", ()),
    ("frontend_router_presence_watches", "Callers that want to hear who is connected.", ()),
    ("frontend_router_resources_watched", "What sessions with a stream here subscribed to.", ()),
    ("frontend_router_presence_unsaid", "Tenants whose news other instances do not have yet.", ()),
    ("frontend_router_store_usable", "Whether new questions can be stored: 1 or 0.", ()),
    ("frontend_router_store_instances", "Instances that share the store.", ()),
    ("frontend_router_quota_accounts", "Tenants and subjects with quotas that are known here.", ()),
    ("frontend_router_quota_used_percent", "How full the fullest account is here.", ("quota",)),
    ("frontend_router_redis_in_flight", "Commands sent to Redis and not answered yet.", ()),
    ("frontend_router_audit_waiting", "Entries of the audit record not written yet.", ()),
    ("frontend_router_redis_waiting", "Commands that wait to be sent to Redis.", ()),
)


# What a store in Redis counts by itself.
_SHARED_STORE: Final = (
    ("redis_commands", "Commands sent to Redis.", ()),
    ("redis_batches", "Readings that brought their replies: those of one turn come together.", ()),
    ("redis_redirects", "Commands that Redis sent elsewhere.", ("kind",)),
    ("redis_reconnects", "Connections to Redis made again.", ()),
    ("redis_retries", "Commands sent again, for whatever reason.", ()),
    ("redis_refused", "Commands for which there was no room.", ()),
    ("questions_given", "Questions given to an instance that had just answered one.", ()),
    ("session_cache", "Look-ups of sessions, by whether Redis had to be asked.", ("result",)),
    ("events", "What other instances did, by how it was noticed.", ("how",)),
)


@final
class _Route:
    """What is counted of one method on one path."""

    __slots__ = ("_by_status", "_endpoint", "_method", "_requests", "seconds", "sizes")

    def __init__(self, metrics: Metrics, method: str, endpoint: str) -> None:
        self.seconds = metrics.http_duration.labels(method, endpoint)
        self.sizes = metrics.http_response_size.labels(method, endpoint)
        self._requests = metrics.http_requests
        self._method = method
        self._endpoint = endpoint
        self._by_status: dict[int, Count] = {}

    def requests(self, status: int) -> Count:
        count = self._by_status.get(status)
        if count is None:
            count = self._requests.labels(self._method, self._endpoint, str(status))
            self._by_status[status] = count
        return count


@final
class _Call:
    """What is counted of one method, with one tool, that ended in one way."""

    __slots__ = ("requests", "seconds", "tools")

    def __init__(self, metrics: Metrics, method: str, tool: str, status: str) -> None:
        self.requests = metrics.mcp_requests.labels(method, status)
        self.seconds = metrics.mcp_duration.labels(method)
        self.tools = metrics.mcp_tools.labels(tool, status) if tool else None


@final
class _Direction:
    """What is counted of the WebSocket messages that come, or of those that go."""

    __slots__ = ("_by_type", "_family", "_name", "sizes")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.sizes = metrics.websocket_message_size.labels(name)
        self._family = metrics.websocket_messages
        self._name = name
        self._by_type: dict[str, Count] = {}

    def messages(self, message_type: str) -> Count:
        count = self._by_type.get(message_type)
        if count is None:
            count = self._by_type[message_type] = self._family.labels(self._name, message_type)
        return count


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
        self.coded = counter(
            "frontend_router_coded_bytes_total", "Bytes of compressed bodies and of their content.",
            ("coding", "direction", "form"),
        )  # fmt: skip
        self.coding_refused = counter(
            "frontend_router_coding_refused_total",
            "Compressed bodies that were damaged, or too much came out of.", ("coding",),
        )  # fmt: skip
        self.denied = counter(
            "frontend_router_denied_total", "Who was not let in, by reason.", ("reason",)
        )
        self.over_quota = counter(
            "frontend_router_quota_refused_total", "What was over a quota, by its name.", ("quota",)
        )
        self.audited = counter(
            "frontend_router_audit_entries_total",
            "Entries of the audit record: written, or dropped as too many waited.",
            ("result",),
        )
        self.notes_left_out = counter(
            "frontend_router_notes_left_out_total",
            "Questions of which not all was noted, as there was too much.",
            (),
        )
        self.slow_consumers = counter(
            "frontend_router_slow_consumers_total", "Connections closed as nobody read.", ()
        )
        self.redis = {
            name: counter(f"frontend_router_{name}_total", help_, labels)
            for name, help_, labels in _SHARED_STORE
        }
        self.failures = counter(
            "frontend_router_failures_total", "Defects: what ended with an exception.", ("where",)
        )
        # By path and method: tuples of both would have to be made and hashed.
        self._routes: dict[str, dict[str, _Route]] = {}
        self._calls: dict[tuple[str, str, str], _Call] = {}
        self._ends: dict[str, tuple[Count, Histogram]] = {}
        self._in = _Direction(self, "in")
        self._out = _Direction(self, "out")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(self))
        self._registry.register(ProcessMetrics())
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    # -- the hot path

    def request_done(self, method: str, path: str, status: int, seconds: float, size: int) -> None:
        """Count an HTTP request that was answered with ``size`` bytes of body.

        Both words come from outside and may be anything; without a method it was no
        request, and what was sent back is a refusal.
        """
        routes = self._routes.get(path)
        route = None if routes is None else routes.get(method)
        if route is None:
            route = self._route(method, path)
        route.requests(status).inc()
        route.seconds.observe(seconds)
        route.sizes.observe(size)

    def message_in(self, message_type: str, size: int) -> None:
        """Count a WebSocket message that came."""
        self._in.messages(message_type).inc()
        self._in.sizes.observe(size)

    def message_out(self, message_type: str, size: int) -> None:
        """Count a WebSocket message that went."""
        self._out.messages(message_type).inc()
        self._out.sizes.observe(size)

    def mcp_done(self, method: str, tool: str, status: str, seconds: float) -> None:
        """Count an MCP request that has its response; ``tool`` is empty when none ran."""
        call = self._calls.get((method, tool, status))
        if call is None:
            call = self._calls[method, tool, status] = _Call(self, method, tool, status)
        call.requests.inc()
        call.seconds.observe(seconds)
        if call.tools is not None:
            call.tools.inc()

    def question_settled(self, status: str, seconds: float) -> None:
        """Count a question that has its outcome, ``seconds`` after it was asked."""
        end = self._ends.get(status)
        if end is None:
            end = self.questions.labels(status), self.response_time.labels(status)
            self._ends[status] = end
        end[0].inc()
        end[1].observe(seconds)

    def _route(self, method: str, path: str) -> _Route:
        if not method:
            # Never kept under this key, so each of them comes here.
            self.refused.labels("http").inc()
        known_method = method if method in _METHODS else _OTHER
        known_path = path if path in _ENDPOINTS else _OTHER
        routes = self._routes.setdefault(known_path, {})
        route = routes.get(known_method)
        if route is None:
            route = routes[known_method] = _Route(self, known_method, known_path)
        return route

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
            yield _counted(counter.name, counter.help, counter.label_names, samples)
        # All that passed through, in and out: what the name promises on a dashboard.
        messages = self.websocket_messages.total() + self.mcp_requests.total()
        yield _counted("messages_total", "WebSocket messages and MCP requests.", (), {(): messages})
        for family in self._histograms:
            metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
            for labels, histogram in family.children().items():
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
        family = Histograms(name, help_, labels, bounds, _HISTOGRAM_LABEL_SETS)
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
