"""The TypeScript SDKs and the MCP Inspector ask, as programs in Node; trio-websocket answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import pytest
import trio

from tests.conformance.suite import ROOT, node_of
from tests.interop.person import person_at
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# Nobody waits this long when all is well.
PATIENCE: Final = 120
#: Where make puts what is in package.json.
BUILT: Final = ROOT / "build" / "interop"
_INSPECTOR: Final = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"

SDKS: Final = [("v1", "legacy"), ("v2", "legacy"), ("v2", "modern")]
Sdk = tuple[str, str]
EVERY_SDK: Final = pytest.mark.parametrize("sdk", SDKS, ids=" ".join)


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway that shows often that it lives."""
    with running_gateway(*LEAVE_AT_ONCE, "--mcp-keep-alive-seconds", "0.3") as one:
        yield one


@pytest.fixture(scope="module")
def node() -> str:
    """Return the Node that runs what is installed, with our program beside that."""
    assert (BUILT / ".done").exists(), "The packages are not installed: make build/interop/.done"
    shutil.copy(ROOT / "tests" / "interop" / "node" / "client.mjs", BUILT)
    return node_of(BUILT / "node_modules")


def url(gateway: GatewayProcess) -> str:
    return f"http://127.0.0.1:{gateway.mcp_port}/mcp"


class Agent:
    """One program: what it is told to do, and what it tells."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._text = b""

    async def say(self, do: str, number: int, **more: Any) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"do": do, "id": number, **more})
        await self._process.stdin.send_all(line.encode() + b"\n")

    async def ask(self, number: int, question: str, *, key: str = "", **more: Any) -> None:
        arguments = {"question": question} | ({"idempotency_key": key} if key else {})
        await self.say("call", number, tool="ask_user", arguments=arguments, **more)

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next line that tells of one of these; others are passed over."""
        assert self._process.stdout is not None
        while True:
            while b"\n" not in self._text:
                data = await self._process.stdout.receive_some()
                assert data, "the program ended"
                self._text += data
            line, _, self._text = self._text.partition(b"\n")
            said: dict[str, Any] = json.loads(line)
            if not said.keys().isdisjoint(kinds):
                return said


@asynccontextmanager
async def agent_at(gateway: GatewayProcess, node: str, sdk: Sdk) -> AsyncIterator[Agent]:
    command = [node, "client.mjs", *sdk, url(gateway)]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                command,
                cwd=BUILT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        agent = Agent(process)
        await agent.hear("connected")
        yield agent
        nursery.cancel_scope.cancel()


@EVERY_SDK
async def test_a_program_on_the_sdk_asks_waits_gives_up_and_is_back(
    gateway: GatewayProcess, node: str, sdk: Sdk
) -> None:
    """One program does all of it, as to start one takes the longest."""
    with trio.fail_after(PATIENCE):
        async with (
            person_at(gateway.ws_port, user="ann") as person,
            agent_at(gateway, node, sdk) as agent,
        ):
            await agent.say("list", 1)
            assert {"ask_user", "collect_answer"} <= set((await agent.hear("tools"))["tools"])

            await agent.ask(2, "Which colour?")
            assert await person.answer(await person.question(), "blue") == "accepted"
            told = await agent.hear("text", "error")
            assert (told["text"], told["isError"]) == ("blue", False)
            assert told["structured"]["answered_by"]["user"] == "ann"

            # Its patience ends twice over, but for the progress.
            await agent.ask(3, "How long?", progress=True, timeout=3000, reset=True)
            question = await person.question()
            done = []
            for _ in range(13):
                progress = (await agent.hear("progress", "error"))["progress"]
                assert "waiting for a person" in progress["message"]
                done.append(progress["progress"])
            assert done == sorted(set(done))
            assert await person.answer(question, "long") == "accepted"
            assert (await agent.hear("text", "error"))["text"] == "long"

            # Without, it gives up, says so, and the question is taken back.
            await agent.ask(4, "Too long?", timeout=1500)
            question = await person.question()
            assert "timed out" in (await agent.hear("text", "error"))["error"]
            closed = await person.frame("question_closed")
            assert closed["request_id"] == question["request_id"]

            await agent.ask(5, "Never mind?")
            question = await person.question()
            await agent.say("cancel", 5)
            assert "changed my mind" in str(await agent.hear("text", "error"))
            closed = await person.frame("question_closed")
            assert (closed["request_id"], closed["reason"]) == (
                question["request_id"],
                "cancelled",
            )

            await agent.say("call", 6, tool="ask_user", arguments={"queston": "?"})
            assert "queston" in str(await agent.hear("text", "error"))

            await agent.ask(7, "Still there?", key=f"back {sdk}")
            question = await person.question()
            if sdk[1] == "modern":
                await agent.say("come back", 8)
                await agent.hear("back")
                assert await person.answer(question, "yes") == "accepted"
                await agent.ask(9, "Still there?", key=f"back {sdk}")
            else:
                token = (await agent.hear("token"))["token"]
                await agent.say("come back", 8)
                await agent.hear("back")
                assert await person.answer(question, "yes") == "accepted"
                await agent.ask(9, "Still there?", key=f"back {sdk}", resume=token)
            while (told := await agent.hear("text", "error"))["id"] != 9:
                # The call that was left hears that its line is gone.
                assert told["id"] == 7
            assert told["text"] == "yes"


@pytest.mark.parametrize("era", ["legacy", "modern", "auto"])
async def test_the_inspector_lists_and_asks(gateway: GatewayProcess, node: str, era: str) -> None:
    async def inspect(*more: str) -> dict[str, Any]:
        done = await trio.run_process(
            [
                *(node, str(BUILT / "node_modules" / _INSPECTOR), "--cli", url(gateway)),
                *("--transport", "http", "--protocol-era", era, "--format", "json", "-q", *more),
            ],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    with trio.fail_after(PATIENCE):
        listed = await inspect("--method", "tools/list", "--strict")
        assert "ask_user" in {tool["name"] for tool in listed["result"]["tools"]}
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:

            async def answer() -> None:
                assert await person.answer(await person.question(), "42") == "accepted"

            nursery.start_soon(answer)
            call = ("--method", "tools/call", "--tool-name", "ask_user")
            result = await inspect(*call, "--tool-args-json", '{"question":"What is it?"}')
        assert result["result"]["content"][0]["text"] == "42"
