"""What a peer may do wrong in HTTP, byte for byte, and the exact status it gets.

Each row is sent to a real gateway over a real socket. A violation of framing
must also end the connection: whatever comes behind it would be read by one
party as a request and by another as a body. After each row an honest request
must work.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.live.peer import Peer, assert_serves, host, upgrade_request
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

HEADER_BYTES = 16 * 1024
HEADER_COUNT = 100
TARGET_BYTES = 8 * 1024
BODY_BYTES = 4 * 1024 * 1024


class Row(NamedTuple):
    """A request, with ``{host}`` and ``{port}`` to be filled in, and its status."""

    request: bytes
    status: int


def get(more: bytes = b"", target: bytes = b"/health", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %b %b\r\n{host}%b\r\n" % (target, version, more)


def post(framing: bytes, body: bytes) -> bytes:
    return b"POST /health HTTP/1.1\r\n{host}Content-Type: application/json\r\n%b\r\n%b" % (
        framing,
        body,
    )


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def fill(request: bytes, port: int) -> bytes:
    return request.replace(b"{host}", host(port)).replace(b"{port}", b"%d" % port)


def padded_head(size: int) -> bytes:
    """Return a whole request of exactly ``size`` bytes once a five-digit port is filled in."""
    rest = len(fill(get(b"X-Long: \r\n"), 10000))
    return get(b"X-Long: " + b"x" * (size - rest) + b"\r\n")


# Each of these is refused and the connection closed, on both of our own ports.
VIOLATIONS = {
    # the request line
    "garbage": Row(b"GARBAGE\r\n\r\n", 400),
    "no version": Row(b"GET /health\r\n{host}\r\n", 400),
    "HTTP/0.9": Row(b"GET /health\r\n\r\n", 400),
    "HTTP/2 preface": Row(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/2.0": Row(get(version=b"HTTP/2.0"), 505),
    "HTTP/1.2": Row(get(version=b"HTTP/1.2"), 400),
    "HTTP/9.9": Row(get(version=b"HTTP/9.9"), 400),
    "HTTPS/1.1": Row(get(version=b"HTTPS/1.1"), 400),
    "lower-case http": Row(get(version=b"http/1.1"), 400),
    "unknown method": Row(b"BREW /health HTTP/1.1\r\n{host}\r\n", 501),
    "lower-case method": Row(b"get /health HTTP/1.1\r\n{host}\r\n", 501),
    "blank in front": Row(b" GET /health HTTP/1.1\r\n{host}\r\n", 400),
    "tab for blank": Row(b"GET\t/health\tHTTP/1.1\r\n{host}\r\n", 400),
    "blank in target": Row(get(target=b"/hea lth"), 400),
    "control in target": Row(get(target=b"/hea\x01lth"), 400),
    "NUL in target": Row(get(target=b"/hea\x00lth"), 400),
    "target not ASCII": Row(get(target=b"/h\xc3\xa9"), 400),
    "target no path": Row(get(target=b"health"), 400),
    "absolute target": Row(get(target=b"http://evil.example/health"), 400),
    "authority target": Row(b"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n{host}\r\n", 400),
    "asterisk target": Row(b"OPTIONS * HTTP/1.1\r\n{host}\r\n", 400),
    "target too long": Row(get(target=b"/" + b"a" * TARGET_BYTES), 414),
    "target too long, unfinished": Row(b"GET /" + b"a" * (TARGET_BYTES + 1024), 414),
    # lines
    "bare LF after the request line": Row(b"GET /health HTTP/1.1\n{host}\r\n", 400),
    "bare LF after a header": Row(get(b"A: b\n"), 400),
    "bare LF throughout": Row(b"GET /health HTTP/1.1\nHost: 127.0.0.1:{port}\n\n", 400),
    "bare CR in a value": Row(get(b"A: b\rc\r\n"), 400),
    "bare CR hides a header": Row(get(b"A: b\rContent-Length: 5\r\n"), 400),
    "folded header": Row(get(b"A: b\r\n c\r\n"), 400),
    "folded Host": Row(b"GET /health HTTP/1.1\r\nHost:\r\n 127.0.0.1:{port}\r\n\r\n", 400),
    "blank before the first header": Row(b"GET /health HTTP/1.1\r\n {host}\r\n", 400),
    # header fields
    "blank before the colon": Row(get(b"A : b\r\n"), 400),
    "tab before the colon": Row(get(b"A\t: b\r\n"), 400),
    "no colon": Row(get(b"Abc\r\n"), 400),
    "no name": Row(get(b": b\r\n"), 400),
    "blank in a name": Row(get(b"A b: c\r\n"), 400),
    "NUL in a name": Row(get(b"A\x00b: c\r\n"), 400),
    "name not ASCII": Row(get(b"\xc3\xa9: c\r\n"), 400),
    "NUL in a value": Row(get(b"A: b\x00c\r\n"), 400),
    "control in a value": Row(get(b"A: b\x01c\r\n"), 400),
    "DEL in a value": Row(get(b"A: b\x7fc\r\n"), 400),
    "2,000 headers": Row(get(b"A: b\r\n" * 2000), 431),
    "one header too many": Row(get(b"A: b\r\n" * HEADER_COUNT), 431),
    "headers one byte too long": Row(padded_head(HEADER_BYTES + 1), 431),
    "headers too long, unfinished": Row(get()[:-2] + b"A: " + b"b" * HEADER_BYTES, 431),
    "a megabyte of header": Row(get(b"A: " + b"b" * 1024 * 1024 + b"\r\n"), 431),
    # whose request it is
    "no Host": Row(b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two Hosts": Row(get(b"Host: evil.example\r\n"), 400),
    "the same Host twice": Row(get(b"{host}"), 400),
    "Host twice in other case": Row(get(b"hOST: 127.0.0.1:{port}\r\n"), 400),
    "two Origins": Row(get(b"Origin: http://127.0.0.1:{port}\r\n" * 2), 400),
    # where the body ends
    "length and chunked": Row(
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400
    ),
    "chunked and length": Row(
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400
    ),
    "chunked and length 0": Row(
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", b"0\r\n\r\n"), 400
    ),
    "two lengths": Row(post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"123456"), 400),
    "the same length twice": Row(
        post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"12345"), 400
    ),
    "a list of lengths": Row(post(b"Content-Length: 5, 5\r\n", b"12345"), 400),
    "negative length": Row(post(b"Content-Length: -5\r\n", b"12345"), 400),
    "length with a sign": Row(post(b"Content-Length: +5\r\n", b"12345"), 400),
    "hexadecimal length": Row(post(b"Content-Length: 0x5\r\n", b"12345"), 400),
    "length with a blank": Row(post(b"Content-Length: 5 5\r\n", b"12345"), 400),
    "length with a fraction": Row(post(b"Content-Length: 5.0\r\n", b"12345"), 400),
    "length in other digits": Row(post("Content-Length: \u0665\r\n".encode(), b"12345"), 400),
    "empty length": Row(post(b"Content-Length: \r\n", b""), 400),
    "length past 64 bits": Row(post(b"Content-Length: 18446744073709551621\r\n", b"12345"), 400),
    "length over the limit": Row(post(b"Content-Length: %d\r\n" % (BODY_BYTES + 1), b""), 413),
    "unknown transfer coding": Row(post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    "gzip, chunked": Row(post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "chunked, then gzip": Row(post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    "identity": Row(post(b"Transfer-Encoding: identity\r\n", b""), 400),
    "chunked twice": Row(post(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"), 400),
    "chunked, chunked": Row(post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    "coding behind a vertical tab": Row(
        post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400
    ),
    "quoted coding": Row(post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400),
    "blank before the coding's colon": Row(
        post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400
    ),
    "chunked in HTTP/1.0": Row(
        b"POST /health HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
    ),
    # chunks
    "negative chunk": Row(chunked(b"-1\r\n"), 400),
    "chunk with a sign": Row(chunked(b"+5\r\n12345\r\n0\r\n\r\n"), 400),
    "chunk with 0x": Row(chunked(b"0x5\r\n12345\r\n0\r\n\r\n"), 400),
    "chunk without a size": Row(chunked(b"\r\n"), 400),
    "chunk of no number": Row(chunked(b"ten\r\n"), 400),
    "blank before a chunk's size": Row(chunked(b" 5\r\n12345\r\n0\r\n\r\n"), 400),
    "chunk past 64 bits": Row(chunked(b"1" + b"0" * 16 + b"\r\n"), 400),
    "chunk of a terabyte": Row(chunked(b"ffffffffff\r\n"), 400),
    "chunk of four gigabytes": Row(chunked(b"ffffffff\r\n"), 413),
    "chunks over the limit": Row(
        chunked((b"10000\r\n" + b"x" * 65536 + b"\r\n") * 64 + b"1\r\nx\r\n0\r\n\r\n"), 413
    ),
    "chunk longer than it says": Row(chunked(b"3\r\n12345\r\n0\r\n\r\n"), 400),
    "bare LF after a chunk's size": Row(chunked(b"5\n12345\r\n0\r\n\r\n"), 400),
    "bare LF after a chunk": Row(chunked(b"5\r\n12345\n0\r\n\r\n"), 400),
    "bare CR after a chunk's size": Row(chunked(b"5\r12345\r\n0\r\n\r\n"), 400),
    "LF inside a chunk extension": Row(chunked(b"5;a\nb\r\n12345\r\n0\r\n\r\n"), 400),
    "endless chunk extension": Row(chunked(b"5;" + b"a" * 64 * 1024), 400),
    "endless trailers": Row(chunked(b"0\r\n" + b"A: b\r\n" * 20_000), 400),
    # expectations
    "unknown expectation": Row(get(b"Expect: 200-ok\r\n"), 417),
}


@pytest.mark.parametrize("which", ["ws", "mcp"])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_has_its_status_and_ends_the_connection(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    row = VIOLATIONS[name]
    with Peer(port) as peer:
        # An honest request behind it must not be answered: it may be a smuggled one.
        peer.send(fill(row.request, port))
        answer = peer.answer()
        assert answer.status == row.status, answer
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/json"
        peer.send(fill(get(), port))
        assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("which", ["ws", "mcp"])
@pytest.mark.parametrize(
    "name", ["garbage", "two lengths", "length and chunked", "chunk longer than it says", "no Host"]
)
def test_what_comes_in_one_packet_behind_a_violation_is_not_served(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    with Peer(port) as peer:
        peer.send(fill(VIOLATIONS[name].request + get() * 3, port))
        assert peer.read_to_end().count(b"HTTP/1.1 ") == 1
    assert_serves(port)


@pytest.mark.parametrize("which", ["ws", "mcp"])
@pytest.mark.parametrize("name", ["garbage", "folded header", "two lengths", "negative chunk"])
def test_a_violation_sent_byte_by_byte_is_the_same(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    row = VIOLATIONS[name]
    with Peer(port) as peer:
        for byte in fill(row.request, port):
            peer.send(bytes((byte,)))
        assert peer.answer().status == row.status
        assert peer.is_closed()


# Unusual, yet legal: none of these may be refused.
LEGAL = {
    "HTTP/1.0": Row(get(version=b"HTTP/1.0"), 200),
    "HTTP/1.0 without Host": Row(b"GET /health HTTP/1.0\r\n\r\n", 200),
    "an empty line first": Row(b"\r\n" + get(), 200),
    "other case": Row(b"GET /health HTTP/1.1\r\nhOsT: 127.0.0.1:{port}\r\n\r\n", 200),
    "no blank after the colon": Row(b"GET /health HTTP/1.1\r\nHost:127.0.0.1:{port}\r\n\r\n", 200),
    "blanks around a value": Row(
        b"GET /health HTTP/1.1\r\nHost: \t 127.0.0.1:{port} \t\r\n\r\n", 200
    ),
    "empty value": Row(get(b"A:\r\n"), 200),
    "value not ASCII": Row(get(b"A: caf\xe9\r\n"), 200),
    "repeated header": Row(get(b"A: b\r\nA: c\r\n"), 200),
    "as many headers as may be": Row(get(b"A: b\r\n" * (HEADER_COUNT - 1)), 200),
    "headers as long as may be": Row(padded_head(HEADER_BYTES), 200),
    "target as long as may be": Row(get(target=b"/health?" + b"a" * (TARGET_BYTES - 8)), 200),
    "length 0": Row(get(b"Content-Length: 0\r\n"), 200),
    "length with zeros in front": Row(get(b"Content-Length: 005\r\n") + b"12345", 200),
    "chunk extension": Row(
        get(b"Transfer-Encoding: chunked\r\n") + b'5;a="b"\r\n12345\r\n0;c\r\n\r\n', 200
    ),
    "chunk size with zeros": Row(
        get(b"Transfer-Encoding: chunked\r\n") + b"0005\r\n12345\r\n000\r\n\r\n", 200
    ),
    "trailers": Row(get(b"Transfer-Encoding: Chunked\r\n") + b"0\r\nA: b\r\n\r\n", 200),
    "h2c offered": Row(
        get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"), 200
    ),
    "unknown upgrade": Row(get(b"Connection: Upgrade\r\nUpgrade: gopher/7\r\n"), 200),
    "our Origin": Row(get(b"Origin: http://127.0.0.1:{port}\r\n"), 200),
    "localhost": Row(b"GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", 200),
    "IPv6 loopback": Row(b"GET /health HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n", 200),
}


@pytest.mark.parametrize("which", ["ws", "mcp"])
@pytest.mark.parametrize("name", LEGAL)
def test_what_is_unusual_but_legal_is_served(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    row = LEGAL[name]
    with Peer(port) as peer:
        peer.send(fill(row.request, port))
        answer = peer.answer()
        assert answer.status == row.status, answer
        if b"HTTP/1.0" in row.request:
            assert answer.headers["connection"] == "close"
            assert peer.is_closed()
        else:
            peer.send(fill(get(), port))
            assert peer.answer().status == 200


@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_a_body_is_invited_only_when_it_would_be_taken(
    gateway_process: GatewayProcess, which: str
) -> None:
    port = gateway_process.ports[which]
    with Peer(port) as peer:
        peer.send(fill(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""), port))
        assert peer.answer().status == 100
        peer.send(b"12345")
        assert peer.answer().status in {404, 405}
    with Peer(port) as peer:
        peer.send(fill(post(b"Content-Length: 99999999\r\nExpect: 100-continue\r\n", b""), port))
        assert peer.answer().status == 413
        assert peer.is_closed()


@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_pipelined_requests_are_answered_in_order(
    gateway_process: GatewayProcess, which: str
) -> None:
    port = gateway_process.ports[which]
    with Peer(port) as peer:
        peer.send(b"".join(fill(get(b"X-Request-ID: id-%d\r\n" % n), port) for n in range(200)))
        for number in range(200):
            assert b'"id-%d"' % number in peer.answer().body


# -- whose pages and whose names

EVIL_HOSTS = {
    "foreign": b"evil.example",
    "foreign with our port": b"evil.example:{port}",
    "our address as a prefix": b"127.0.0.1.evil.example",
    "our address and port as a prefix": b"127.0.0.1:{port}.evil.example",
    "another port": b"127.0.0.1:1",
    "user info": b"127.0.0.1:{port}@evil.example",
    "two in one": b"127.0.0.1:{port}, evil.example",
    "with a path": b"127.0.0.1:{port}/",
    "another loopback name": b"127.1:{port}",
    "address as a number": b"2130706433:{port}",
    "trailing dot of another": b"localhost.evil.example.",
    "not ASCII": b"\xff\xfe",
    "empty": b"",
}
EVIL_ORIGINS = {
    "foreign": b"http://evil.example",
    "null": b"null",
    "empty": b"",
    "our address as a prefix": b"http://127.0.0.1:{port}.evil.example",
    "localhost as a prefix": b"http://localhost.evil.example:{port}",
    "localhost as user info": b"http://localhost@evil.example",
    "our address as user info": b"http://127.0.0.1:{port}@evil.example",
    "another port": b"http://127.0.0.1:1",
    "no port": b"http://127.0.0.1",
    "another scheme": b"https://127.0.0.1:{port}",
    "an extension's": b"chrome-extension://127.0.0.1:{port}",
    "a file's": b"file://",
    "with a path": b"http://127.0.0.1:{port}/",
    "two in one": b"http://127.0.0.1:{port}, http://evil.example",
    "two in one, by a blank": b"http://127.0.0.1:{port} http://evil.example",
    "not ASCII": b"http://127.0.0.1:{port}\xff",
    "port with a sign": b"http://127.0.0.1:+{port}",
}
PATHS = {"ws": [b"/", b"/ws", b"/health", b"/nothing"], "mcp": [b"/mcp", b"/health", b"/nothing"],
         "monitoring": [b"/metrics", b"/health", b"/ready", b"/live", b"/nothing"]}  # fmt: skip


@pytest.mark.parametrize("which", PATHS)
@pytest.mark.parametrize("name", EVIL_HOSTS)
def test_a_foreign_host_is_refused_on_every_path(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    for path in PATHS[which]:
        with Peer(port) as peer:
            request = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, EVIL_HOSTS[name])
            peer.send(fill(request, port))
            assert peer.answer().status == 403
            assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("which", PATHS)
@pytest.mark.parametrize("name", EVIL_ORIGINS)
def test_a_foreign_origin_is_refused_on_every_path(
    gateway_process: GatewayProcess, which: str, name: str
) -> None:
    port = gateway_process.ports[which]
    for path in PATHS[which]:
        with Peer(port) as peer:
            peer.send(fill(get(b"Origin: %b\r\n" % EVIL_ORIGINS[name], target=path), port))
            assert peer.answer().status == 403
            assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("name", EVIL_ORIGINS)
def test_a_foreign_page_gets_no_websocket(gateway_process: GatewayProcess, name: str) -> None:
    port = gateway_process.ws_port
    with Peer(port) as peer:
        origin = fill(b"Origin: %b\r\n" % EVIL_ORIGINS[name], port)
        peer.send(upgrade_request(port, origin))
        assert peer.answer().status == 403
        assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("which", PATHS)
@pytest.mark.parametrize(
    "field", [b"Host: 127.0.0.1:{port}\r\n", b"Origin: http://127.0.0.1:{port}\r\n"]
)
def test_a_doubled_host_or_origin_is_refused_even_if_both_are_ours(
    gateway_process: GatewayProcess, which: str, field: bytes
) -> None:
    port = gateway_process.ports[which]
    with Peer(port) as peer:
        doubled = field * (1 if field.startswith(b"Host") else 2)
        peer.send(fill(get(doubled), port))
        assert peer.answer().status == 400
        assert peer.is_closed()
    assert_serves(port)


def test_pages_of_each_port_may_use_the_others(gateway_process: GatewayProcess) -> None:
    for port in gateway_process.ports.values():
        for other in gateway_process.ports.values():
            for name in ("127.0.0.1", "localhost", "[::1]"):
                with Peer(port) as peer:
                    peer.send(fill(get(b"Origin: http://%b:%d\r\n" % (name.encode(), other)), port))
                    assert peer.answer().status == 200


# -- simple cross-site posts

CONTENT_TYPES = {
    "none": (b"", 415),
    "empty": (b"Content-Type:\r\n", 415),
    "text": (b"Content-Type: text/plain\r\n", 415),
    "text that says JSON": (b"Content-Type: text/plain; application/json\r\n", 415),
    "form": (b"Content-Type: application/x-www-form-urlencoded\r\n", 415),
    "multipart": (b"Content-Type: multipart/form-data; boundary=x\r\n", 415),
    "longer than JSON": (b"Content-Type: application/jsonx\r\n", 415),
    "JSON among others": (b"Content-Type: text/plain, application/json\r\n", 415),
    "JSON": (b"Content-Type: application/json\r\n", 200),
    "JSON in other case": (b"Content-Type: Application/JSON\r\n", 200),
    "JSON with its charset": (b"Content-Type: application/json; charset=utf-8\r\n", 200),
    "JSON with its charset, quoted": (b'Content-Type: application/json;charset="UTF-8"\r\n', 200),
    "JSON in another charset": (b"Content-Type: application/json; charset=utf-16\r\n", 415),
}
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
    b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}'
)


@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_only_json_may_be_posted(gateway_process: GatewayProcess, name: str) -> None:
    line, status = CONTENT_TYPES[name]
    port = gateway_process.mcp_port
    with Peer(port) as peer:
        peer.send(
            b"POST /mcp HTTP/1.1\r\n%bAccept: application/json, text/event-stream\r\n%b"
            b"Content-Length: %d\r\n\r\n%b" % (host(port), line, len(INITIALIZE), INITIALIZE)
        )
        assert peer.answer().status == status
    assert_serves(port)


# -- too slow


@pytest.mark.parametrize("which", ["ws", "mcp"])
@pytest.mark.parametrize(
    ("name", "pieces", "status"),
    [
        ("nothing at all", [], None),
        ("half a request line", [b"GET /hea"], 408),
        ("no end of headers", [b"GET /health HTTP/1.1\r\n", b"A: b\r\n"], 408),
        ("a TLS greeting", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 408),
        ("half a body", [post(b"Content-Length: 10\r\n", b"12345")], 408),
        ("half a chunk", [chunked(b"5\r\n123")], 408),
        ("no last chunk", [chunked(b"5\r\n12345\r\n")], 408),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_does_not_finish_in_time_is_cut_off(
    impatient_gateway: GatewayProcess,
    which: str,
    name: str,
    pieces: list[bytes],
    status: int | None,
) -> None:
    port = impatient_gateway.ports[which]
    with Peer(port) as peer:
        for piece in pieces:
            peer.send(fill(piece, port))
        if status is not None:
            assert peer.answer().status == status, name
        assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_trickling_does_not_extend_the_deadline(
    impatient_gateway: GatewayProcess, which: str
) -> None:
    port = impatient_gateway.ports[which]
    with Peer(port) as peer:
        peer.sock.settimeout(0.05)
        sent = 0
        # Until long after the deadline: the gateway may be kept from running.
        while sent < 600:
            peer.send(b"GET /health HTTP/1.1\r\nA: bcdefghijklmnop"[sent % 30 : sent % 30 + 1])
            sent += 1
            try:
                peer._more()
            except TimeoutError:
                continue
            break
        assert peer.received.startswith(b"HTTP/1.1 408 ")
    assert_serves(port)


@pytest.mark.parametrize("which", ["ws", "mcp"])
def test_an_idle_connection_is_closed_without_a_word(
    impatient_gateway: GatewayProcess, which: str
) -> None:
    port = impatient_gateway.ports[which]
    with Peer(port) as peer:
        peer.send(fill(get(), port))
        assert peer.answer().status == 200
        assert peer.is_closed()


def test_a_crowd_of_slow_peers_keeps_nobody_waiting(impatient_gateway: GatewayProcess) -> None:
    port = impatient_gateway.mcp_port
    crowd = [Peer(port) for _ in range(300)]
    for peer in crowd:
        peer.send(b"GET /health HTT")
    assert_serves(port)
    for peer in crowd:
        with peer:
            assert peer.answer().status == 408
