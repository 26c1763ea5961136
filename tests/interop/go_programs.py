"""The programs in Go of tests, and what they print."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio

from tests.live.process import Ports

SOURCES = Path(__file__).parent / "go"
EARLIER = SOURCES / "ask_mcpgo_earlier"
# Compiling takes its time when nothing of it is cached yet.
BUILD_SECONDS = 300


class Answered(NamedTuple):
    """What an asking program printed."""

    version: str
    text: str
    is_error: bool
    structured: dict[str, Any]


class GoFrontend:
    """A running `frontend_gorilla`."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""

    async def frame(self, kind: str) -> dict[str, Any]:
        """Return the next frame of this type that it got; every frame must have one."""
        while True:
            frame: dict[str, Any] = json.loads(await self._line())
            if frame["type"] == kind:
                return frame

    async def leave(self) -> dict[str, Any]:
        """Let it say `disconnect`; return how its connection was closed."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        return await self.frame("closed")

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            data = await self._process.stdout.receive_some()
            assert data, "the frontend ended"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def build(directory: Path) -> None:
    """Compile all of them into a directory."""
    _build(SOURCES, "-o", f"{directory}/", "./...")
    _build(EARLIER, "-o", f"{directory}/ask_mcpgo_v0.32", ".")
    _build(EARLIER, "-modfile", "v0.58.mod", "-o", f"{directory}/ask_mcpgo_v0.58", ".")


def _build(module: Path, *arguments: str) -> None:
    built = subprocess.run(
        ["go", "build", *arguments],
        cwd=module,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr


async def ask(
    program: Path, gateway: Ports, question: str, version: str = "", **flags: str
) -> Answered:
    """Let a program ask; return what it got."""
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    given = {"url": url, "question": question, "version": version, **flags}
    command = [str(program), *(f"-{name}={value}" for name, value in given.items())]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return Answered(**json.loads(done.stdout))


@asynccontextmanager
async def gorilla(
    programs: Path, gateway: Ports, program: str = "frontend_gorilla", **flags: str
) -> AsyncIterator[GoFrontend]:
    """Run a frontend in Go until the end of the block."""
    given = {"url": f"ws://127.0.0.1:{gateway.ws_port}/ws", **flags}
    command = [
        str(programs / program),
        *(f"-{name}={value}" for name, value in given.items()),
    ]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        frontend = GoFrontend(process)
        await frontend.frame("dialled" if program == "frontend_gorilla" else "connect_ack")
        yield frontend
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
