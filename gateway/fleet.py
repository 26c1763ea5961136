"""Several gateways on the same ports, for the cores of one machine.

The kernel spreads connections over the processes that have bound a port with
SO_REUSEPORT. This process serves nothing: it starts the others, starts one again that
died, and passes signals on. They notice its end by a pipe, and go away in order.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final, final

import structlog

from gateway.reload import Reloader, with_changes
from gateway.settings import Settings

log = structlog.get_logger()

#: Serves with these settings until told to stop, or until a descriptor is readable;
#: returns the exit status.
Serve = Callable[[Settings, int], int]

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT)
_HEARD: Final = frozenset((*_PASSED_ON, signal.SIGCHLD, signal.SIGHUP))
# One that dies sooner than this after its start is started again with a pause.
_STABLE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0


def settings_of(settings: Settings, number: int) -> Settings:
    """Return what one of the processes serves.

    Monitoring has a port for each, as each has numbers of its own; the first has the one
    that was asked for.
    """
    port = settings.monitoring_port + number
    return dataclasses.replace(settings, workers=1, monitoring_port=port)


def run(settings: Settings, serve: Serve, reloader: Reloader) -> int:
    """Serve with as many processes as the settings say. Returns the exit status."""
    return _Fleet(settings, serve, reloader).run()


@final
class _Fleet:
    """The processes, by their ids."""

    def __init__(self, settings: Settings, serve: Serve, reloader: Reloader) -> None:
        self._settings = settings
        self._reloader = reloader
        self._serve = serve
        self._numbers: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._stopping = False
        self._status = 0
        # Nobody writes into it: it ends with this process, and then it is readable.
        self._alive, self._here = os.pipe()

    def run(self) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        for number in range(self._settings.workers):
            self._start(number)
        while self._numbers:
            number = signal.sigwait(_HEARD)
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP and not sys.stdout.isatty():
                self._reload()
            else:
                self._stop(number)
        return self._status

    def _start(self, number: int) -> None:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            os.close(self._here)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            status = 1
            try:
                status = self._serve(settings_of(self._settings, number), self._alive)
            except SystemExit:
                # Told to stop before it had begun.
                status = 0
            finally:
                # The process ends here whatever happens: its parent's code is not its own.
                if sys.exc_info()[0] is not None:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(status)
        self._numbers[pid] = number
        self._started[pid] = time.monotonic()

    def _reload(self) -> None:
        """Have all processes look at their settings again; those that are started later, too."""
        for pid in self._numbers:
            os.kill(pid, signal.SIGHUP)
        changes = self._reloader.read()
        if changes is not None:
            self._settings = with_changes(self._settings, changes.changed)

    def _stop(self, number: int) -> None:
        self._stopping = True
        for pid in self._numbers:
            os.kill(pid, number)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number = self._numbers.pop(pid)
            lived = time.monotonic() - self._started.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._stopping:
                self._status = self._status or max(code, 0)
                continue
            if lived < _STABLE_SECONDS and code > 0:
                # It said why it cannot serve; the others could not for long, either.
                self._status = code
                self._stop(signal.SIGTERM)
                continue
            log.error("worker_died", worker=number, status=code, lived_seconds=round(lived, 1))
            if lived < _STABLE_SECONDS:
                time.sleep(_PAUSE_SECONDS)
            self._start(number)
