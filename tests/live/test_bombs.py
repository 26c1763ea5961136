"""What is small on the wire and large when it is whole costs next to nothing (B2-B4)."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter

import pytest
import zstandard

from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, assert_serves, frame, host, websocket
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_LIMIT = 1024 * 1024
_BODY_LIMIT = 4 * _LIMIT
_BOMBS = 200
_BOMB_BYTES = 64 * _LIMIT
# Of one tenant at a time: half of `--large-waiting`.
_LOOKED_INTO = 16
_MEBIBYTE = 1024 * 1024
_OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
_ZSTD_OFFER = b"Sec-WebSocket-Protocol: frontend-router.v1.zstd\r\n"


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    whole = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return frame(1, whole.removesuffix(b"\x00\x00\xff\xff"), rsv=4)


def zstandardized(data: bytes, *, says_size: bool = False) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=says_size).compress(data)


def posted(port: int, coding: bytes, body: bytes) -> bytes:
    return (
        b"POST /mcp HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Encoding: %b\r\n"
        b"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n%b"
    ) % (host(port), coding, len(body), body)


@pytest.mark.parametrize("how", ["deflate", "zstd"])
def test_two_hundred_frontends_with_a_bomb_each_take_no_memory(how: str) -> None:
    with running_gateway(*LEAVE_AT_ONCE) as gateway:
        if how == "deflate":
            offer, bomb = _OFFER, deflated(b"0" * _BOMB_BYTES)
        else:
            offer, bomb = _ZSTD_OFFER, frame(2, zstandardized(b"0" * _BOMB_BYTES))
        assert len(bomb) < _LIMIT / 10
        crowd = [websocket(gateway.ws_port, offer) for _ in range(_BOMBS)]
        before = gateway.resident_bytes()
        for peer in crowd:
            peer.send(bomb)
        for peer in crowd:
            assert peer.close_code() == 1009
            peer.sock.close()
        # One at a time, and each up to the limit.
        assert gateway.resident_bytes() - before < 32 * _MEBIBYTE
        assert_serves(gateway.ws_port)


@pytest.mark.parametrize("how", ["gzip", "zstd", "zstd that says its size"])
def test_two_hundred_callers_with_a_bomb_each_take_no_memory(how: str) -> None:
    with running_gateway(*LEAVE_AT_ONCE) as gateway:
        port = gateway.mcp_port
        data = b"0" * _BOMB_BYTES
        packed = (
            gzip.compress(data, 9)
            if how == "gzip"
            else zstandardized(data, says_size=how != "zstd")
        )
        bomb = posted(port, how.split(maxsplit=1)[0].encode(), packed)
        crowd = [Peer(port) for _ in range(_BOMBS)]
        before = gateway.resident_bytes()
        for peer in crowd:
            peer.send(bomb)
        # Only so many wait to be looked into, one after the other; others may come again.
        found = Counter(peer.answer().status for peer in crowd)
        assert found.keys() <= {413, 503}
        assert found[413] >= _LOOKED_INTO
        for peer in crowd:
            peer.sock.close()
        assert gateway.resident_bytes() - before < 32 * _MEBIBYTE
        assert_serves(port)


@pytest.mark.parametrize(("more", "is_taken"), [(-1, True), (0, True), (1, False)])
def test_the_limit_is_that_of_what_comes_out(
    gateway_process: GatewayProcess, more: int, is_taken: bool
) -> None:
    text = b'{"type":"user_response","request_id":"x","answer":"%b"}'
    said = text % (b"0" * (_LIMIT + more - len(text) + 2))
    assert len(said) == _LIMIT + more
    for offer, message in [
        (_OFFER, deflated(said)),
        (_ZSTD_OFFER, frame(2, zstandardized(said))),
    ]:
        with websocket(gateway_process.ws_port, offer) as peer:
            peer.send(message)
            if is_taken:
                assert b"response_ack" in peer.frame().payload
            else:
                assert peer.close_code() == 1009
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"%b"}}'
    asked = body % (b"0" * (_BODY_LIMIT + more - len(body) + 2))
    for coding, packed in [(b"gzip", gzip.compress(asked)), (b"zstd", zstandardized(asked))]:
        with Peer(gateway_process.mcp_port) as peer:
            peer.send(posted(peer.port, coding, packed))
            assert (peer.answer().status == 413) is not is_taken


LAYERS = {
    "gzip in gzip": (b"gzip", gzip.compress(gzip.compress(b"{}")), {400}),
    "two codings": (b"gzip, gzip", gzip.compress(gzip.compress(b"{}")), {400, 415}),
    "two codings of two kinds": (b"zstd, gzip", gzip.compress(zstandardized(b"{}")), {400, 415}),
    "two members": (b"gzip", gzip.compress(b"{}") * 2, {400}),
    "cut off": (b"gzip", gzip.compress(b"{}")[:-4], {400}),
    "something behind": (b"gzip", gzip.compress(b"{}") + b"\x00", {400}),
    "two frames": (b"zstd", zstandardized(b"{}") * 2, {400}),
    "a skippable frame": (b"zstd", b"\x50\x2a\x4d\x18\x01\0\0\0x" + zstandardized(b"{}"), {400}),
    "a window of a gigabyte": (b"zstd", b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00", {400}),
    "no coding of ours": (b"br", b"x", {415}),
    "deflate": (b"deflate", zlib.compress(b"{}"), {415}),
    "none": (b"gzip", b"{}", {400}),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_body_has_one_coding_and_is_one_frame(gateway_process: GatewayProcess, name: str) -> None:
    coding, body, statuses = LAYERS[name]
    with Peer(gateway_process.mcp_port) as peer:
        peer.send(posted(peer.port, coding, body))
        assert peer.answer().status in statuses
    assert_serves(gateway_process.mcp_port)
