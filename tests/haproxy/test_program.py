"""A process that is known by its directory: started, ended, told from others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from haproxy.program import Program, ProgramError

pytestmark = pytest.mark.slow

SLEEP = "import time; time.sleep(60)"


def started(directory: Path) -> Program:
    program = Program("sleeper", directory / "it", directory / "logs" / "log")
    # Its last argument names its directory, as the configuration of a server does.
    program.start([sys.executable, "-c", SLEEP, str(program.directory / "x")], lambda: "")
    return program


def test_another_program_knows_it_by_its_directory_and_ends_it(tmp_path: Path) -> None:
    program = started(tmp_path)
    known = Program("sleeper", tmp_path / "it", tmp_path / "logs" / "log")
    assert known.pid == program.pid != 0
    known.signal(signal.SIGTERM)
    program.wait()
    assert (program.pid, known.pid) == (0, 0)
    # The system may give the id to somebody else, who is left alone.
    (tmp_path / "it" / "pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    assert known.pid == 0
    known.kill()


def test_one_that_does_not_serve_is_ended_and_its_last_words_are_told(tmp_path: Path) -> None:
    program = Program("sayer", tmp_path / "it", tmp_path / "log")
    with pytest.raises(ProgramError, match=r"(?s)sayer ended.*too bad"):
        program.start([sys.executable, "-c", "raise SystemExit('too bad')"], lambda: "waiting")
    assert program.pid == 0


def test_environment_and_output_are_where_they_belong(tmp_path: Path) -> None:
    program = Program("sayer", tmp_path / "it", tmp_path / "log")
    code = f"import os, time; print(os.environ['FR_X'], flush=True); {SLEEP}"

    def missing() -> str:
        return "" if "said" in program.log.read_text(encoding="utf-8") else "it is silent"

    program.start([sys.executable, "-c", code, f"{program.directory}/x"], missing, {"FR_X": "said"})
    program.kill()
    assert program.log.read_text(encoding="utf-8") == "said\n"
