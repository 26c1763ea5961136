"""The bytes that callers and frontends send, made before the clock starts.

Pure module. A message under load differs from the one before it only in its
token, so all the rest is made once and its length never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

HANDSHAKE: Final = "2025-11-25"
MODERN: Final = "2026-07-28"

#: As long as every token, so that lengths can be written down in advance.
FIRST_TOKEN: Final = 1_000_000_000

# RFC 6455 wants an unpredictable key to protect proxies from browsers. Between
# two programs of one machine a key of zeros is as good, and costs this side nothing.
_MASK: Final = bytes(4)
_PLACE: Final = str(FIRST_TOKEN)

UPGRADE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Template(NamedTuple):
    """A request with two gaps for the token: its JSON-RPC id, and the question."""

    start: bytes
    middle: bytes
    end: bytes

    def fill(self, token: bytes) -> bytes:
        """Return the request that asks ``token``."""
        return b"%b%b%b%b%b" % (self.start, token, self.middle, token, self.end)


def ask_template(
    port: int, revision: str, session: bytes = b"", arguments: Mapping[str, object] | None = None
) -> Template:
    """Return the whole HTTP request of an `ask_user` call, as ``revision`` wants it.

    Without a session a caller of the handshake era is one that never said
    `initialize`, which simple servers take.
    """
    params: dict[str, object] = {
        "name": "ask_user",
        "arguments": {"question": _PLACE, "timeout_seconds": 60, **(arguments or {})},
    }
    headers = {b"MCP-Protocol-Version": revision.encode()}
    if revision == MODERN:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers |= {b"Mcp-Method": b"tools/call", b"Mcp-Name": b"ask_user"}
    elif session:
        headers[b"Mcp-Session-Id"] = session
    message = {"jsonrpc": "2.0", "id": FIRST_TOKEN, "method": "tools/call", "params": params}
    start, middle, end = post(port, message, headers).split(_PLACE.encode())
    return Template(start, middle, end)


def post(port: int, message: Mapping[str, object], headers: Mapping[bytes, bytes]) -> bytes:
    """Return a POST to ``/mcp`` as a caller sends it that takes JSON and streams."""
    body = json.dumps(message, separators=(",", ":")).encode()
    extra = b"".join(b"%b: %b\r\n" % header for header in headers.items())
    return (
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\n%bContent-Length: %d\r\n\r\n%b"
        % (port, extra, len(body), body)
    )


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a whole masked frame."""
    length = len(payload)
    first = 0x80 | opcode
    if length < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
        return b"%c%c%b%b" % (first, 0x80 | length, _MASK, payload)
    return b"%c\xfe%b%b%b" % (first, length.to_bytes(2, "big"), _MASK, payload)


def answer(request_id: bytes, text: bytes) -> bytes:
    """Return the frame that answers a question."""
    return frame(b'{"type":"user_response","request_id":"%b","answer":"%b"}' % (request_id, text))
