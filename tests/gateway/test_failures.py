"""Defects in the log: seen, and not a flood of them."""

from __future__ import annotations

from structlog.testing import capture_logs

from gateway.failures import Failures
from gateway.floodgate import PER_SECOND
from tests.wire import Clock


def test_a_defect_is_logged_with_where_it_happened() -> None:
    failures = Failures(Clock().timers)
    with capture_logs() as lines:
        failures.connection(None, ValueError("a timer"))
        failures.job("acme", KeyError("a job"))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("connection_failed", "error"),
        ("job_failed", "error"),
    ]
    assert lines[1]["tenant"] == "acme"
    assert isinstance(lines[1]["exc_info"], KeyError)


def test_who_brings_a_defect_about_again_and_again_fills_no_log() -> None:
    clock = Clock()
    failures = Failures(clock.timers)
    with capture_logs() as lines:
        for _ in range(500):
            failures.connection(None, ValueError("again"))
            failures.job("acme", ValueError("again"))
        failures.job("acme", KeyError("another one"))
        clock.pass_time(1.1)
    assert sum(line["event"] == "connection_failed" for line in lines) == PER_SECOND
    assert sum(line["event"] == "job_failed" for line in lines) == PER_SECOND + 1
    held_back = [line for line in lines if line["event"] == "failures_not_logged"]
    assert {(line["of"], line["error"], line["count"]) for line in held_back} == {
        ("connection_failed", "ValueError", 500 - PER_SECOND),
        ("job_failed", "ValueError", 500 - PER_SECOND),
    }
