"""Connections opened one by one, before the load begins.

It waits for each reply, with a deadline, and refuses to go on when one is not
what the protocol promises: a wrong set-up would measure nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from loadtest import requests

_PATIENCE_SECONDS = 10.0
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": requests.HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}
_INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class PeerError(Exception):
    """The server did not say what it had to say for the load to begin."""


def connect(port: int) -> socket.socket:
    """Return a connection that sends at once."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def open_frontend(port: int, *, says_connect: bool = True) -> tuple[socket.socket, bytes]:
    """Return an upgraded connection, and what the server sent beyond its reply."""
    with _closing_unless_kept(connect(port)) as sock:
        sock.sendall(requests.UPGRADE % port)
        head, rest = _read_head(sock)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise PeerError(f"no upgrade: {head[:200]!r}")
        if says_connect:
            sock.sendall(requests.frame(b'{"type":"connect"}'))
            payload, rest = read_frame(sock, rest)
            if json.loads(payload).get("status") != "connected":
                raise PeerError(f"no connect_ack: {payload[:200]!r}")
        return sock, rest


def open_caller(port: int, revision: str) -> tuple[socket.socket, bytes]:
    """Return a connection and, in the handshake era, the id of a session begun on it."""
    with _closing_unless_kept(connect(port)) as sock:
        if revision == requests.MODERN:
            return sock, b""
        sock.sendall(requests.post(port, _INITIALIZE, {}))
        session = _header(_read_response(sock), b"mcp-session-id")
        headers = {b"MCP-Protocol-Version": revision.encode(), b"Mcp-Session-Id": session}
        sock.sendall(requests.post(port, _INITIALIZED, headers))
        _read_response(sock)
        return sock, session


@contextlib.contextmanager
def _closing_unless_kept(sock: socket.socket) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(sock)
        yield sock
        stack.pop_all()


def read_frame(sock: socket.socket, data: bytes = b"") -> tuple[bytes, bytes]:
    """Return the payload of the next frame, and what came behind it."""
    while True:
        end = frame_end(data, 0)
        if 0 < end <= len(data):
            return data[_payload_start(data, 0) : end], data[end:]
        data += _receive(sock)


def frame_end(data: bytes, start: int) -> int:
    """Return where the unmasked frame at ``start`` ends, or 0 when its head is not all there."""
    if len(data) - start < 2:  # noqa: PLR2004 - a head's least length
        return 0
    length = data[start + 1]
    if length < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
        return start + 2 + length
    begin = _payload_start(data, start)
    if len(data) < begin:
        return 0
    return begin + int.from_bytes(data[start + 2 : begin], "big")


def ask_message(sock: socket.socket, message: dict[str, Any]) -> bytes:
    """Send one message on an open frontend and return the payload that comes back."""
    sock.sendall(requests.frame(json.dumps(message, separators=(",", ":")).encode()))
    payload, rest = read_frame(sock)
    if rest:
        raise PeerError(f"more than one reply: {rest[:200]!r}")
    return payload


def _payload_start(data: bytes, start: int) -> int:
    return start + {126: 4, 127: 10}.get(data[start + 1], 2)


def _read_response(sock: socket.socket) -> bytes:
    head, body = _read_head(sock)
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
        raise PeerError(f"refused: {head[:200]!r} {body[:200]!r}")
    length = int(_header(head, b"content-length", b"0"))
    while len(body) < length:
        body += _receive(sock)
    return head


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(sock)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise PeerError("the server closed the connection")
    return data


def _header(head: bytes, name: bytes, default: bytes | None = None) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    if default is None:
        raise PeerError(f"no header {name.decode()}: {head[:300]!r}")
    return default
