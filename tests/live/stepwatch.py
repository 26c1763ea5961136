"""A gateway that tells how long a step of its loop took at most, in the processor's time.

Run as a program in place of the gateway: ``python -m tests.live.stepwatch FILE --flags``. The
longest step since FILE was removed is in it, in seconds; what takes no time is not told.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final, final

import trio

from gateway import logs, settings
from gateway.app import Gateway

_NOTHING: Final = 0.002


@final
class Watch(trio.abc.Instrument):
    """Measures every step of every task."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self._begun = 0.0
        self._longest = 0.0

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self._begun = time.thread_time()

    def after_task_step(self, _task: trio.lowlevel.Task) -> None:
        took = time.thread_time() - self._begun
        if took < _NOTHING:
            return
        if not self._told.exists():
            self._longest = 0.0
        if took > self._longest:
            self._longest = took
            self._told.write_text(str(took))


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("told", type=Path)
    settings.add_arguments(parser)
    flags = vars(parser.parse_args())
    watch = Watch(flags.pop("told"))
    logs.configure("info", sys.stdout)
    gateway = Gateway(settings.load(flags, {}))
    trio.run(gateway.run, strict_exception_groups=True, instruments=[watch])


if __name__ == "__main__":
    main()
