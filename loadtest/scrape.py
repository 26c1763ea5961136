"""What one instance of the server says of itself on its monitoring port.

Blocking, with a bound on time and on bytes, and meant for a thread of its own.
It refuses to fail: a server that does not answer, or not with metrics, is a
sample that knows nothing, for a load test must outlive what it tests.
"""

from __future__ import annotations

import http.client
import math
import time
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from loadtest.result import ServerSample

#: Whatever waits for something in the gateway.
QUEUES: Final = (
    "channel_utilization_percent",
    "frontend_router_connections_blocked",
    "frontend_router_outbox_bytes",
    "frontend_router_questions_open",
    "frontend_router_worker_queue_depth",
    "mcp_active_requests",
)
_MEMORY: Final = "process_resident_memory_bytes"
_CPU: Final = "process_cpu_seconds_total"
_LAG: Final = "frontend_router_loop_stall_seconds"
_SECONDS: Final = 2.0
# The gateway's whole report is some tens of kilobytes.
_BYTES: Final = 2**20
_CHUNK: Final = 2**16


class Scraper:
    """Reads the metrics of one instance, as often as it is asked to."""

    def __init__(self, monitoring_url: str, *, seconds: float = _SECONDS) -> None:
        if urlsplit(monitoring_url).scheme not in ("http", "https"):
            raise ValueError(f"{monitoring_url!r} is not an address like http://127.0.0.1:8082")
        self.instance = urlsplit(monitoring_url).netloc
        self._url = f"{monitoring_url.removesuffix('/metrics').rstrip('/')}/metrics"
        self._seconds = seconds
        # What is measured is asked itself, whatever proxy the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def sample(self, at: float) -> ServerSample:
        """Return what the instance says now; ``at`` is when that is, since the load began."""
        try:
            found = _read(self._fetch())
        except (OSError, http.client.HTTPException, ValueError):
            # Not there, not HTTP, or not metrics: each is a ValueError of its parser.
            found = {}
        lag = found.get(_LAG)
        return ServerSample(
            at=at,
            instance=self.instance,
            rss_bytes=found.get(_MEMORY),
            cpu_seconds=found.get(_CPU),
            loop_lag=None if lag is None else lag * 1e3,
            queues={name: value for name, value in found.items() if name.startswith(QUEUES)},
        )

    def _fetch(self) -> str:
        end = time.monotonic() + self._seconds
        received = bytearray()
        with self._opener.open(self._url, timeout=self._seconds) as response:
            # A timeout is of one read, so one that trickles is bounded by the clock.
            while chunk := response.read1(_CHUNK):
                received += chunk
                if len(received) > _BYTES:
                    raise ValueError(f"more than {_BYTES} bytes of metrics")
                if time.monotonic() > end:
                    raise TimeoutError("the metrics take too long")
        return received.decode()


def _read(text: str) -> Mapping[str, float]:
    # Only our lines are parsed: the others would cost the load's core ten times as much.
    ours = [line for line in text.splitlines() if line.startswith((_MEMORY, _CPU, _LAG, *QUEUES))]
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families("\n".join((*ours, "")))
        for sample in family.samples
        # JSON has no other numbers.
        if math.isfinite(sample.value)
    }
