"""The bytes that callers and frontends send, made before the clock starts.

Pure module. A message under load differs from the one before it only in its
token, so all the rest is made once and its length never changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from loadtest.places import Place

HANDSHAKE: Final = "2025-11-25"
MODERN: Final = "2026-07-28"

#: As long as every token, so that lengths can be written down in advance.
FIRST_TOKEN: Final = 1_000_000_000_000

# RFC 6455 wants an unpredictable key to protect proxies from browsers. Between
# two programs of one machine a key of zeros is as good, and costs this side nothing.
_MASK: Final = bytes(4)
#: Where a token will stand.
PLACE: Final = str(FIRST_TOKEN)
_META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "loadtest", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

_UPGRADE: Final = (
    b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)


class Template:
    """A request with gaps for the token: its JSON-RPC id, the question, perhaps a key."""

    def __init__(self, request: bytes) -> None:
        self._form = request.replace(b"%", b"%%").replace(PLACE.encode(), b"%b")
        self._gaps = request.count(PLACE.encode())

    def fill(self, token: bytes) -> bytes:
        """Return the request that asks ``token``."""
        return self._form % ((token,) * self._gaps)


def upgrade(place: Place, extensions: str = "") -> bytes:
    """Return the request that makes a connection a frontend's, with what it offers."""
    more = _credential(place)
    if extensions:
        more += b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode()
    return _UPGRADE % (place.path.encode(), place.authority.encode(), more)


def ask_template(
    place: Place,
    revision: str,
    session: bytes = b"",
    arguments: Mapping[str, object] | None = None,
) -> Template:
    """Return the whole HTTP request of an `ask_user` call, as ``revision`` wants it.

    Without a session a caller of the handshake era is one that never said
    `initialize`, which simple servers take. `PLACE` in an argument becomes the
    token, too.
    """
    asked = {"question": PLACE, "timeout_seconds": 60, **(arguments or {})}
    params = {"name": "ask_user", "arguments": asked}
    return template(place, revision, "tools/call", params, session)


def template(
    place: Place,
    revision: str,
    method: str,
    params: Mapping[str, object],
    session: bytes = b"",
) -> Template:
    """Return the whole HTTP request of any method; its id is the token."""
    given = dict(params)
    headers = {b"MCP-Protocol-Version": revision.encode()}
    if revision == MODERN:
        given["_meta"] = _META
        headers[b"Mcp-Method"] = method.encode()
        if "name" in params:
            headers[b"Mcp-Name"] = str(params["name"]).encode()
    elif session:
        headers[b"Mcp-Session-Id"] = session
    message = {"jsonrpc": "2.0", "id": FIRST_TOKEN, "method": method, "params": given}
    return Template(post(place, message, headers))


def list_tools(place: Place) -> bytes:
    """Return the request with which a caller of the modern era begins: what is there?"""
    return template(place, MODERN, "tools/list", {}).fill(PLACE.encode())


def post(place: Place, message: Mapping[str, object], headers: Mapping[bytes, bytes]) -> bytes:
    """Return a POST to a caller's place as one sends it that takes JSON and streams."""
    body = json.dumps(message, separators=(",", ":")).encode()
    extra = _credential(place)
    extra += b"".join(b"%b: %b\r\n" % header for header in headers.items())
    return (
        b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\n%bContent-Length: %d\r\n\r\n%b"
        % (place.path.encode(), place.authority.encode(), extra, len(body), body)
    )


def _credential(place: Place) -> bytes:
    return b"Authorization: Bearer %b\r\n" % place.token.encode() if place.token else b""


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a whole masked frame."""
    length = len(payload)
    first = 0x80 | opcode
    if length < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
        return b"%c%c%b%b" % (first, 0x80 | length, _MASK, payload)
    if length < 1 << 16:
        return b"%c\xfe%b%b%b" % (first, length.to_bytes(2, "big"), _MASK, payload)
    return b"%c\xff%b%b%b" % (first, length.to_bytes(8, "big"), _MASK, payload)


def answer(request_id: bytes, text: bytes, framed: Callable[[bytes], bytes] = frame) -> bytes:
    """Return the frame that answers a question."""
    return framed(b'{"type":"user_response","request_id":"%b","answer":"%b"}' % (request_id, text))
