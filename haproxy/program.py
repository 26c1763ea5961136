"""A server in a process of its own, described by its directory alone.

Its process id lies in the directory, so that another program can end what this one
started. What it is started with names the directory: an id that has since been given to
somebody else is recognized by the lack of it, and left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from haproxy.redis_node import RedisServerError, command_line, wait_until

_PATIENCE_SECONDS: Final = 30.0
_LAST_WORDS: Final = 1_000


class ProgramError(RedisServerError):
    """A server does not do what it must; the message says what to do."""


class Program:
    """One process: started, watched, told to leave, or killed."""

    def __init__(self, name: str, directory: Path, log: Path) -> None:
        self.name = name
        self.directory = directory.resolve()
        self.log = log.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    @property
    def pid(self) -> int:
        """The id of its process; 0 when none runs."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        # Another program may have started it since.
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        return pid if self._is(pid) else 0

    def start(
        self,
        command: Sequence[str],
        missing: Callable[[], str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and return as soon as nothing is missing any more.

        ``command`` names a file of the directory.

        Raises:
            ProgramError: it ended, or is not as it must be; the message has its last words.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                # Ctrl-C is for who started it, and tells it when it is over.
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")

        def look() -> str:
            if not self.pid:
                raise ProgramError(f"{self.name} ended")
            # For a moment a new process has no command line, and no others would know it.
            return missing() if self._is(self.pid) else "it begins"

        try:
            wait_until(look, self.name, _PATIENCE_SECONDS)
        except RedisServerError as error:
            self.kill()
            words = self.log.read_bytes()[begins:].decode(errors="replace")
            raise ProgramError(f"{error}\n{words[-_LAST_WORDS:]}") from None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Return when it has ended.

        Raises:
            RedisServerError: it still ran when the time was over.
        """
        wait_until(lambda: "it runs" if self.pid else "", f"the end of {self.name}", seconds)

    def kill(self) -> None:
        """End it without a word; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def _is(self, pid: int) -> bool:
        return f"{self.directory}/" in command_line(pid)

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"
