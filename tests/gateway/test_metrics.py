"""Families, their bounds, and the text that Prometheus reads."""

from __future__ import annotations

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics

# The contract with dashboards: name as the parser calls the family, type, labels of a sample.
CONTRACT = [
    ("http_requests", "counter", {"method", "endpoint", "status_code"}),
    ("http_request_duration_seconds", "histogram", {"method", "endpoint", "le"}),
    ("http_response_size_bytes", "histogram", {"method", "endpoint", "le"}),
    ("http_requests_in_flight", "gauge", set()),
    ("websocket_connections_active", "gauge", set()),
    ("websocket_messages", "counter", {"direction", "message_type"}),
    ("websocket_message_size_bytes", "histogram", {"direction", "le"}),
    ("websocket_connections", "counter", {"event"}),
    ("mcp_requests", "counter", {"method", "status"}),
    ("mcp_request_duration_seconds", "histogram", {"method", "le"}),
    ("mcp_tool_executions", "counter", {"tool_name", "status"}),
    ("mcp_active_requests", "gauge", set()),
    ("channel_utilization_percent", "gauge", {"channel_name"}),
    ("user_questions", "counter", {"status"}),
    ("user_response_time_seconds", "histogram", {"status", "le"}),
    ("active_user_sessions", "gauge", set()),
    ("messages", "counter", set()),
    ("frontend_router_connections", "gauge", set()),
    ("frontend_router_outbox_bytes", "gauge", set()),
    ("frontend_router_worker_queue_depth", "gauge", set()),
    ("frontend_router_loop_lag_seconds", "gauge", set()),
    ("frontend_router_refused", "counter", {"reason"}),
    ("frontend_router_audit_entries", "counter", {"result"}),
    ("frontend_router_audit_waiting", "gauge", set()),
]


def scraped(metrics: Metrics) -> dict[str, Metric]:
    """Return the families that a scraper finds."""
    text = metrics.render()[0].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def used() -> Metrics:
    """Return metrics in which each family with labels has a sample."""
    metrics = Metrics()
    metrics.request_done("POST", "/mcp", 200, 0.002, 345)
    metrics.message_in("user_response", 60)
    metrics.websocket_connections.labels("connected").inc()
    metrics.mcp_done("tools/call", "ask_user", "ok", 0.3)
    metrics.question_settled("answered", 12.0)
    metrics.refused.labels("queue_full").inc()
    metrics.audited.labels("written").inc()
    metrics.gauge("channel_utilization_percent", lambda: {("workers",): 25.0})
    return metrics


@pytest.mark.parametrize(("name", "kind", "labels"), CONTRACT, ids=[row[0] for row in CONTRACT])
def test_every_family_of_the_contract_is_scraped(name: str, kind: str, labels: set[str]) -> None:
    families = scraped(used())
    assert families[name].type == kind
    assert set(families[name].samples[0].labels) == labels


def test_families_without_labels_are_there_before_anything_happened() -> None:
    text = Metrics().render()[0].decode()
    for line in (
        "messages_total 0.0",
        "websocket_connections_active 0.0",
        "active_user_sessions 0.0",
    ):
        assert line in text.splitlines()


def test_the_buckets_of_response_times_are_the_contracts() -> None:
    families = scraped(used())
    samples = families["user_response_time_seconds"].samples
    bounds = [sample.labels["le"] for sample in samples if sample.name.endswith("_bucket")]
    assert [float(bound) for bound in bounds] == [1, 5, 10, 30, 60, 300, 600, 1800, float("inf")]


def test_messages_total_counts_both_kinds_of_traffic() -> None:
    metrics = Metrics()
    metrics.message_in("connect", 1)
    metrics.message_out("connect_ack", 1)
    metrics.mcp_done("ping", "", "ok", 0.0)
    assert "messages_total 3.0" in metrics.render()[0].decode().splitlines()


def test_the_process_is_described() -> None:
    assert {"python_info", "python_gc_collections"} <= scraped(Metrics()).keys()


def test_openmetrics_is_spoken_to_those_who_ask_for_it() -> None:
    text, content_type = used().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # theirs
    assert "http_requests" in {family.name for family in families}


def test_two_instances_share_nothing() -> None:
    used()
    assert "tools/call" not in Metrics().render()[0].decode()


@pytest.mark.parametrize(
    ("method", "path", "line"),
    [
        ("GET", "/ws", 'endpoint="/ws",method="GET",status_code="404"'),
        ("BREW", "/mcp", 'endpoint="/mcp",method="other",status_code="404"'),
        ("GET", "/etc/passwd", 'endpoint="other",method="GET",status_code="404"'),
    ],
)
def test_words_from_outside_are_no_labels(method: str, path: str, line: str) -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.request_done(method, path, 404, 0.001, 10)
    lines = metrics.render()[0].decode().splitlines()
    assert f"http_requests_total{{{line}}} 3.0" in lines
    assert not any("frontend_router_refused_total{" in each for each in lines)


def test_what_was_no_request_is_a_refusal_each_time() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.request_done("", "", 400, 0.0, 10)
    lines = metrics.render()[0].decode().splitlines()
    assert 'frontend_router_refused_total{reason="http"} 3.0' in lines


def test_a_gauge_is_read_at_each_scrape() -> None:
    metrics = Metrics()
    readings = iter([3, 4])
    metrics.gauge("websocket_connections_active", lambda: next(readings))
    for line in ("websocket_connections_active 3.0", "websocket_connections_active 4.0"):
        assert line in metrics.render()[0].decode().splitlines()


def test_what_is_read_of_a_counter_is_added_to_what_was_counted() -> None:
    metrics = Metrics()
    metrics.refused.labels("connections").inc()
    metrics.read_from(
        lambda: {
            "frontend_router_refused_total": {("connections",): 2, ("queue_full",): 7},
            "frontend_router_connections_accepted_total": 9,
        }
    )
    lines = metrics.render()[0].decode().splitlines()
    assert 'frontend_router_refused_total{reason="connections"} 3.0' in lines
    assert 'frontend_router_refused_total{reason="queue_full"} 7.0' in lines
    assert "frontend_router_connections_accepted_total 9.0" in lines


def test_an_undeclared_gauge_is_refused() -> None:
    with pytest.raises(KeyError, match="websocket_conections"):
        Metrics().gauge("websocket_conections", lambda: 1)


def test_awkward_label_values_survive_the_scrape() -> None:
    metrics = Metrics()
    metrics.mcp_tools.labels('a"b\\c\nd', "ok").inc()
    families = scraped(metrics)
    assert families["mcp_tool_executions"].samples[0].labels["tool_name"] == 'a"b\\c\nd'
