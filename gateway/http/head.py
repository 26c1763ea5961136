"""From the bytes of a request's head to a verdict: a `Head`, or a refusal.

Pure module. The parser is llhttp in its strict mode; on top come the rules that
keep us and a proxy in front of us of one opinion about where a request ends
(RFC 9112 sections 6 and 11.2), and whom we answer to at all.

A head depends on nothing but its bytes and the configuration, so the same bytes
have the same verdict: `Heads` keeps the accepted ones, since a caller that keeps
its connection alive sends the same head again and again.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final, final

import httptools

from gateway.http.access import Allowlist
from gateway.http.messages import Head
from pool.settings import setting

# Fields that mean one thing or nothing: a second one is an attack or a defect.
_SINGLE: Final = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    )
)
_BLANKS: Final = b" \t"
# One blank between the parts: llhttp lets several pass, some proxies do not.
_REQUEST_LINE: Final = re.compile(rb"[!-~]+ [^ \r\n]+ HTTP/[0-9]\.[0-9]\r\n")
_VERSIONS: Final = ("1.1", "1.0")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# Heads worth keeping are small; together they take a few megabytes at most.
_KEPT_BYTES: Final = 2048
_KEPT_HEADS: Final = 2048


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How large and how slow a request may be."""

    header_bytes: int = setting(
        # nginx: 4 x 8 KiB, Node.js: 16 KiB, Tomcat: 8 KiB.
        16 * 1024,
        "Request line and headers together; more is 431.",
        unit="bytes",
        minimum=1024,
    )
    header_count: int = setting(100, "Header fields in a request; more is 431.", minimum=8)
    target_bytes: int = setting(
        8 * 1024, "The request target; more is 414.", unit="bytes", minimum=256
    )
    body_bytes: int = setting(
        # A question and its context of the longest, with up to two bytes a character.
        4 * 1024 * 1024,
        "The body of a request, 32 MiB at most; more is 413.",
        unit="bytes",
        minimum=1024,
        # As long as one step may take to copy it.
        maximum=32 * 1024 * 1024,
    )
    header_seconds: float = setting(
        5.0, "From a request's first byte to the end of its headers.", unit="seconds", minimum=0.05
    )
    body_seconds: float = setting(
        30.0, "From the headers to the end of the body.", unit="seconds", minimum=0.05
    )
    compress_bytes: int = setting(
        1024,
        "From which size a response is compressed for those who want it; 0 is never.",
        unit="bytes",
        minimum=0,
    )
    compressed_streams: int = setting(
        0,
        "Event streams that are compressed at a time for those who want it; others are plain.",
        unit="streams",
        minimum=0,
    )
    idle_seconds: float = setting(
        # Longer than HAProxy's usual keep-alive, so that it closes first.
        75.0,
        "How long a connection is kept between requests, at least.",
        unit="seconds",
        minimum=0.05,
    )


class RefusedError(Exception):
    """This request is not served, and its connection is closed after saying so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Fields:
    """What llhttp reports of one head."""

    __slots__ = ("count", "headers", "repeated", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.count = 0
        self.repeated = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        name = name.lower()
        value = value.strip(_BLANKS)
        before = self.headers.get(name)
        if before is None:
            self.headers[name] = value
        elif name in _SINGLE:
            self.repeated = name
        else:
            self.headers[name] = before + b", " + value


def check_unfinished(received: bytes, limits: Limits) -> None:
    """Refuse early what can never become a head, however it goes on."""
    if b"\r" not in received[: limits.target_bytes + 64] and len(received) > limits.target_bytes:
        raise RefusedError(414, f"The request target is longer than {limits.target_bytes} bytes.")
    if len(received) > limits.header_bytes:
        raise RefusedError(431, f"The headers are longer than {limits.header_bytes} bytes.")
    if _BARE_LF.search(received):
        raise RefusedError(400, "A line must end in CRLF (RFC 9112 section 2.2).")


def parse_head(data: bytes, limits: Limits, allowed: Allowlist) -> Head:
    """Judge a whole head, with its final empty line.

    Raises:
        RefusedError: with the status that tells the peer which rule it broke.
    """
    check_unfinished(data, limits)
    if not _REQUEST_LINE.match(data):
        raise RefusedError(400, "The request line must be METHOD target HTTP/1.1.")
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        raise RefusedError(501, "This method is not one of HTTP/1.1's.") from None
    except httptools.HttpParserError as error:
        raise RefusedError(400, f"This is not a request of HTTP/1.1: {error}.") from None
    headers = fields.headers
    if len(fields.target) > limits.target_bytes:
        raise RefusedError(414, f"The request target is longer than {limits.target_bytes} bytes.")
    if fields.count > limits.header_count:
        raise RefusedError(431, f"There are more than {limits.header_count} header fields.")
    if fields.repeated:
        raise RefusedError(400, f"The header {fields.repeated.decode()} came twice.")
    version = parser.get_http_version()
    if version not in _VERSIONS:
        raise RefusedError(505, "This port speaks HTTP/1.1.")
    _check_access(headers, allowed, version)
    path, query = _split_target(fields.target)
    return Head(
        parser.get_method().decode("ascii"),
        path,
        query,
        headers,
        keep_alive=version == "1.1" and not _says_close(headers),
        body_length=_body_length(headers, version, limits),
        expects_continue=_expects_continue(headers),
    )


def _check_access(headers: dict[bytes, bytes], allowed: Allowlist, version: str) -> None:
    host = headers.get(b"host")
    if host is None:
        # HTTP/1.0 knows no Host; HAProxy's plain health check speaks it, no browser does.
        if version == "1.0" and b"origin" not in headers:
            return
        raise RefusedError(400, "A request must have one Host header (RFC 9112 section 3.2).")
    if not allowed.allows_host(host.decode("latin-1")):
        raise RefusedError(
            403,
            "This Host is not served here; --access-hosts adds names to those that are.",
        )
    origin = headers.get(b"origin")
    if origin is not None and not allowed.allows_origin(origin.decode("latin-1")):
        raise RefusedError(
            403,
            "Pages of this Origin may not connect; --access-origins adds to those that may.",
        )


def _split_target(target: bytes) -> tuple[str, str]:
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise RefusedError(400, "The request target must be ASCII (RFC 3986).") from None
    if not text.startswith("/"):
        raise RefusedError(400, "The request target must be a path (RFC 9112 section 3.2.1).")
    path, _, query = text.partition("?")
    return path, query


def _body_length(headers: dict[bytes, bytes], version: str, limits: Limits) -> int | None:
    """Return the declared length, or ``None`` for a chunked body (RFC 9112 section 6.3)."""
    coding = headers.get(b"transfer-encoding")
    length = headers.get(b"content-length")
    if coding is not None:
        if length is not None or version == "1.0":
            raise RefusedError(
                400, "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0."
            )
        if coding.lower() != b"chunked":
            raise RefusedError(501, "The only transfer coding understood here is chunked.")
        return None
    if length is None:
        return 0
    if not length.isdigit():
        raise RefusedError(400, "Content-Length must be a number.")
    if len(length) > 12 or int(length) > limits.body_bytes:  # noqa: PLR2004 - a terabyte
        raise RefusedError(413, f"The body is longer than {limits.body_bytes} bytes.")
    return int(length)


def _says_close(headers: dict[bytes, bytes]) -> bool:
    options = headers.get(b"connection", b"").lower().split(b",")
    return b"close" in [option.strip(_BLANKS) for option in options]


def _expects_continue(headers: dict[bytes, bytes]) -> bool:
    expect = headers.get(b"expect")
    if expect is None:
        return False
    if expect.lower() != b"100-continue":
        raise RefusedError(417, "The only expectation understood here is 100-continue.")
    return True


@final
class Heads:
    """The heads accepted so far, by their bytes: two generations of bounded size."""

    __slots__ = ("_allowed", "_limits", "_older", "edition", "recent")

    def __init__(self, limits: Limits, allowed: Allowlist) -> None:
        self._limits = limits
        self._allowed = allowed
        #: The younger generation, for those who look themselves.
        self.recent: dict[bytes, Head] = {}
        self._older: dict[bytes, Head] = {}
        #: How often the rules have changed, and with them the verdicts.
        self.edition = 0

    def judge(self, data: bytes) -> Head:
        """Return the verdict on a whole head; raises as `parse_head` does."""
        head = self.recent.get(data)
        if head is not None:
            return head
        head = self._older.get(data) or parse_head(data, self._limits, self._allowed)
        if len(data) <= _KEPT_BYTES:
            if len(self.recent) >= _KEPT_HEADS:
                self._older, self.recent = self.recent, {}
            self.recent[data] = head
            head.data = data
            head.edition = self.edition
        return head

    def become(self, limits: Limits) -> None:
        """Judge by other limits, or other rules of access, from now on."""
        self._limits = limits
        self._older, self.recent = {}, {}
        self.edition += 1

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)
