"""The HAProxy of the local cluster, with the very file that operators copy.

It is asked and told through its stats socket, which is how a deployment drains a gateway
by hand, too: `echo "set server ws/gateway1 state drain" | socat - /run/haproxy/admin.sock`.
"""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from haproxy.gateways import Gateway
from haproxy.program import Program, ProgramError
from haproxy.redis_node import HOST, wait_until

#: The file for operators.
CONFIGURATION: Final = Path(__file__).with_name("haproxy.cfg")
#: The backends whose servers the gateways are.
BACKENDS: Final = ("ws", "mcp")
#: How many gateways the file names.
GATEWAYS: Final = 3
_OLDEST: Final = (2, 6)
_REPLY_SECONDS: Final = 5.0
# The system's limit for the path of a socket, less its end and what HAProxy adds to it
# while it binds.
_LONGEST_PATH: Final = 90
# Two files for each connection, within what a machine allows by default.
_MAXCONN: Final = 4_000


class Server(NamedTuple):
    """A gateway, as HAProxy sees it in one of its backends."""

    backend: str
    name: str
    #: UP, DOWN, DRAIN, MAINT, "no check" ..., perhaps with how far a check has come.
    status: str
    sessions: int
    total: int


class Balancer(Program):
    """An HAProxy in front of gateways: asked, told, reloaded."""

    def __init__(self, directory: Path, log: Path, ports: Sequence[int]) -> None:
        super().__init__("haproxy", directory, log)
        self.ws_port, self.mcp_port, self.metrics_port = ports

    @property
    def socket(self) -> Path:
        """Where it is told what to do."""
        return self.directory / "admin.sock"

    def variables(self, gateways: Sequence[Gateway]) -> dict[str, str]:
        """Return the environment that its configuration is filled in with."""
        found = {
            "FR_WS_BIND": f"{HOST}:{self.ws_port}",
            "FR_MCP_BIND": f"{HOST}:{self.mcp_port}",
            "FR_METRICS_BIND": f"{HOST}:{self.metrics_port}",
            "FR_STATS_SOCKET": str(self.socket),
            "FR_MAXCONN": str(_MAXCONN),
        }
        for number, gateway in enumerate(gateways, 1):
            found[f"FR_GATEWAY{number}_WS"] = f"{HOST}:{gateway.ws_port}"
            found[f"FR_GATEWAY{number}_MCP"] = f"{HOST}:{gateway.mcp_port}"
            found[f"FR_GATEWAY{number}_MONITOR"] = str(gateway.monitoring_port)
        return found

    def up(self, variables: Mapping[str, str], configuration: Path = CONFIGURATION) -> None:
        """Start it; return when all of its servers are up.

        Raises:
            ProgramError: it does not run, or does not find them.
        """
        program = haproxy_program()
        if len(str(self.socket)) > _LONGEST_PATH:
            raise ProgramError(f"{self.socket} is too long for a socket: choose a shorter folder")
        self.directory.mkdir(parents=True, exist_ok=True)
        copy = self.directory / "haproxy.cfg"
        shutil.copyfile(configuration, copy)
        master = ("-W", "-S", str(self.directory / "master.sock"))
        self.start([program, *master, "-f", str(copy)], self.what_is_missing, variables)

    def down(self) -> None:
        """End it with all its connections."""
        self.signal(signal.SIGTERM)
        self.wait()

    def reload(self) -> None:
        """Have a new process take over with what the configuration says now.

        Open WebSockets stay with the old process. Returns when the new one serves.
        """
        before = self._worker()
        self.signal(signal.SIGUSR2)

        def missing() -> str:
            return "the old process serves" if self._worker() in (before, "") else ""

        wait_until(missing, "the reload of haproxy")
        self.wait_until_whole()

    def command(self, text: str) -> str:
        """Return what it says to a command of its stats socket.

        Raises:
            OSError: it does not answer.
        """
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_REPLY_SECONDS)
            sock.connect(str(self.socket))
            sock.sendall(text.encode() + b"\n")
            with sock.makefile("rb") as stream:
                return stream.read().decode()

    def servers(self) -> list[Server]:
        """Return how it sees each gateway in each backend."""
        rows = csv.DictReader(self.command("show stat").removeprefix("# ").splitlines())
        return [
            Server(row["pxname"], row["svname"], row["status"], int(row["scur"]), int(row["stot"]))
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        ]

    def set_state(self, name: str, state: str) -> None:
        """Have a gateway be ``ready``, ``drain`` or ``maint``, in all backends.

        A backend whose servers track another's follows it, and need not be told.

        Raises:
            ProgramError: it does not do so; the message is its own.
        """
        said = self.command(f"set server {BACKENDS[0]}/{name} state {state}").strip()
        if said:
            raise ProgramError(f"haproxy will not have {name} {state}: {said}")

    def wait_for(self, name: str, status: str) -> None:
        """Return when it sees a gateway as UP, DRAIN or the like, in all backends."""

        def missing() -> str:
            seen = {each.status for each in self.servers() if each.name == name}
            return "" if all(_is(each, status) for each in seen) else f"{name} is {seen}"

        wait_until(missing, f"{name} as {status}")

    def wait_until_whole(self) -> None:
        """Return when all gateways are up for it."""
        wait_until(self.what_is_missing, "all gateways behind haproxy")

    def what_is_missing(self) -> str:
        """Return what keeps it from serving with all its gateways."""
        try:
            servers = self.servers()
        except OSError as error:
            return str(error)
        away = [each for each in servers if not _is(each.status, "UP")]
        return f"{away[0].name} is {away[0].status}" if away else ""

    def _worker(self) -> str:
        try:
            found = re.search(r"^Pid: (\d+)", self.command("show info"), re.MULTILINE)
        except OSError:
            return ""
        return found[1] if found else ""


def _is(seen: str, status: str) -> bool:
    # "UP 1/2" is on its way down, and still up.
    return seen.partition(" ")[0] == status or (status == "UP" and seen == "no check")


def haproxy_program() -> str:
    """Return the path of haproxy.

    Raises:
        ProgramError: it is missing, or too old.
    """
    path = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    wanted = ".".join(map(str, _OLDEST))
    advice = f"install HAProxy {wanted} or later (`make install-haproxy`, or apt-get)"
    if path is None:
        raise ProgramError(f"there is no haproxy on PATH: {advice}")
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < _OLDEST:
        raise ProgramError(f"{path} is too old ({said.splitlines()[:1]}): {advice}")
    return path
