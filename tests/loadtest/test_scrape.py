"""A gateway is read, and what is none is survived."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from loadtest import server
from loadtest.result import ServerSample
from loadtest.scrape import QUEUES, Scraper


@contextlib.contextmanager
def answering(status: int, body: bytes, announced: int | None = None) -> Iterator[str]:
    """Serve one answer to everybody, and give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            self.send_response(status)
            self.send_header("content-length", str(len(body) if announced is None else announced))
            self.end_headers()
            # Who was promised too much does not stay to the end.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_gateway_says_what_it_costs() -> None:
    port = server.free_port()
    with server.gateway(None, "--monitoring-port", str(port)):
        scraper = Scraper(f"http://127.0.0.1:{port}")
        first, second = scraper.sample(0.0), scraper.sample(1.0)
    gone = scraper.sample(2.0)
    assert (first.at, first.instance) == (0.0, f"127.0.0.1:{port}")
    assert first.rss_bytes is not None
    assert first.rss_bytes > 2**20
    assert first.cpu_seconds is not None
    assert second.cpu_seconds is not None
    assert 0 < first.cpu_seconds <= second.cpu_seconds
    assert first.loop_lag is not None
    assert first.loop_lag >= 0
    # Each of them is there, some once for each of their labels.
    assert {name.partition(" ")[0] for name in first.queues} == set(QUEUES)
    assert "channel_utilization_percent workers" in first.queues
    assert gone == ServerSample(at=2.0, instance=scraper.instance)


METRICS = b"""# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 5e+07
process_cpu_seconds_total 1.5
frontend_router_loop_stall_seconds 0.025
frontend_router_outbox_bytes NaN
channel_utilization_percent{channel_name="workers"} 12.5
a line that nobody here understands {
"""


@pytest.mark.parametrize("suffix", ["", "/", "/metrics"])
def test_the_address_is_that_of_the_port_or_of_the_metrics(suffix: str) -> None:
    with answering(200, METRICS) as address:
        sample = Scraper(address + suffix).sample(3.0)
    assert sample == ServerSample(
        at=3.0,
        instance=address.removeprefix("http://"),
        rss_bytes=5e7,
        cpu_seconds=1.5,
        loop_lag=25.0,
        queues={"channel_utilization_percent workers": 12.5},
    )


@pytest.mark.parametrize(
    ("status", "body", "announced"),
    [
        (200, b"", None),
        (200, b"<html>", None),
        (200, b"process_cpu_seconds_total much\n", None),
        (200, b"process_cpu_seconds_total{\n", None),
        (200, b"process_cpu_seconds_total 1 \xff\n", None),
        (503, b"process_cpu_seconds_total 1\n", None),
        (200, b"process_cpu_seconds_total 1\n" * 40_000, None),
        (200, b"process_cpu_seconds_total 1\n", 0),
    ],
)
def test_what_is_no_report_is_a_sample_that_knows_nothing(
    status: int, body: bytes, announced: int | None
) -> None:
    with answering(status, body, announced) as address:
        scraper = Scraper(address)
        assert scraper.sample(1.0) == ServerSample(at=1.0, instance=scraper.instance)


def test_who_is_slower_than_the_bound_is_not_waited_for() -> None:
    with answering(200, METRICS) as address:
        # No time at all: what has come by then is too late.
        scraper = Scraper(address, seconds=1e-9)
        assert scraper.sample(1.0) == ServerSample(at=1.0, instance=scraper.instance)


@pytest.mark.parametrize("address", ["127.0.0.1:8082", "file:///etc/hostname", ""])
def test_only_an_address_of_http_is_asked(address: str) -> None:
    with pytest.raises(ValueError, match="is not an address like"):
        Scraper(address)
