"""What the process itself uses, under the names that every Prometheus client gives it.

Not by the client's own collector: it lists all descriptors to count them, which takes 16 ms
where there are 10,000 connections, and everybody waits meanwhile.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SELF: Final = Path("/proc/self")
# Where fields of `/proc/self/stat` are behind the name in brackets: proc_pid_stat(5).
_USER, _SYSTEM, _STARTED, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21


@final
class ProcessMetrics(Collector):
    """A collector of `prometheus_client`; where there is no ``/proc`` it has nothing to say."""

    def __init__(self) -> None:
        self._booted_at = _boot_time()

    def collect(self) -> Iterable[Metric]:
        """Return the families, with their values as they are now."""
        if self._booted_at is None:
            return
        fields = (_SELF / "stat").read_bytes().rpartition(b")")[2].split()
        ticks, page = os.sysconf("SC_CLK_TCK"), resource.getpagesize()
        yield GaugeMetricFamily(
            "process_virtual_memory_bytes", "Virtual memory size in bytes.", int(fields[_VIRTUAL])
        )
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            int(fields[_RESIDENT]) * page,
        )
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self._booted_at + int(fields[_STARTED]) / ticks,
        )
        yield CounterMetricFamily(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            (int(fields[_USER]) + int(fields[_SYSTEM])) / ticks,
        )
        yield GaugeMetricFamily(
            "process_open_fds", "Number of open file descriptors.", _open_descriptors()
        )
        yield GaugeMetricFamily(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )


def _boot_time() -> float | None:
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), None)


def _open_descriptors() -> int:
    """Return how many are open; from Linux 6.2 on, the size of their folder is their number."""
    folder = _SELF / "fd"
    return folder.stat().st_size or sum(1 for _ in folder.iterdir())
