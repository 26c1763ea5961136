"""The whole program, with as little load as shows that its tables come about; its verdicts."""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest import compare, reference
from loadtest.compare import Comparison, Plan, Versus
from loadtest.measures import Sample

LITTLE = ["--seconds", "0.6", "--rounds", "1", "--frontends", "20"]
SAMPLE = Sample(
    rate=30_000.0,
    user_us=15.0,
    system_us=5.0,
    mean=0.002,
    p50=0.001,
    p99=0.002,
    server_share=0.6,
    load_share=0.5,
    waited_share=0.0,
    busy=64.0,
    lost=0,
    streamed=0,
    failures=0,
    first_refusal=b"",
)
SLOWER = SAMPLE._replace(rate=6_000.0, user_us=95.0)


@pytest.fixture
def _unpinned() -> Iterator[None]:
    """Undo what the program does to its own process."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    gc.enable()
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _compared(ours: Sample, theirs: Sample, engine: str = "gosdk") -> Comparison:
    """Return a comparison that is over."""
    comparison = Comparison(Plan(rounds=1, engines=[engine]))
    comparison.add("gateway", ours)
    comparison.add(engine, theirs)
    return comparison


def _row(comparison: Comparison) -> str:
    """Return the line of the reference."""
    return compare.tables(comparison).splitlines()[2]


@pytest.mark.slow
@pytest.mark.usefixtures("_unpinned")
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing to compare")
def test_every_server_has_its_line_and_no_answer_is_lost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = compare.main([*LITTLE, "--json", str(tmp_path / "figures.json")])
    printed = capsys.readouterr().out
    assert status == 0, printed
    for line in (
        "the gateway",
        *reference.ENGINES.values(),
        "tools/list per core s, beside the official SDK in Python",
        "tools/call per core s, beside the official SDK in Python",
        "messages and replies, 1 in flight, per core s, beside gorilla/websocket",
        "messages and replies, 32 in flight, per core s, beside gorilla/websocket",
        "memory each of 20 idle frontends, KiB, beside gorilla/websocket",
    ):
        assert f"\n{line}  " in printed
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures["servers"]) == ["gateway", *reference.ENGINES]
    for each in figures["servers"].values():
        assert (each["failures"], each["hung"]) == (0, 0)
        assert each["rate"] > 0
        assert each["busy_callers"] == pytest.approx(each["rate"] * each["mean"])
    assert len(figures["one_by_one"]) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("_unpinned")
def test_python_alone_needs_no_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert compare.main([*LITTLE, "--only", "python"]) == 0
    printed = capsys.readouterr().out
    assert "Python, official MCP SDK" in printed
    assert "The gateway ran from source, on " in printed
    assert compare.main([*LITTLE, "--only", "mcpgo"]) == 2
    assert "install it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("engine", "end"), [("gosdk", "5.00 5.00 >= 5 reached"), ("python", "5.00 5.00")]
)
def test_a_target_is_judged_where_there_is_one(engine: str, end: str) -> None:
    row = _row(_compared(SAMPLE, SLOWER, engine))
    assert " ".join(row.split()).endswith(f" 0 64.0 {end}")


def test_a_target_is_about_cpu_time_and_may_be_missed() -> None:
    quicker = SLOWER._replace(user_us=94.0)
    assert _row(_compared(SAMPLE, quicker)).endswith("MISSED")


def test_without_cpu_times_the_rates_are_judged() -> None:
    unknown = SAMPLE._replace(user_us=math.nan)
    theirs = unknown._replace(rate=6_000.0)
    comparison = _compared(unknown, theirs)
    assert _row(comparison).endswith("reached")
    figures: dict[str, Any] = json.loads(compare.as_json(comparison))["servers"]["gosdk"]
    assert (figures["times_cpu"], figures["times_rate"]) == (None, 5.0)


def test_callers_who_hang_void_a_rate() -> None:
    hanging = SAMPLE._replace(failures=40, busy=24.0, lost=40)
    comparison = _compared(SAMPLE, hanging)
    assert _row(comparison).endswith("MISSED, 40 FAILURES b'', NOT ALL CALLERS SERVED")
    assert comparison.failures == 40


def test_memory_is_judged_the_other_way_round() -> None:
    comparison = _compared(SAMPLE, SAMPLE)
    comparison.versus.append(Versus("memory", 2.0, 8.0, 4.0, 4.0))
    assert compare.tables(comparison).endswith("2.00   8.00   4.00    >= 4  reached")


@pytest.mark.slow
def test_help_says_how_to_read_the_table() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "loadtest.compare", "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "busy callers: rate times mean latency" in shown.stdout
    assert "--only ENGINE" in shown.stdout
