"""Messages of sixteen mebibytes, where settings allow them, keep the loop for no time, either.

What is measured is the longest step of any task of a gateway, in the processor's time that it
takes: what everybody else has to wait for. It is compared with what else takes time there, as
a loaded machine makes everything slow.
"""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest
import zstandard

from tests.live.caller import MODERN
from tests.live.metrics import counted
from tests.live.peer import Peer, assert_serves, frame, host, websocket
from tests.live.test_large import (
    LARGEST,
    MEBIBYTE,
    Person,
    Say,
    ask,
    body_of,
    frontend_of,
    in_fragments,
    packed,
    plainly,
)
from tests.live.watched import Watched, watching

pytestmark = pytest.mark.slow

_SIZE: Final = LARGEST - 4096

# Made when they are wanted: they are large.
SHAPES: Final[dict[str, Callable[[], bytes]]] = {
    "a text": lambda: b'"%b"' % (b"x" * _SIZE),
    "a text of newlines": lambda: b'"%b"' % (rb"\n" * (_SIZE // 2)),
    "a text of quotes": lambda: b'"%b"' % (rb"\"" * (_SIZE // 2)),
    "a text of escapes": lambda: b'"%b"' % (rb"\ud83d\ude00" * (_SIZE // 12)),
    "a text of emoji": lambda: json.dumps("\U0001f600" * (_SIZE // 4), ensure_ascii=False).encode(),
    "numbers": lambda: b"[%b0]" % (b"0," * (_SIZE // 2)),
    "small objects": lambda: b"[%b{}]" % (b"{}," * (_SIZE // 3)),
    "members": lambda: b"{%b}" % b",".join(b'"%07d":0' % each for each in range(_SIZE // 12)),
    "small texts": lambda: b'[%b""]' % (b'"",' * (_SIZE // 3)),
    "texts": lambda: b'["%b"]' % (b'","'.join([b"x" * 60_000] * (_SIZE // 60_003))),
    "lists in lists": lambda: b"[" * _SIZE,
    "a long number": lambda: b"9" * _SIZE,
    "blanks": lambda: b" " * _SIZE,
    "a long key": lambda: b'{"%b":0}' % (b"x" * (_SIZE - 6)),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A gateway whose settings allow texts of 16 MiB."""
    yield from watching(tmp_path_factory)


def post(port: int, body: bytes, coding: bytes = b"") -> bytes:
    coded = b"Content-Encoding: %b\r\n" % coding if coding else b""
    return (
        b"POST /mcp HTTP/1.1\r\n%bContent-Type: application/json\r\nMCP-Protocol-Version: %b\r\n"
        b"Accept: application/json, text/event-stream\r\nMcp-Method: tools/call\r\n%b"
        b"Mcp-Name: ask_user\r\nContent-Length: %d\r\n\r\n%b"
    ) % (host(port), MODERN.encode(), coded, len(body), body)


def call(context: bytes) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask_user","arguments":'
        b'{"question":"?","wait":"return","if_absent":"fail","context":%b},"_meta":{'
        b'"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientCapabilities":{}}}}' % context
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_request_of_any_shape(watched: Watched, shape: str) -> None:
    port = watched.gateway.mcp_port
    with Peer(port) as peer:
        for _ in watched.tries(shape):
            peer.send(post(port, call(SHAPES[shape]())))
            assert peer.answer().status in {200, 400}
    assert_serves(port)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_message_of_a_frontend_of_any_shape(watched: Watched, shape: str) -> None:
    port = watched.gateway.ws_port
    said = SHAPES[shape]()
    for name in (b"answer", b"content"):
        message = b'{"type":"user_response","request_id":"%b","%b":%b}' % (
            *(b"0" * 32, name),
            said,
        )
        with websocket(port) as peer:
            for _ in watched.tries(f"{shape} as {name.decode()}"):
                peer.send(frame(1, message) + frame(1, b'{"type":"connect"}'))
                kinds = []
                while "connect_ack" not in kinds:
                    answer = peer.frame()
                    if answer.first == 0x81:
                        kinds.append(json.loads(answer.payload)["type"])
                assert kinds[0] in {"response_ack", "error"}, "what came behind it was taken first"
    assert_serves(port)


def in_small_blocks(data: bytes) -> bytes:
    """Return a gzip member that is a lot of work for its size."""
    deflater = zlib.compressobj(5, zlib.DEFLATED, 31)
    pieces = (
        deflater.compress(data[at : at + 256]) + deflater.flush(zlib.Z_FULL_FLUSH)
        for at in range(0, len(data), 256)
    )
    return b"".join(pieces) + deflater.flush()


CODERS: Final[dict[str, tuple[bytes, Callable[[bytes], bytes]]]] = {
    "gzip": (b"gzip", lambda data: gzip.compress(data, 1)),
    "gzip in small blocks": (b"gzip", in_small_blocks),
    "zstd": (b"zstd", zstandard.ZstdCompressor(level=1).compress),
}


@pytest.mark.parametrize("coder", CODERS)
def test_a_large_body_of_any_coding(watched: Watched, coder: str) -> None:
    port = watched.gateway.mcp_port
    coding, coded = CODERS[coder]
    body = coded(call(json.dumps(book()).encode()))
    with Peer(port) as peer:
        for _ in watched.tries(coder):
            peer.send(post(port, body, coding))
            assert peer.answer().status == 200


# Not twice the same, so that it takes its time to be compressed.
@functools.cache
def book() -> str:
    return "".join(
        f"{number * 2654435761 % 2**32:x} \u2192 {number}\n" for number in range(LARGEST // 24)
    )


@pytest.mark.parametrize("say", [plainly, in_fragments, packed])
def test_a_large_question_and_its_answer(watched: Watched, say: Say) -> None:
    gateway = watched.gateway
    with frontend_of(gateway, say) as frontend, Person(frontend, say):
        for _ in watched.tries(say.__name__):
            result = ask(gateway, body_of("All of it?", book()))
            assert result["structuredContent"]["answer"] == book()
    assert counted(gateway, "frontend_router_failures_total") == 0


def test_a_large_question_to_a_hundred_frontends(watched: Watched) -> None:
    gateway = watched.gateway
    text = book()[: 4 * MEBIBYTE]
    with ExitStack() as stack:
        peers = [stack.enter_context(websocket(gateway.ws_port)) for _ in range(100)]
        for peer in peers:
            peer.send(frame(1, b'{"type":"connect"}'))
            assert json.loads(peer.frame().payload)["type"] == "connect_ack"
        for _ in watched.tries("to a hundred"):
            arguments = json.dumps(text).encode()
            with Peer(gateway.mcp_port) as caller:
                caller.send(post(gateway.mcp_port, call(arguments)))
                assert caller.answer().status == 200
                for peer in peers:
                    assert json.loads(peer.frame().payload)["context"] == text
    assert counted(gateway, "frontend_router_slow_consumers_total") == 0
    assert counted(gateway, "frontend_router_large_waiting", how="writing") == 0
