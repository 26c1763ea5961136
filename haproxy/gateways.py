"""One gateway of the local cluster: a process on ports of its own, asked over HTTP."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from haproxy.program import Program
from haproxy.redis_node import HOST

#: Values as TOML has them: texts, numbers and lists of texts.
Settings = Mapping[str, Mapping[str, Any]]
_ASK_SECONDS: Final = 2.0
#: The gateway as it is in the folder that this runs in.
FROM_SOURCE: Final = (sys.executable, "-m", "gateway")


class Report(NamedTuple):
    """What one gateway says of itself."""

    ready: bool
    frontends: int
    questions: int


class Gateway(Program):
    """A gateway that can be drained, killed and started again, with the same ports."""

    def __init__(self, name: str, directory: Path, log: Path, ports: Sequence[int]) -> None:
        super().__init__(name, directory, log)
        self.ws_port, self.mcp_port, self.monitoring_port = ports

    @property
    def configuration(self) -> Path:
        """The file with its settings."""
        return self.directory / "gateway.toml"

    def write(self, settings: Settings) -> None:
        """Write its settings; those without a part are under the empty name."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ports = {
            "ws_port": self.ws_port,
            "mcp_port": self.mcp_port,
            "monitoring_port": self.monitoring_port,
        }
        tables = {"": {**ports, **settings.get("", {})}}
        tables |= {part: dict(values) for part, values in settings.items() if part}
        self.configuration.write_text(toml(tables), encoding="utf-8")

    def up(self, command: Sequence[str] = FROM_SOURCE) -> None:
        """Start it with the settings that were written, and return when it is ready."""
        told = [*command, "serve", "--config", str(self.configuration)]
        self.start(told, lambda: "" if self.is_ready() else "it is not ready")

    def drain(self) -> None:
        """Tell it to leave: it sends everybody elsewhere and ends. Returns at once."""
        self.signal(signal.SIGTERM)

    def is_ready(self) -> bool:
        """Whether it says that it takes connections."""
        try:
            self._get("/ready")
        except OSError:
            return False
        return True

    def report(self) -> Report | None:
        """Return what it says of itself; ``None`` when it does not answer."""
        try:
            numbers = dict(
                line.split(" ", 1) for line in self._get("/metrics").splitlines() if line[0] != "#"
            )
        except OSError:
            return None
        return Report(
            self.is_ready(),
            int(float(numbers["websocket_connections_active"])),
            int(float(numbers["frontend_router_questions_open"])),
        )

    def _get(self, path: str) -> str:
        url = f"http://{HOST}:{self.monitoring_port}{path}"
        # No proxy of the environment stands between processes of one machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=_ASK_SECONDS) as response:
            text: str = response.read().decode()
        return text


def toml(tables: Settings) -> str:
    """Return settings as a TOML file; what is under the empty name comes first."""
    lines = []
    for part, values in sorted(tables.items()):
        lines += [f"[{part}]"] if part else []
        # JSON's texts, numbers and lists are TOML's, too.
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"
