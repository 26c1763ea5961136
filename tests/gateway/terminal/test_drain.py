"""`frontend-router drain`, as an operator types it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from tests.live.process import running_gateway

pytestmark = pytest.mark.slow


def test_a_gateway_is_drained_and_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("--drain-settle-seconds", "0.2", "--drain-wait-seconds", "0")
    with running_gateway(*quick) as gateway:
        file = tmp_path / "pid"
        file.write_text(f"{gateway.process.pid}\n", encoding="ascii")
        assert main(["drain", "--pid-file", str(file)]) == 0
        assert gateway.wait_for_event("gateway_stopped")
        said = capsys.readouterr().out
        assert re.search(rf"process {gateway.process.pid} has ended, after \d+\.\d s", said)
    assert main(["drain", "--pid-file", str(file)]) == 0
    assert "nothing to drain" in capsys.readouterr().out


def test_one_that_does_not_leave_in_time_is_said_and_not_hurried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('x'); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.read(1)
        assert main(["drain", "--pid", str(stubborn.pid), "--seconds", "0.2"]) == 1
        assert stubborn.poll() is None
    assert "still runs after 0.2 s" in capsys.readouterr().err


def test_what_names_no_process_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drain", "--pid-file", str(tmp_path / "none")]) == 2
    (tmp_path / "odd").write_text("odd", encoding="ascii")
    assert main(["drain", "--pid-file", str(tmp_path / "odd")]) == 2
    # All processes of the group would be meant.
    assert main(["drain", "--pid", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    with pytest.raises(SystemExit):
        main(["drain", "--pid", str(os.getpid()), "--pid-file", "x"])
