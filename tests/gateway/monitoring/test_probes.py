"""The three reports, as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.monitoring.probes import Check, Probes, Status, timestamp_of

START = 1_700_000_000.0


class Process:
    """What the reports tell of, changeable."""

    def __init__(self, **statuses: Status) -> None:
        self.now = START
        self.ready = True
        self.lag = 0.0
        self.statuses: Mapping[str, Status] = statuses
        self.probes = Probes(
            components={name: partial(self._check, name) for name in statuses},
            is_ready=lambda: self.ready,
            clock=lambda: self.now,
            lag=lambda: self.lag,
            new_id=lambda: "fresh",
            version="1.2.3",
            system_info=lambda: {"cpus": 2},
        )

    def _check(self, name: str) -> Check:
        return Check(self.statuses[name], f"{name} seen", {"depth": 3})

    def ask(self, path: str, request_id: str = "r-1") -> tuple[int, dict[str, Any]]:
        answer = self.probes.response(path, request_id)
        assert answer is not None
        return answer[0], msgspec.json.decode(answer[1])


def test_a_health_report_has_every_field_of_the_contract() -> None:
    process = Process(store=Status.HEALTHY)
    process.now = START + 1.5
    assert process.ask("/health") == (
        200,
        {
            "status": "healthy",
            "timestamp": "2023-11-14T22:13:21.5Z",
            "version": "1.2.3",
            "components": {
                "store": {
                    "name": "store",
                    "status": "healthy",
                    "message": "store seen",
                    "last_checked": "2023-11-14T22:13:21.5Z",
                    "metadata": {"depth": 3},
                }
            },
            "system_info": {"cpus": 2},
            "uptime": 1_500_000_000,
            "request_id": "r-1",
        },
    )


def test_an_outline_says_how_each_part_is_and_nothing_of_its_inside() -> None:
    process = Process(store=Status.HEALTHY, workers=Status.UNHEALTHY)
    outline = process.probes.outline("/health", "r-1")
    assert outline is not None
    status, fields = process.ask("/health")
    for component in fields["components"].values():
        assert component["metadata"]
        component["metadata"] = {}
    assert (outline[0], msgspec.json.decode(outline[1])) == (status, fields)
    assert process.probes.outline("/ready", "r-1") == process.probes.response("/ready", "r-1")
    assert process.probes.outline("/other", "r-1") is None


@pytest.mark.parametrize(
    ("parts", "status", "word"),
    [
        ((), 200, "healthy"),
        ((Status.HEALTHY, Status.HEALTHY), 200, "healthy"),
        ((Status.HEALTHY, Status.WARNING), 200, "warning"),
        ((Status.WARNING, Status.UNHEALTHY), 503, "unhealthy"),
        ((Status.UNHEALTHY, Status.HEALTHY), 503, "unhealthy"),
    ],
)
def test_the_worst_part_decides(parts: tuple[Status, ...], status: int, word: str) -> None:
    process = Process(**{f"part{number}": part for number, part in enumerate(parts)})
    code, report = process.ask("/health")
    assert (code, report["status"]) == (status, word)
    assert [c["status"] for c in report["components"].values()] == [p.name.lower() for p in parts]


@pytest.mark.parametrize(
    ("ready", "status", "word"), [(True, 200, "ready"), (False, 503, "not_ready")]
)
def test_readiness_follows_the_process(ready: bool, status: int, word: str) -> None:
    process = Process()
    process.ready = ready
    expected = {"status": word, "timestamp": "2023-11-14T22:13:20Z", "request_id": "r-1"}
    assert process.ask("/ready") == (status, expected)


@pytest.mark.parametrize(
    ("lag", "status", "word"), [(0.0, 200, "alive"), (9.9, 200, "alive"), (10.0, 503, "not_alive")]
)
def test_a_loop_that_stands_still_is_not_alive(lag: float, status: int, word: str) -> None:
    process = Process()
    process.lag = lag
    expected = {"status": word, "timestamp": "2023-11-14T22:13:20Z", "request_id": "r-1"}
    assert process.ask("/live") == (status, expected)


def test_a_sick_part_leaves_the_process_ready_and_alive() -> None:
    """Restarting every instance does not mend a store that is away."""
    process = Process(store=Status.UNHEALTHY)
    assert [process.ask(path)[0] for path in ("/ready", "/live")] == [200, 200]


@pytest.mark.parametrize("path", ["/", "", "/metrics", "/health/", "/HEALTH", "/health?x"])
def test_there_is_no_other_report(path: str) -> None:
    assert Process().probes.response(path) is None


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        ("abc-123", "abc-123"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "fresh"),
        ("", "fresh"),
        ("two words", "fresh"),
        ("a\r\nSet-Cookie: b", "fresh"),
        ("caf\xe9", "fresh"),
        ("\x7f", "fresh"),
        ('"<&>', '"<&>'),
    ],
)
def test_a_request_id_is_echoed_when_it_is_harmless(given: str, echoed: str) -> None:
    assert Process().ask("/ready", given)[1]["request_id"] == echoed


def test_uptime_is_never_negative() -> None:
    process = Process()
    process.now = START - 100
    assert process.ask("/health")[1]["uptime"] == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (START, "2023-11-14T22:13:20Z"),
        (START + 0.25, "2023-11-14T22:13:20.25Z"),
        (START + 0.000_25, "2023-11-14T22:13:20.00025Z"),
        (START + 0.999_999_9, "2023-11-14T22:13:21Z"),
    ],
)
def test_timestamps_are_gos(seconds: float, text: str) -> None:
    assert timestamp_of(seconds) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z", text)
