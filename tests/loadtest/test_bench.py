"""The whole program, with as little load as shows that its figures come about."""

from __future__ import annotations

import gc
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtest import bench

pytestmark = pytest.mark.slow
LITTLE = ["--seconds", "0.1", "--runs", "1", "--frontends", "20", "--idle-seconds", "0.1"]


@pytest.fixture(autouse=True)
def _unpinned() -> Iterator[None]:
    """Undo what the program does to its own process."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    gc.enable()
    if cores is not None:
        os.sched_setaffinity(0, cores)


def test_every_measure_has_its_line_and_no_answer_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = bench.main(LITTLE)
    printed = capsys.readouterr().out
    assert status == 0, printed
    for line in (
        "ask_user round trip, 2025-11-25",
        "ask_user round trip, 2026-07-28",
        "WebSocket message and reply, 1 in flight",
        "WebSocket message and reply, 32 in flight",
        "frames, each question to 100 frontends",
        "CPU, 20 idle frontends",
        "memory each, 20 idle frontends",
        "tools/list",
        "tools/call of list_frontends",
        "memory each, 20 waiting callers",
        "tools/list, 1000 tools of pages, CPU",
        "tools/list, 1000 tools of pages, p50",
        "start to ready, median of 10",
        f"The gateway ran from source, on CPython {platform.python_version()}",
    ):
        assert line in printed


def test_a_gateway_that_does_not_start_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    broken = shlex.join([sys.executable, "-c", "raise SystemExit('no such luck')"])
    assert bench.main([*LITTLE, "--only", "idle", "--gateway", broken]) == 2
    assert "no such luck" in capsys.readouterr().err


def test_help_is_printed() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "loadtest.bench", "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "--against" in shown.stdout
