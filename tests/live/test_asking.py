"""Approvals at a gateway as it is started, with frontends that know only the four messages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import open_websocket_url

from tests.live.caller import caller_at
from tests.live.process import TESTED, GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

PATIENCE = 60
ARGUMENTS = {"table": "users\u202e", "force": True}
PORTS = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")


async def call(gateway: GatewayProcess, name: str, /, **arguments: Any) -> dict[str, Any]:
    async with caller_at(gateway.mcp_port) as caller:
        await caller.send("tools/call", {"name": name, "arguments": arguments})
        result: dict[str, Any] = (await (await caller.response()).result())["result"]
        return result


async def approved(gateway: GatewayProcess) -> str:
    """Have a call approved by a frontend that never says connect; return the receipt."""
    asked = {"tool": "db.drop", "arguments": ARGUMENTS, "reason": "Unused."}
    opened = await call(gateway, "request_approval", wait="return", **asked)
    question_id = opened["structuredContent"]["question_id"]
    async with open_websocket_url(f"ws://127.0.0.1:{gateway.ws_port}/ws") as socket:
        shown = json.loads(await socket.get_message())
        assert shown["request_id"] == question_id
        for words in ("Tool: db.drop", '"table": "users\\u202e"', "Reason: Unused.", "approve"):
            assert words in shown["question"]
        answer = {"type": "user_response", "request_id": question_id, "answer": "approve"}
        await socket.send_message(json.dumps(answer))
        ack = json.loads(await socket.get_message())
        assert ack["status"] == "accepted", ack
        collected = await call(gateway, "collect_answer", question_id=question_id, wait_seconds=20)
    receipt: str = collected["structuredContent"]["approval"]["receipt"]
    return receipt


async def status(gateway: GatewayProcess, receipt: str) -> str:
    used = {"tool": "db.drop", "arguments": ARGUMENTS, "receipt": receipt}
    result = await call(gateway, "verify_approval", **used)
    told: str = result["structuredContent"]["status"]
    return told


async def test_a_receipt_of_a_store_that_is_gone_is_of_no_use(tmp_path: Path) -> None:
    """What was used is forgotten with it, and one key file is no reason to use it again."""
    keys = tmp_path / "keys"
    keys.write_text("k" * 64)
    with trio.fail_after(PATIENCE):
        with running_gateway("--mcp-key-file", str(keys)) as gateway:
            receipt = await approved(gateway)
            assert await status(gateway, receipt) == "good"
            assert await status(gateway, receipt) == "used"
        with running_gateway("--mcp-key-file", str(keys)) as gateway:
            assert await status(gateway, receipt) == "forged"


def test_a_key_file_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("short")
    told = subprocess.run(
        [*TESTED, "serve", *PORTS, "--mcp-key-file", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert told.returncode != 0
    assert f"--mcp-key-file {path}: a secret has at least 32 characters" in told.stderr
    assert "Traceback" not in told.stderr
