"""The largest messages of every shape keep the one task that serves everybody busy for no time.

What others would wait for is the processor's time that a message takes, which is measured,
as a loaded machine has delays of its own, and is compared with what else takes time there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.live.caller import MODERN
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, assert_serves, frame, host, websocket
from tests.live.process import GatewayProcess, running_gateway
from tests.yardstick import as_if_idle

pytestmark = pytest.mark.slow

_LARGEST = 1024 * 1024
_MOST_SECONDS = 0.05
_TIMES = 6

SHAPES = {
    "a text": b'"%b"' % (b"x" * 900_000),
    "a text of escapes": b'"%b"' % (rb"\u0041" * 150_000),
    "a text of newlines": b'"%b"' % (rb"\n" * 450_000),
    "numbers": b"[%b0]" % (b"0," * 450_000),
    "small objects": b"[%b{}]" % (b"{}," * 300_000),
    "members": b"{%b}" % b",".join(b'"%06d":0' % each for each in range(80_000)),
    "the same member": b'{%b"a":0}' % (b'"a":0,' * 150_000),
    "lists in lists": b"[" * 900_000,
    "lists in lists, closed": b"[" * 450_000 + b"]" * 450_000,
    "objects in objects": b'{"a":' * 180_000,
    "a long number": b"9" * 900_000,
    "a long fraction": b"0." + b"1" * 900_000,
    "a large exponent": b"1e" + b"9" * 900_000,
    "blanks": b" " * 900_000,
}
FRAMES = {
    "answer": b'{"type":"user_response","request_id":"%s","answer":%%b}' % (b"0" * 32),
    "form": b'{"type":"user_response","request_id":"%s","content":%%b}' % (b"0" * 32),
    "draft": b'{"type":"draft","request_id":"x","text":%b}',
    "connect": b'{"type":"connect","groups":%b}',
    "unknown": b'{"type":"unheard-of","more":%b}',
    "bare": b"%b",
}
CALLS = {
    "question": b'{"question":%b,"wait":"return"}',
    "schema": b'{"question":"?","wait":"return","schema":{"properties":{"x":%b}}}',
    "choices": b'{"question":"?","wait":"return","choices":%b}',
    "context": b'{"question":"?","wait":"return","context":%b}',
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """One of their own: many questions for everybody stay open."""
    with running_gateway(*LEAVE_AT_ONCE) as one:
        yield one


def post(port: int, body: bytes) -> bytes:
    return (
        b"POST /mcp HTTP/1.1\r\n%bContent-Type: application/json\r\nMCP-Protocol-Version: %b\r\n"
        b"Accept: application/json, text/event-stream\r\nMcp-Method: tools/call\r\n"
        b"Mcp-Name: ask_user\r\nContent-Length: %d\r\n\r\n%b"
    ) % (host(port), MODERN.encode(), len(body), body)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_message_of_a_frontend_takes_no_time(
    gateway: GatewayProcess, shape: str
) -> None:
    for name, said in FRAMES.items():
        message = frame(1, said.replace(b"%b", SHAPES[shape])[:_LARGEST])
        with websocket(gateway.ws_port) as peer:
            peer.send(frame(1, b'{"type":"connect"}'))
            assert json.loads(peer.frame().payload)["type"] == "connect_ack"
            before = gateway.cpu_seconds()
            for _ in range(_TIMES):
                peer.send(message)
                while peer.frame().first == 0x89:
                    pass
            took = as_if_idle((gateway.cpu_seconds() - before) / _TIMES)
            assert took < _MOST_SECONDS, f"{name}: {took:.3f} s"
    assert_serves(gateway.ws_port)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_request_of_a_caller_takes_no_time(gateway: GatewayProcess, shape: str) -> None:
    port = gateway.mcp_port
    for name, said in CALLS.items():
        arguments = said.replace(b"%b", SHAPES[shape])
        request = post(
            port,
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask_user","arguments":'
            b'%b,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
            b'"io.modelcontextprotocol/clientCapabilities":{}}}}' % arguments,
        )
        with Peer(port) as peer:
            before = gateway.cpu_seconds()
            for _ in range(_TIMES):
                peer.send(request)
                assert peer.answer().status in {200, 400}
            took = as_if_idle((gateway.cpu_seconds() - before) / _TIMES)
            assert took < _MOST_SECONDS, f"{name}: {took:.3f} s"
    assert_serves(port)
