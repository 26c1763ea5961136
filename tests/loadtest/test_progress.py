"""One line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import re
import termios
from collections.abc import Iterator, Mapping
from typing import TextIO

import msgspec
import pytest

from loadtest.attendance import Attendance
from loadtest.orders import Joining
from loadtest.progress import Progress
from loadtest.result import Slice
from tests.loadtest.example import second

COLOURS: Mapping[str, str] = {"TERM": "xterm"}


class Terminal:
    """A pseudo terminal: what is written to ``stream`` is there to be read."""

    def __init__(self, stream: TextIO, master: int) -> None:
        self.stream = stream
        self._master = master

    def lines(self) -> list[str]:
        """Return what was written since, a line for each time that it began anew."""
        # A mark of our own, for a terminal hands on what was written in pieces of its choice.
        self.stream.write("\0")
        self.stream.flush()
        written = bytearray()
        while not written.endswith(b"\0"):
            written += os.read(self._master, 65_536)
        return written[:-1].decode().replace("\x1b[K", "").split("\r")[1:]


@contextlib.contextmanager
def terminal(width: int, encoding: str = "utf-8") -> Iterator[Terminal]:
    master, slave = os.openpty()
    try:
        termios.tcsetwinsize(slave, (24, width))
        with os.fdopen(slave, "w", encoding=encoding) as stream:
            yield Terminal(stream, master)
    finally:
        os.close(master)


def seen(line: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", line)


def failing(at: int, failed: int) -> Slice:
    return msgspec.structs.replace(second(at), failed=failed)


def test_a_terminal_has_one_line_with_all_there_is_to_know() -> None:
    with terminal(120) as screen:
        progress = Progress(screen.stream, 60, environ=COLOURS)
        progress.update(second(0))
        progress.update(second(29))
        first, line = screen.lines()
        assert "\n" not in first + line
        for part in ("0:30 / 1:00", "2,000/s", "errors 0", "p99", "p50", "in flight"):
            assert part in seen(line)
        assert line.count("━") == line.count("─")
        progress.finish()
        progress.finish()
        assert screen.lines() == ["\n"]


def test_errors_are_red_and_stay_counted() -> None:
    with terminal(120) as screen:
        progress = Progress(screen.stream, 60, environ=COLOURS)
        progress.update(failing(0, 2))
        progress.update(failing(1, 0))
        assert ["\x1b[31merrors 2\x1b[0m" in line for line in screen.lines()] == [True, True]


def test_no_colour_is_shown_to_who_wants_none() -> None:
    with terminal(120) as screen:
        Progress(screen.stream, 60, environ={**COLOURS, "NO_COLOR": "1"}).update(failing(0, 2))
        (line,) = screen.lines()
        assert "errors 2" in line
        assert "\x1b" not in line


@pytest.mark.parametrize("width", [1, 2, 10, 20, 40, 60, 80, 100, 200])
def test_a_line_never_reaches_the_edge(width: int) -> None:
    with terminal(width) as screen:
        Progress(screen.stream, 3_600, environ=COLOURS).update(second(39))
        (line,) = screen.lines()
        assert len(seen(line)) < width
        assert ("p50" in line) == (width >= 80)


def test_errors_outlast_latencies_where_there_is_little_room() -> None:
    with terminal(40) as screen:
        Progress(screen.stream, 60, environ=COLOURS).update(second(0))
        (line,) = screen.lines()
        assert "errors" in line
        assert "p50" not in line


def test_of_a_run_without_an_end_there_is_no_bar() -> None:
    with terminal(120) as screen:
        Progress(screen.stream, None, environ=COLOURS).update(second(0))
        (line,) = screen.lines()
        assert line.startswith("0:01  ")
        assert "─" not in line


def test_a_terminal_without_these_letters_has_others() -> None:
    with terminal(120, "ascii") as screen:
        quiet = msgspec.structs.replace(second(29), p50=None, p99=None)
        progress = Progress(screen.stream, 60, environ=COLOURS)
        progress.update(quiet)
        assert "#####" in screen.lines()[0]


@pytest.mark.parametrize("environ", [{}, {"TERM": "xterm"}])
def test_a_log_has_a_line_every_few_seconds_with_the_worst_of_them(
    environ: Mapping[str, str],
) -> None:
    log = io.StringIO()
    progress = Progress(log, 60, environ=environ)
    for at in range(35, 42):
        progress.update(second(at))
    progress.finish()
    progress.finish()
    lines = log.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["0:36 / 1:00", "0:41 / 1:00", "0:42 / 1:00"]
    assert "p99  180 ms" in lines[1]
    assert "1,820/s" in lines[1]
    assert "\x1b" not in log.getvalue()


def test_a_dumb_terminal_is_a_log() -> None:
    with terminal(80) as screen:
        progress = Progress(screen.stream, 60, environ={"TERM": "dumb"})
        progress.update(second(9))
        progress.finish()
        # The line discipline returns the carriage at a line's end.
        assert screen.lines() == ["\n"]


def attendance(connected: int, refused: int = 0) -> Attendance:
    found = Attendance(52_400, 1)
    found.hear(0, Joining(connected, 52_400 - connected, refused, "[Errno 111] Connection refused"))
    return found


def test_who_is_connected_is_shown_in_one_line_of_a_terminal() -> None:
    with terminal(120) as screen:
        progress = Progress(screen.stream, 60, environ=COLOURS)
        progress.connecting(0.5, attendance(0, 12))
        progress.connecting(1.0, attendance(1_024, 12))
        first, line = screen.lines()
        assert first == "connecting 0 of 52,400, refused 12: Connection refused"
        assert line == "connecting 1,024 of 52,400, refused 12: Connection refused"
        progress.finish()
        assert screen.lines() == ["\n"]
    with terminal(20) as screen:
        Progress(screen.stream, 60, environ=COLOURS).connecting(0.5, attendance(1_024))
        assert screen.lines() == ["connecting 1,024 of"]


def test_who_is_connected_is_a_line_of_a_log_every_few_seconds() -> None:
    log = io.StringIO()
    progress = Progress(log, 60)
    for half in range(1, 24):
        progress.connecting(half / 2, attendance(half))
    assert log.getvalue().splitlines() == [
        "connecting 10 of 52,400",
        "connecting 20 of 52,400",
    ]
    progress.finish()
    assert log.getvalue().count("\n") == 2


def test_nothing_is_said_of_nothing() -> None:
    log = io.StringIO()
    Progress(log, 60).finish()
    Progress(log, 60).update(msgspec.structs.replace(second(0), at=9.0, seconds=0.0))
    assert log.getvalue().split()[3] == "-"
