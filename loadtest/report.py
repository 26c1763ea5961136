"""What was measured, as a table for people, with the conditions under which it holds.

Pure but for reading what machine and Python this is.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from loadtest.measures import Sample
from loadtest.server import Cores

HEADINGS: Final = (
    "what",
    "per second",
    "per core s",
    "us/op",
    "user+system",
    "p50 ms",
    "p99 ms",
    "gateway",
    "load",
    "target",
    "",
)
_BUSY: Final = 0.95
_DISTURBED: Final = 0.1


class Row(NamedTuple):
    """A line of the table; cells that do not apply are empty."""

    what: str
    rate: str = ""
    per_core: str = ""
    cost: str = ""
    parts: str = ""
    p50: str = ""
    p99: str = ""
    server: str = ""
    load: str = ""
    target: str = ""
    verdict: str = ""


def middle(samples: Sequence[Sample]) -> Sample:
    """Return the median of each figure, and the sum of what went wrong."""
    return Sample(
        rate=statistics.median(sample.rate for sample in samples),
        user_us=statistics.median(sample.user_us for sample in samples),
        system_us=statistics.median(sample.system_us for sample in samples),
        mean=statistics.median(sample.mean for sample in samples),
        p50=statistics.median(sample.p50 for sample in samples),
        p99=statistics.median(sample.p99 for sample in samples),
        server_share=statistics.median(sample.server_share for sample in samples),
        load_share=statistics.median(sample.load_share for sample in samples),
        waited_share=statistics.median(sample.waited_share for sample in samples),
        busy=statistics.median(sample.busy for sample in samples),
        lost=sum(sample.lost for sample in samples),
        streamed=sum(sample.streamed for sample in samples),
        failures=sum(sample.failures for sample in samples),
        first_refusal=next((s.first_refusal for s in samples if s.first_refusal), b""),
    )


def per_core(sample: Sample) -> float:
    """Return operations per second of the server's CPU time; NaN if it took none that shows."""
    spent = sample.user_us + sample.system_us
    return 1e6 / spent if spent else math.nan


def rate_ratio(ours: Sample, theirs: Sample) -> float:
    """Return how many times as often ours served; NaN if theirs did not."""
    return ours.rate / theirs.rate if theirs.rate else math.nan


def of_rate(what: str, sample: Sample, target: int | None) -> Row:
    """Return the line of a load; its target is one per core."""
    per_cpu = per_core(sample)
    # Without the server's CPU time, the rate is the least that a core does.
    reached = per_cpu if not math.isnan(per_cpu) else sample.rate
    remarks = []
    if target is not None:
        remarks.append("reached" if reached >= target else "MISSED")
    if sample.failures:
        remarks.append(f"{sample.failures} FAILURES {sample.first_refusal[:60]!r}")
    if sample.streamed:
        remarks.append(f"{sample.streamed} as a stream")
    if sample.load_share > _BUSY > sample.server_share:
        remarks.append("the load was the limit")
    if sample.waited_share > _DISTURBED:
        remarks.append(f"others had the gateway's core for {sample.waited_share:.0%}")
    return Row(
        what,
        rate=f"{sample.rate:,.0f}",
        per_core=f"{per_cpu:,.0f}",
        cost=f"{sample.user_us + sample.system_us:.1f}",
        parts=f"{sample.user_us:.1f}+{sample.system_us:.1f}",
        p50=f"{sample.p50 * 1e3:.2f}",
        p99=f"{sample.p99 * 1e3:.2f}",
        server=f"{sample.server_share:.0%}",
        load=f"{sample.load_share:.0%}",
        target="" if target is None else f">= {target:,}",
        verdict=", ".join(remarks),
    )


def of_ratio(what: str, ours: Sample, theirs: Sample, target: float) -> Row:
    """Return the line that compares two servers under the same load in the same run."""
    ratio = per_core(ours) / per_core(theirs)
    return Row(
        what,
        rate=f"{rate_ratio(ours, theirs):.2f}",
        per_core=f"{ratio:.2f}",
        target=f">= {target}",
        verdict="reached" if ratio >= target else "MISSED",
    )


def of_value(what: str, value: float, unit: str, most: float) -> Row:
    """Return the line of a figure that shall be small."""
    verdict = "unknown here" if math.isnan(value) else "reached" if value <= most else "MISSED"
    return Row(what, rate=f"{value:.2f} {unit}", target=f"<= {most:g} {unit}", verdict=verdict)


def table(rows: Sequence[Row]) -> str:
    """Return the rows under their headings, in columns."""
    lines = [HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            # Text to the left, figures to the right.
            cell.ljust(width) if column in (0, len(HEADINGS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def conditions(cores: Cores, seconds: float, runs: int) -> str:
    """Return where and how the figures came about."""
    pinning = (
        f"gateway on core {cores.server}, load on core {cores.load}"
        if cores.server is not None
        else "no pinning: one core only, or a system that does not allow it"
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    busy = "unknown"
    if hasattr(os, "getloadavg"):
        busy = f"{os.getloadavg()[0]:.2f}"
    return "\n".join(
        (
            f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            f"the load runs on {python}, {_build()};",
            "what the gateway runs on, which matters more, is said at the end",
            f"{pinning}; load average before the runs {busy}",
            f"medians of {runs} runs of {seconds:g} s, after a warm-up, each on a fresh gateway;",
            "per core s: operations per second of the gateway's own CPU time, which the targets",
            "are about; gateway and load: the share of a core that each side used",
        )
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _build() -> str:
    # What configure was told; distributions that optimize by other means do not show.
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    optimized = "with" if "--enable-optimizations" in arguments else "without"
    linked = "with" if "--with-lto" in arguments else "without"
    return f"configured {optimized} PGO (--enable-optimizations), {linked} LTO"
