"""Go programs ask and Go programs answer: the official SDK, mcp-go and gorilla/websocket.

The frontend in Go knows only the four messages of the Go server. Of mcp-go there
are the current client and two earlier ones; v0.32 is what the Go server was built on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from tests.interop.person import person_at
from tests.live.process import GatewayProcess, running_gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("go") is None,
        reason="Go is not installed: interop with Go programs is not shown",
    ),
]
SOURCES = Path(__file__).parent / "go"
EARLIER = SOURCES / "ask_mcpgo_earlier"
# Nobody waits this long when all is well.
PATIENCE = 30
# Compiling takes its time when nothing of it is cached yet.
BUILD_SECONDS = 300


class Asker(NamedTuple):
    """A program that asks, the revision it is told to want (empty: its choice), and gets."""

    program: str
    version: str
    spoken: str


EVERY_ASKER = pytest.mark.parametrize(
    "asker",
    [
        Asker(program, version, version or "2026-07-28")
        for program in ("ask_gosdk", "ask_mcpgo")
        for version in ("", "2025-11-25", "2025-06-18", "2025-03-26")
    ]
    + [
        Asker("ask_mcpgo_v0.32", "2025-03-26", "2025-03-26"),
        # No revision of ours: the client takes the one that is offered instead.
        Asker("ask_mcpgo_v0.32", "2024-11-05", "2025-11-25"),
        Asker("ask_mcpgo_v0.58", "2025-11-25", "2025-11-25"),
    ],
    ids=lambda asker: f"{asker.program} {asker.version or 'newest'}",
)


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


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the Go programs; return where they are."""
    directory = tmp_path_factory.mktemp("go")
    _build(SOURCES, "-o", f"{directory}/", "./...")
    _build(EARLIER, "-o", f"{directory}/ask_mcpgo_v0.32", ".")
    _build(EARLIER, "-modfile", "v0.58.mod", "-o", f"{directory}/ask_mcpgo_v0.58", ".")
    return directory


def _build(module: Path, *arguments: str) -> None:
    built = subprocess.run(
        ["go", "build", *arguments],
        cwd=module,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway as it is by default, but quick to leave."""
    with running_gateway(
        *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5")
    ) as process:
        yield process


async def _ask(
    program: Path, gateway: GatewayProcess, question: str, version: str = "", **flags: str
) -> Answered:
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    given = {"url": url, "question": question, "version": version, **flags}
    command = [str(program), *(f"-{name}={value}" for name, value in given.items())]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return Answered(**json.loads(done.stdout))


@asynccontextmanager
async def _gorilla(
    programs: Path, gateway: GatewayProcess, **flags: str
) -> AsyncIterator[GoFrontend]:
    given = {"url": f"ws://127.0.0.1:{gateway.ws_port}/ws", **flags}
    command = [
        str(programs / "frontend_gorilla"),
        *(f"-{name}={value}" for name, value in given.items()),
    ]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        frontend = GoFrontend(process)
        await frontend.frame("dialled")
        yield frontend
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def _gorilla_that_connects(programs: Path, gateway: GatewayProcess) -> AsyncIterator[None]:
    async with _gorilla(programs, gateway, answer="Blue") as frontend:
        assert (await frontend.frame("connect_ack"))["status"] == "connected"
        yield


@asynccontextmanager
async def _gorilla_that_never_connects(
    programs: Path, gateway: GatewayProcess
) -> AsyncIterator[None]:
    async with _gorilla(programs, gateway, answer="Blue", connect="false"):
        yield


@asynccontextmanager
async def _trio_websocket(_programs: Path, gateway: GatewayProcess) -> AsyncIterator[None]:
    async def answer() -> None:
        assert await person.answer(await person.question(), "Blue") == "accepted"

    async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        yield


Answering = Callable[[Path, GatewayProcess], AbstractAsyncContextManager[None]]


@EVERY_ASKER
@pytest.mark.parametrize(
    "answering",
    [_gorilla_that_connects, _gorilla_that_never_connects, _trio_websocket],
    ids=["gorilla", "gorilla never connects", "trio-websocket"],
)
async def test_a_go_program_asks_and_any_frontend_answers(
    programs: Path,
    gateway: GatewayProcess,
    asker: Asker,
    answering: Answering,
) -> None:
    with trio.fail_after(PATIENCE):
        async with answering(programs, gateway):
            answered = await _ask(
                programs / asker.program, gateway, "Which <colour>?", asker.version
            )
        assert answered.version == asker.spoken
        assert answered.text == "Blue"
        assert not answered.is_error
        if answered.structured:
            assert answered.structured["state"] == "answered"
            assert answered.structured["answer"] == "Blue"


@EVERY_ASKER
async def test_a_go_program_waits_for_a_person_who_thinks(
    programs: Path, gateway: GatewayProcess, asker: Asker
) -> None:
    """Longer than what is answered with JSON: the answer comes as the end of a stream."""
    with trio.fail_after(PATIENCE):
        async with _gorilla(programs, gateway, answer="in the \u00e9nd", delay="300ms"):
            answered = await _ask(
                programs / asker.program, gateway, "How does it end?", asker.version
            )
        assert (answered.version, answered.text) == (asker.spoken, "in the \u00e9nd")
        assert not answered.is_error


@EVERY_ASKER
async def test_the_timeout_that_a_go_program_sets_is_honoured(
    programs: Path, gateway: GatewayProcess, asker: Asker
) -> None:
    with trio.fail_after(PATIENCE):
        begun = trio.current_time()
        answered = await _ask(
            programs / asker.program, gateway, "Anybody?", asker.version, timeout="0.4"
        )
        assert trio.current_time() - begun >= 0.4
        assert answered.version == asker.spoken
        assert answered.is_error
        assert answered.text.startswith("Nobody answered within 0.4 seconds")


async def test_every_go_frontend_is_shown_every_question_and_the_first_answer_wins(
    programs: Path, gateway: GatewayProcess
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            _gorilla(programs, gateway, answer="early") as quick,
            _gorilla(programs, gateway, answer="late", delay="300ms") as slow,
        ):
            for frontend in (quick, slow):
                await frontend.frame("connect_ack")
            answered = await _ask(programs / "ask_gosdk", gateway, "Who is first?")
            assert answered.text == "early"
            question = await slow.frame("ask_user")
            assert question == {**question, "question": "Who is first?"}
            assert (await quick.frame("ask_user"))["request_id"] == question["request_id"]
            # Go's server ignores the second answer without a word.
            assert (await quick.frame("response_ack"))["status"] == "accepted"
            assert (await slow.frame("response_ack"))["status"] == "duplicate"


async def test_a_go_frontend_that_says_disconnect_is_closed_cleanly(
    programs: Path, gateway: GatewayProcess
) -> None:
    with trio.fail_after(PATIENCE):
        async with _gorilla(programs, gateway) as frontend:
            await frontend.frame("connect_ack")
            assert (await frontend.leave())["code"] == 1000


async def test_many_go_programs_at_once_each_get_their_own_answer(
    programs: Path, gateway: GatewayProcess
) -> None:
    """All of them use the same JSON-RPC ids."""
    answers: dict[str, str] = {}

    async def ask(question: str) -> None:
        program = programs / ("ask_gosdk" if int(question) % 2 else "ask_mcpgo")
        answers[question] = (await _ask(program, gateway, question)).text

    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(partial(ask, str(number)))
            for _ in range(8):
                question = await person.question()
                answer = f"answer to {question['question']}"
                request_id = question["request_id"]
                await person.say(type="user_response", request_id=request_id, answer=answer)
    assert answers == {str(number): f"answer to {number}" for number in range(8)}
