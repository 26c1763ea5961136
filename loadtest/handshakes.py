"""What is said on a connection before its load begins, and what has to come back.

Sans-I/O: each handshake is a generator that yields what to send and is sent
what was received, so that one text serves connections opened one by one and
connections opened by the thousand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Final, TypeVar

from loadtest import deflating, requests
from loadtest.places import Place

T = TypeVar("T")
#: Yields bytes to send (perhaps none), is sent bytes (never none), returns what was agreed.
Handshake = Generator[bytes, bytes, T]

_INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": requests.HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "loadtest", "version": "1"},
    },
}
_INITIALIZED: Final = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class PeerError(Exception):
    """The server did not say what it had to say for the load to begin."""


def frontend(place: Place, hello: bytes | None, *, deflates: bool = False) -> Handshake[bytes]:
    """Upgrade, say ``hello`` unless there is none; returns what came beyond the replies.

    A frontend that ``deflates`` wants permessage-deflate, and not only offers it.
    """
    head, rest = yield from _head(requests.upgrade(place, deflating.OFFER if deflates else ""))
    if not head.startswith(b"HTTP/1.1 101 "):
        raise PeerError(f"no upgrade: {head[:200]!r}")
    if deflates and not deflating.is_agreed(header(head, b"sec-websocket-extensions", b"")):
        raise PeerError("permessage-deflate is not agreed to")
    if hello is None:
        return rest
    framed = deflating.frame(hello) if deflates else requests.frame(hello)
    payload, rest = yield from _frame(framed, rest)
    if json.loads(payload).get("status") != "connected":
        raise PeerError(f"no connect_ack: {payload[:200]!r}")
    return rest


def messenger(place: Place, hello: bytes) -> Handshake[Callable[[bytes], bytes]]:
    """Begin as a frontend; returns how the server says that it knows no such question.

    What it says is learned from two questions that nobody asked: the rest of
    the replies is compared with it, byte by byte.
    """
    rest = yield from frontend(place, hello)
    names = b"000000001", b"000000002"
    pieces = []
    for name in names:
        payload, rest = yield from _frame(requests.answer(name, b"Blue"), rest)
        pieces.append(payload.split(name))
    if rest or pieces[0] != pieces[1] or b'"unknown"' not in payload:
        raise PeerError(f"no reply to build on: {payload!r} {rest[:200]!r}")

    def reply(name: bytes) -> bytes:
        payload = name.join(pieces[0])
        size = len(payload)
        if size < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
            return b"\x81%c%b" % (size, payload)
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)

    return reply


def initialize(place: Place, revision: str) -> Handshake[bytes]:
    """Begin a session as the handshake era does; returns its id."""
    head = yield from _response(requests.post(place, _INITIALIZE, {}))
    session = header(head, b"mcp-session-id")
    headers = {b"MCP-Protocol-Version": revision.encode(), b"Mcp-Session-Id": session}
    yield from _response(requests.post(place, _INITIALIZED, headers))
    return session


def discover(place: Place) -> Handshake[bytes]:
    """See which tools there are, as a caller of the modern era does; there is no session."""
    yield from _response(requests.list_tools(place))
    return b""


def caller(place: Place, revision: str) -> Handshake[bytes]:
    """Begin as a caller of this revision does; returns the id of its session, or nothing."""
    if revision == requests.MODERN:
        return discover(place)
    return initialize(place, revision)


def frame_end(data: bytes, start: int) -> int:
    """Return where the unmasked frame at ``start`` ends, or 0 when its head is not all there."""
    if len(data) - start < 2:  # noqa: PLR2004 - a head's least length
        return 0
    length = data[start + 1]
    if length < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
        return start + 2 + length
    begin = payload_start(data, start)
    if len(data) < begin:
        return 0
    return begin + int.from_bytes(data[start + 2 : begin], "big")


def payload_start(data: bytes, start: int) -> int:
    """Return where the payload of the unmasked frame at ``start`` begins."""
    return start + {126: 4, 127: 10}.get(data[start + 1], 2)


def header(head: bytes, name: bytes, default: bytes | None = None) -> bytes:
    """Return the value of a response's header field.

    Raises:
        PeerError: there is none, and no default.
    """
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    if default is None:
        raise PeerError(f"no header {name.decode()}: {head[:300]!r}")
    return default


def _head(request: bytes) -> Handshake[tuple[bytes, bytes]]:
    data = yield request
    while b"\r\n\r\n" not in data:
        data += yield b""
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _response(request: bytes) -> Handshake[bytes]:
    head, body = yield from _head(request)
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
        raise PeerError(f"refused: {head[:200]!r} {body[:200]!r}")
    length = int(header(head, b"content-length", b"0"))
    while len(body) < length:
        body += yield b""
    return head


def _frame(message: bytes, data: bytes) -> Handshake[tuple[bytes, bytes]]:
    data += yield message
    while not 0 < (end := frame_end(data, 0)) <= len(data):
        data += yield b""
    payload = data[payload_start(data, 0) : end]
    if data[0] == deflating.DEFLATED:
        try:
            payload = deflating.inflated(payload)
        except ValueError as error:
            raise PeerError(str(error)) from error
    return payload, data[end:]
