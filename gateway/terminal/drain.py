"""`frontend-router drain`: a gateway is told to leave, and waited for.

It sends one SIGTERM, which starts the drain, and never a second one, which would cut it
short. What it waits for is the end of the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

_FAILED: Final = 1
_USAGE: Final = 2
_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 0.05
_EPILOG: Final = """\
Exit status: 0 when it has ended, 1 when it still runs after --seconds.

examples:
  frontend-router drain --pid 4711
  frontend-router drain --pid-file /run/frontend-router.pid --seconds 90"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.epilog = _EPILOG
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--pid", type=int, metavar="PID", help="The gateway's process.")
    who.add_argument("--pid-file", type=Path, metavar="FILE", help="A file with its id.")
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="How long to wait [%(default)g]."
    )


def main(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    try:
        pid = options.pid or int(options.pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        return _complain(f"{options.pid_file} names no process: {error}", _USAGE)
    if pid <= 0:
        return _complain(f"{pid} is no process", _USAGE)
    began = time.monotonic()
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return _say(f"there is no process {pid}: nothing to drain")
    except PermissionError:
        return _complain(f"process {pid} is somebody else's: drain it as its user", _FAILED)
    _say(f"process {pid} drains")
    while _runs(pid):
        if time.monotonic() - began > options.seconds:
            return _complain(f"process {pid} still runs after {options.seconds:g} s", _FAILED)
        time.sleep(_LOOK_AGAIN_SECONDS)
    return _say(f"process {pid} has ended, after {time.monotonic() - began:.1f} s")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that ended and whose parent has not looked yet.
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        # No /proc, as on macOS; or it ended just now, and the next look sees it.
        return True
    return state != "Z"


def _say(text: str) -> int:
    print(text, flush=True)
    return 0


def _complain(text: str, status: int) -> int:
    print(f"frontend-router: {text}", file=sys.stderr)
    return status
