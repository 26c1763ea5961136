"""What the gateway is compared with: what one would write instead, in Go and in Python.

It builds and starts them. What they are compared by is `loadtest.compare`'s.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest import server
from loadtest.server import Cores, Server

#: The references by name, and what each is.
ENGINES: Final = {
    "gosdk": "Go, official MCP SDK",
    "mcpgo": "Go, mark3labs/mcp-go",
    "nethttp": "Go, net/http by hand",
    "python": "Python, official MCP SDK",
}
PYTHON: Final = "python"
#: How many percent Go's heap may grow before it is collected: many are fast, few are small.
FAST: Final = 400
SMALL: Final = 10

_GO_SOURCES: Final = Path(__file__).parent / "go"
_BUILD_SECONDS: Final = 600.0


class BuildError(Exception):
    """The reference in Go could not be built; the message says what to do."""


def build() -> None:
    """Build the reference in Go into the folder ``build`` of its sources.

    Raises:
        BuildError: there is no Go, or it says what is wrong.
    """
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            "the references in Go need Go 1.25.5 or later on PATH: install it "
            "(https://go.dev/dl/), or compare with Python alone: --only python"
        )
    built = subprocess.run(
        [go, "build", "-trimpath", "-o", "build/", "."],
        cwd=_GO_SOURCES,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if built.returncode != 0:
        raise BuildError(f"go build in {_GO_SOURCES} failed:\n{built.stderr}")


@contextlib.contextmanager
def serving(engine: str, cores: Cores, gogc: int = FAST) -> Iterator[Server]:
    """Run a reference, which has been built, on the core of whoever serves.

    Raises:
        ServerError: it does not listen.
    """
    with server.other(_command(engine, gogc), cores.server) as target:
        yield target


def _command(engine: str, gogc: int) -> str:
    """Return how to start it, its ports yet to be filled in."""
    if engine == PYTHON:
        python = shlex.quote(sys.executable)
        return f"{python} -m loadtest.reference.python.server --ws {{ws}} --mcp {{mcp}}"
    program = shlex.quote(str(_GO_SOURCES / "build" / "reference"))
    addresses = "-ws 127.0.0.1:{ws} -mcp 127.0.0.1:{mcp}"
    return f"env GOMAXPROCS=1 GOGC={gogc} {program} {addresses} -engine {engine}"
