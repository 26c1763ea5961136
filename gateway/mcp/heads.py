"""What a request's head alone says: its revision, its session, what its peer can read.

Pure module. A caller that keeps its connection alive sends the same head again
and again, so the conclusion is kept with the head (`Head.memo`) and drawn once.
It looks neither at the body nor at whether a session still lives.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Mapping
from typing import Final, final

from gateway import codec
from gateway.http.messages import Head, Headers
from gateway.mcp import jsonrpc
from gateway.mcp.revisions import versions

PATH: Final = "/mcp"

_VISIBLE: Final = re.compile(rb"[\x21-\x7e]{1,256}")
_LONGEST_REVISION: Final = 32
_PLAIN: Final = re.compile(rb"[\x20-\x7e\t]*")
_SENTINEL: Final = re.compile(rb"=\?base64\?(.*)\?=")
_PARAM: Final = b"mcp-param-"
_ALLOW: Final = (b"Allow", b"GET, POST, DELETE, OPTIONS")
_ALLOW_MODERN: Final = (b"Allow", b"POST, OPTIONS")


class Action(enum.Enum):
    """What a head asks for, unless it is refused."""

    POST = "post"
    LISTEN = "listen"
    END = "end"


class Era(enum.Enum):
    """Which family of revisions a request belongs to; unknown until its body is read."""

    MODERN = "modern"
    HANDSHAKE = "handshake"
    UNKNOWN = "unknown"


@final
class Refusal:
    """A response that follows from the head alone."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        self.status = status
        self.body = body
        self.headers = headers


@final
class Facts:
    """Everything that follows from a head."""

    __slots__ = (
        "accepts_json",
        "accepts_sse",
        "action",
        "coding",
        "era",
        "in_session",
        "last_event_id",
        "method",
        "name",
        "params",
        "refusal",
        "session_id",
        "version",
    )

    def __init__(self, head: Head) -> None:
        headers = head.headers
        self.accepts_json, self.accepts_sse = _accepts(headers.get(b"accept"))
        #: ``None`` when the header is absent.
        self.version = _text(headers.get(b"mcp-protocol-version"))
        self.method = _text(headers.get(b"mcp-method"))
        #: Decoded; ``None`` when absent or not to be decoded.
        self.name = decode_value(headers.get(b"mcp-name"))
        self.params = {
            name[len(_PARAM) :].decode("latin-1"): value
            for name, value in headers.items()
            if name.startswith(_PARAM)
        }
        self.session_id = _text(headers.get(b"mcp-session-id"))
        self.last_event_id = _text(headers.get(b"last-event-id")) or ""
        self.era = _era(self)
        #: Whether it is of a handshake revision and names a session.
        self.in_session = self.era is Era.HANDSHAKE and self.session_id is not None
        #: How the body is compressed; empty for not at all.
        self.coding = b""
        self.refusal: Refusal | None = None
        self.action = self._judge(head)

    def _judge(self, head: Head) -> Action:
        match head.method:
            case "POST":
                self.refusal = _check_types(self, head.headers)
                return Action.POST
            case "OPTIONS":
                self.refusal = Refusal(204, headers=(_ALLOW,))
            case _ if self.era is Era.MODERN:
                self.refusal = _error(
                    405, f"Revision {self.version} uses POST only.", headers=(_ALLOW_MODERN,)
                )
            case "GET":
                self.refusal = self._check_session() or self._check_stream()
                return Action.LISTEN
            case "DELETE":
                self.refusal = self._check_session()
                return Action.END
            case _:
                self.refusal = _error(405, "This method is not served here.", headers=(_ALLOW,))
        return Action.POST

    def _check_session(self) -> Refusal | None:
        if self.version is not None and self.era is Era.UNKNOWN:
            return _unsupported(self.version)
        if self.session_id is None:
            return _error(
                400, "The header Mcp-Session-Id is missing; it comes with the reply to initialize."
            )
        return None

    def _check_stream(self) -> Refusal | None:
        if not self.accepts_sse:
            return _error(406, "This is a stream: the header Accept must allow text/event-stream.")
        return None


def decode_value(value: bytes | None) -> str | None:
    """Return what an ``Mcp-Name`` or ``Mcp-Param-*`` header says; ``None`` for nothing usable.

    A value that ASCII cannot carry comes as ``=?base64?...?=`` (MCP 2026-07-28,
    "Value Encoding"); only canonical base64 of UTF-8 counts.
    """
    if value is None or not _PLAIN.fullmatch(value):
        return None
    found = _SENTINEL.fullmatch(value)
    if found is None:
        return value.decode("ascii")
    try:
        decoded = base64.b64decode(found[1], validate=True)
        if base64.b64encode(decoded) != found[1]:
            return None
        return decoded.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def unsupported_data(requested: str) -> dict[str, object]:
    """Return the ``data`` of the error for a revision that is not served."""
    # What is so long is no revision; it may be a credential that got into the wrong place.
    shown = requested if len(requested) <= _LONGEST_REVISION else ""
    return {"supported": list(versions.SUPPORTED), "requested": shown}


def _text(value: bytes | None) -> str | None:
    """Return a header that must be visible ASCII; what is not can equal nothing of ours."""
    if value is None:
        return None
    return value.decode("ascii") if _VISIBLE.fullmatch(value) else "\ufffd"


def _era(facts: Facts) -> Era:
    if facts.version == versions.MODERN:
        return Era.MODERN
    if facts.version in versions.HANDSHAKE:
        return Era.HANDSHAKE
    if facts.version is None and facts.session_id is not None:
        # 2025-03-26 had no such header, and its session says its revision.
        return Era.HANDSHAKE
    return Era.UNKNOWN


def _accepts(accept: bytes | None) -> tuple[bool, bool]:
    """Return whether JSON and event streams may be sent.

    A stream is sent only to who names it: ``*/*`` comes from programs that read
    a body to its end. No header at all means the same (RFC 9110 section 12.5.1).
    """
    if accept is None:
        return True, False
    json = sse = False
    for part in accept.lower().split(b","):
        media, *parameters = (piece.strip() for piece in part.split(b";"))
        if any(re.fullmatch(rb"q=0(\.0*)?", parameter) for parameter in parameters):
            continue
        json = json or media in (b"application/json", b"application/*", b"*/*")
        sse = sse or media in (b"text/event-stream", b"text/*")
    return json, sse


def _check_types(facts: Facts, headers: Mapping[bytes, bytes]) -> Refusal | None:
    media, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.strip()
    if media.strip() != b"application/json" or charset not in (
        b"",
        b"charset=utf-8",
        b'charset="utf-8"',
    ):
        return _error(415, "The body must be JSON in UTF-8: say Content-Type: application/json.")
    try:
        facts.coding = codec.coding_of(headers.get(b"content-encoding"))
    except codec.UnsupportedCodingError:
        accepted = ((b"Accept-Encoding", codec.ACCEPTED),)
        return _error(415, "The body may be compressed by gzip or zstd, once.", accepted)
    if not (facts.accepts_json or facts.accepts_sse):
        return _error(
            406, "The header Accept must allow application/json, text/event-stream or both."
        )
    return None


def _error(status: int, message: str, headers: Headers = ()) -> Refusal:
    return Refusal(status, jsonrpc.error_bytes(None, jsonrpc.INVALID_REQUEST, message), headers)


def _unsupported(version: str) -> Refusal:
    return Refusal(
        400,
        jsonrpc.error_bytes(
            None,
            jsonrpc.UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            unsupported_data(version),
        ),
    )
