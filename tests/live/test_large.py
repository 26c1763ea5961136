"""Sixteen times the usual message, where settings allow it: there and back, beside others."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from session import dictionary
from tests.live.caller import MODERN
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

PATIENCE = 60.0
MEBIBYTE = 1024 * 1024
LARGEST = 16 * MEBIBYTE
#: A message is somewhat longer than the text in it.
MESSAGE = LARGEST + MEBIBYTE
PIECE = 256 * 1024
ZSTD = Subprotocol("frontend-router.v1.zstd")
META = "io.modelcontextprotocol/"
TEXT = "Is it \u00e9 or \u2192, and why does it say so? "


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway whose settings allow texts of 16 MiB."""
    with running_gateway(
        *LEAVE_AT_ONCE,
        *("--questions-question-bytes", str(LARGEST), "--questions-answer-bytes", str(LARGEST)),
        *("--http-body-bytes", str(MESSAGE), "--frontends-message-bytes", str(MESSAGE)),
        # Peers here read one after the other, however long that takes.
        *("--connections-outbox-bytes", str(4 * MESSAGE), "--connections-send-seconds", "120"),
    ) as gateway:
        yield gateway


def body_of(question: str, context: str = "") -> bytes:
    described = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    arguments: dict[str, Any] = {"question": question, "timeout_seconds": PATIENCE}
    if context:
        arguments["context"] = context
    params = {"name": "ask_user", "arguments": arguments, "_meta": described}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message, ensure_ascii=False).encode()


def ask(gateway: GatewayProcess, body: bytes | Iterator[bytes], **more: str) -> dict[str, Any]:
    """Ask, and return the result, whichever way it comes."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "ask_user",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    response = httpx.post(url, content=body, headers=headers, timeout=PATIENCE)
    text = response.text
    if response.headers["content-type"] == "text/event-stream":
        text = [line for line in text.split("\n") if line.startswith("data: {")][-1][6:]
    result: dict[str, Any] = json.loads(text)["result"]
    return result


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def plainly(frontend: ClientConnection, message: bytes) -> None:
    frontend.send(message.decode())


def in_fragments(frontend: ClientConnection, message: bytes) -> None:
    text = message.decode()
    frontend.send(text[at : at + PIECE] for at in range(0, len(text), PIECE))


def packed(frontend: ClientConnection, message: bytes) -> None:
    frontend.send(dictionary.packed(message))


Say = Callable[[ClientConnection, bytes], None]


class Person:
    """Answers every question with its own context, or with a word where it has none."""

    def __init__(self, frontend: ClientConnection, say: Say) -> None:
        self._say = say
        self._frontend = frontend
        self.shown: list[int] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        hello = {"type": "connect", "dictionaries": [dictionary.CURRENT]}
        self._frontend.send(json.dumps(hello))
        assert json.loads(self._read())["type"] == "connect_ack"
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._frontend.close()
        self._thread.join()

    def _read(self) -> bytes:
        said = self._frontend.recv()
        return said.encode() if isinstance(said, str) else dictionary.unpacked(said, MESSAGE)

    def _run(self) -> None:
        for said in self._frontend:
            text = said if isinstance(said, str) else dictionary.unpacked(said, MESSAGE)
            message = json.loads(text)
            if message["type"] == "ask_user":
                context = message.get("context", "")
                self.shown.append(len(context))
                answer = {
                    "type": "user_response",
                    "request_id": message["request_id"],
                    "answer": context or "Yes",
                }
                self._say(self._frontend, json.dumps(answer, ensure_ascii=False).encode())


def frontend_of(gateway: GatewayProcess, say: Say) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{gateway.ws_port}/ws",
        max_size=None,
        open_timeout=PATIENCE,
        close_timeout=PATIENCE,
        # While a large message is on its way there may be no time for more.
        ping_interval=None,
        # With it, fragments are compressed as well.
        compression="deflate" if say is in_fragments else None,
        subprotocols=[ZSTD] if say is packed else None,
    )


def test_without_settings_a_question_and_its_context_have_a_mebibyte_each() -> None:
    # Six bytes each in JSON: the frame is longer than an outbox.
    question, context = "<" * MEBIBYTE, "&" * MEBIBYTE
    with (
        running_gateway(*LEAVE_AT_ONCE) as gateway,
        frontend_of(gateway, plainly) as frontend,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(ask, gateway, body_of(question, context))
        shown = json.loads(frontend.recv(PATIENCE))
        assert (shown["question"], shown["context"]) == (question, context)
        answer = {"type": "user_response", "request_id": shown["request_id"], "answer": "Yes"}
        frontend.send(json.dumps(answer))
        assert asked.result(PATIENCE)["structuredContent"]["answer"] == "Yes"
        assert counted(gateway, "frontend_router_slow_consumers_total") == 0
        refused = ask(gateway, body_of(question + "?"))
        assert refused["isError"]
        assert f"{MEBIBYTE} characters" in refused["content"][0]["text"]


@pytest.mark.parametrize("say", [plainly, in_fragments, packed])
@pytest.mark.parametrize("sent", ["whole", "in chunks", "gzip"])
def test_a_text_of_sixteen_mebibytes_goes_there_and_back_while_others_ask(
    gateway: GatewayProcess, say: Say, sent: str
) -> None:
    text = TEXT * (LARGEST // len(TEXT.encode()))
    body = body_of("All of it?", text)
    is_done = threading.Event()

    def others() -> int:
        """Ask one small question after the other; return how many were answered."""
        count = 0
        small = body_of("Short?")
        while not is_done.is_set():
            assert ask(gateway, small)["structuredContent"]["answer"] == "Yes"
            count += 1
        return count

    with (
        frontend_of(gateway, say) as frontend,
        Person(frontend, say) as person,
        ThreadPoolExecutor(1) as pool,
    ):
        beside = pool.submit(others)
        try:
            if sent == "gzip":
                result = ask(gateway, gzip.compress(body, 1), Content_Encoding="gzip")
            else:
                result = ask(gateway, body if sent == "whole" else pieces(body))
        finally:
            is_done.set()
        assert result["structuredContent"]["answer"] == text
        assert result["content"][0]["text"] == text
        assert beside.result(PATIENCE) > 0
        assert person.shown.count(len(text)) == 1
    assert counted(gateway, "frontend_router_failures_total") == 0
