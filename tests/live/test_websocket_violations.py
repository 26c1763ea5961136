"""What a peer may do wrong in WebSocket, byte for byte, and the exact close code it gets.

The groups are those of the Autobahn test suite (1-7, 9, 10, and of 12 and 13
what holds without compression), sent to a real gateway over a real socket. It
does not echo, so an answer to a question that does not exist serves: each comes
back as a `response_ack`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import pytest

from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, assert_serves, frame, upgrade_request, websocket
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MESSAGE_BYTES = 1024 * 1024

# RFC 6455 section 7.4.1
NORMAL, PROTOCOL_ERROR, UNSUPPORTED, INVALID_TEXT, POLICY, TOO_BIG = (
    1000,
    1002,
    1003,
    1007,
    1008,
    1009,
)


def response(request_id: str = "nobody-asked", size: int = 0) -> bytes:
    """Return a message that is answered; ``size`` makes it exactly so many bytes long."""
    message = {"type": "user_response", "request_id": request_id, "answer": ""}
    text = json.dumps(message).encode()
    if size:
        message["answer"] = "x" * (size - len(text))
        text = json.dumps(message).encode()
        assert len(text) == size
    return text


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def assert_acknowledged(peer: Peer, request_id: str = "nobody-asked") -> None:
    received = peer.frame()
    assert received.first == 0x81
    message = json.loads(received.payload)
    assert (message["type"], message["request_id"]) == ("response_ack", request_id)


def assert_usable(peer: Peer, request_id: str = "still-here") -> None:
    """The socket is open and serves."""
    peer.send(frame(TEXT, response(request_id)))
    assert_acknowledged(peer, request_id)


# -- handshakes

GOOD_HANDSHAKE = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
HANDSHAKES = {
    "no key": (b"Sec-WebSocket-Version: 13\r\n", 400),
    "short key": (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n", 400),
    "key not base64": (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ***\r\n", 400),
    "no version": (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
    "old version": (
        b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        426,
    ),
    "two keys": (
        b"Sec-WebSocket-Version: 13\r\n" + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" * 2,
        400,
    ),
    "subprotocol not ASCII": (
        GOOD_HANDSHAKE + b"Sec-WebSocket-Protocol: caf\xe9\r\n",
        400,
    ),
    "subprotocol with a blank": (
        GOOD_HANDSHAKE + b"Sec-WebSocket-Protocol: a b\r\n",
        400,
    ),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_bad_handshake_has_its_status(gateway_process: GatewayProcess, name: str) -> None:
    lines, status = HANDSHAKES[name]
    port = gateway_process.ws_port
    with Peer(port) as peer:
        peer.send(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n%b\r\n" % (port, lines)
        )
        answer = peer.answer()
        assert answer.status == status
        if status == 426:
            assert answer.headers["sec-websocket-version"] == "13"
    assert_serves(port)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"GET", b"POST"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Connection: Upgrade\r\n", b""),
        (b"Connection: Upgrade", b"Connection: keep-alive"),
        (b"Upgrade: websocket\r\n", b""),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
    ],
)
def test_what_is_no_upgrade_is_not_upgraded(
    gateway_process: GatewayProcess, was: bytes, becomes: bytes
) -> None:
    port = gateway_process.ws_port
    with Peer(port) as peer:
        peer.send(upgrade_request(port).replace(was, becomes, 1))
        assert peer.answer().status in {400, 405, 426}
    assert_serves(port)


@pytest.mark.parametrize("which", ["mcp", "monitoring"])
@pytest.mark.parametrize("path", [b"/ws", b"/mcp", b"/metrics", b"/"])
def test_the_other_ports_have_no_websocket(
    gateway_process: GatewayProcess, which: str, path: bytes
) -> None:
    port = gateway_process.ports[which]
    with Peer(port) as peer:
        peer.send(upgrade_request(port, path=path))
        assert peer.answer().status >= 400
    assert_serves(port)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"", None),
        (b"Sec-WebSocket-Protocol: frontend-router.v1\r\n", b"frontend-router.v1"),
        (b"Sec-WebSocket-Protocol: chat, frontend-router.v1\r\n", b"frontend-router.v1"),
        (b"Sec-WebSocket-Protocol: chat\r\n", None),
    ],
)
def test_our_subprotocol_is_chosen_when_offered(
    gateway_process: GatewayProcess, offered: bytes, chosen: bytes | None
) -> None:
    port = gateway_process.ws_port
    with Peer(port) as peer:
        peer.send(upgrade_request(port, offered))
        peer.send(frame(TEXT, response()))
        while b"response_ack" not in peer.received:
            assert peer._more()
        head = peer.received.partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert (b"sec-websocket-protocol" in head) is (chosen is not None)
        assert chosen is None or b"sec-websocket-protocol: " + chosen in head


@pytest.mark.parametrize(
    "offered",
    [
        b"",
        b"Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
        # It would bind us to a window smaller than ours.
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate; unheard_of\r\n",
    ],
)
def test_compression_that_was_not_agreed_to_is_a_violation(
    gateway_process: GatewayProcess, offered: bytes
) -> None:
    """Groups 12 and 13."""
    port = gateway_process.ws_port
    with Peer(port) as peer:
        peer.send(upgrade_request(port, offered))
        peer.send(frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4))
        while b"\r\n\r\n" not in peer.received:
            assert peer._more()
        head, _, peer.received = peer.received.partition(b"\r\n\r\n")
        assert b"sec-websocket-extensions" not in head.lower()
        assert peer.close_code() == PROTOCOL_ERROR


# -- frames that end the connection

# Group 6.3, 6.4 and 6.6-6.21: what is not UTF-8.
INVALID_UTF8 = {
    "stray continuation": b"\x80",
    "never a byte": b"\xfe",
    "never a byte either": b"\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "past the last code point": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "cut off in two": b"\xc2",
    "cut off in three": b"\xe2\x82",
    "cut off in four": b"\xf0\x9f\x98",
    "Autobahn's": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
}
QUOTED = b'{"type":"user_response","request_id":"x","answer":"%b"}'

VIOLATIONS: dict[str, tuple[Sequence[bytes], int]] = {
    # group 1: we have text messages
    "binary": ((frame(BINARY, b"{}"),), UNSUPPORTED),
    "empty binary": ((frame(BINARY),), UNSUPPORTED),
    "binary in fragments": ((frame(BINARY, b"{", fin=False), frame(CONT, b"}")), UNSUPPORTED),
    # group 2.5, 5.1-5.2: control frames
    "ping of 126 bytes": ((frame(PING, b"x" * 126),), PROTOCOL_ERROR),
    "pong of 126 bytes": ((frame(PONG, b"x" * 126),), PROTOCOL_ERROR),
    "ping of 64 KiB": ((frame(PING, b"x" * 65536),), PROTOCOL_ERROR),
    "ping in fragments": ((frame(PING, b"a", fin=False), frame(CONT, b"b")), PROTOCOL_ERROR),
    "pong in fragments": ((frame(PONG, b"a", fin=False), frame(CONT, b"b")), PROTOCOL_ERROR),
    "close in fragments": ((frame(CLOSE, close_payload(1000), fin=False),), PROTOCOL_ERROR),
    # group 3: reserved bits
    **{
        f"reserved bits {rsv} on {name}": ((frame(opcode, payload, rsv=rsv),), PROTOCOL_ERROR)
        for rsv in range(1, 8)
        for name, opcode, payload in (
            ("text", TEXT, response()),
            ("ping", PING, b""),
            ("close", CLOSE, close_payload(1000)),
        )
    },
    "reserved bit on a continuation": (
        (frame(TEXT, b"{", fin=False), frame(CONT, b"}", rsv=4)),
        PROTOCOL_ERROR,
    ),
    # group 4: reserved opcodes
    **{
        f"opcode {opcode}, {name}": ((frame(opcode, payload),), PROTOCOL_ERROR)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        for name, payload in (("empty", b""), ("with payload", b"payload"))
    },
    "reserved opcode between fragments": (
        (frame(TEXT, b"{", fin=False), frame(5), frame(CONT, b"}")),
        PROTOCOL_ERROR,
    ),
    # group 5: fragments
    "continuation of nothing": ((frame(CONT, b"x"),), PROTOCOL_ERROR),
    "unfinished continuation of nothing": ((frame(CONT, b"x", fin=False),), PROTOCOL_ERROR),
    "text within a text": (
        (frame(TEXT, b"{", fin=False), frame(TEXT, response())),
        PROTOCOL_ERROR,
    ),
    "binary within a text": ((frame(TEXT, b"{", fin=False), frame(BINARY, b"x")), PROTOCOL_ERROR),
    # RFC 6455 section 5.1
    "unmasked text": ((frame(TEXT, response(), masked=False),), PROTOCOL_ERROR),
    "unmasked ping": ((frame(PING, masked=False),), PROTOCOL_ERROR),
    "unmasked close": ((frame(CLOSE, close_payload(1000), masked=False),), PROTOCOL_ERROR),
    "unmasked continuation": (
        (frame(TEXT, b"{", fin=False), frame(CONT, b"}", masked=False)),
        PROTOCOL_ERROR,
    ),
    # group 6
    **{
        f"UTF-8: {name}": ((frame(TEXT, text),), INVALID_TEXT)
        for name, text in INVALID_UTF8.items()
    },
    **{
        f"UTF-8 in JSON: {name}": ((frame(TEXT, QUOTED.replace(b"%b", text)),), INVALID_TEXT)
        for name, text in INVALID_UTF8.items()
    },
    "UTF-8 in the first fragment": (
        (frame(TEXT, b"\xff", fin=False), frame(CONT, b"x")),
        INVALID_TEXT,
    ),
    "UTF-8 in the last fragment": (
        (frame(TEXT, b"x", fin=False), frame(CONT, b"\xff")),
        INVALID_TEXT,
    ),
    "UTF-8 cut off at the end of the last fragment": (
        (frame(TEXT, b"\xce", fin=False), frame(CONT, b"\xba\xe1", fin=False), frame(CONT)),
        INVALID_TEXT,
    ),
    # group 7
    "close with half a code": ((frame(CLOSE, b"\x03"),), PROTOCOL_ERROR),
    "close with a reason too long": (
        (frame(CLOSE, close_payload(1000, b"x" * 124)),),
        PROTOCOL_ERROR,
    ),
    "close with a reason not UTF-8": (
        (frame(CLOSE, close_payload(1000, b"\xff")),),
        INVALID_TEXT,
    ),
    **{
        f"close code {code}": ((frame(CLOSE, close_payload(code)),), PROTOCOL_ERROR)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    # group 9: size
    "a byte too long": ((frame(TEXT, response(size=MESSAGE_BYTES + 1)),), TOO_BIG),
    "too long, only the header": ((frame(TEXT, length=MESSAGE_BYTES + 1),), TOO_BIG),
    "too long by far, only the header": ((frame(TEXT, length=2**62),), TOO_BIG),
    "too long in fragments": (
        (
            frame(TEXT, b"x" * MESSAGE_BYTES, fin=False),
            frame(CONT, b"x"),
        ),
        TOO_BIG,
    ),
    "too long binary": ((frame(BINARY, length=MESSAGE_BYTES + 1),), TOO_BIG),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_has_its_code_and_ends_the_connection(
    gateway_process: GatewayProcess, name: str
) -> None:
    frames, code = VIOLATIONS[name]
    port = gateway_process.ws_port
    with websocket(port) as peer:
        for data in frames:
            peer.send(data)
        assert peer.close_code() == code
        peer.send(frame(TEXT, response()))
        assert peer.is_closed()
    assert_serves(port)


@pytest.mark.parametrize("name", ["unmasked text", "opcode 3, empty", "UTF-8: stray continuation"])
def test_a_violation_byte_by_byte_is_the_same(gateway_process: GatewayProcess, name: str) -> None:
    frames, code = VIOLATIONS[name]
    with websocket(gateway_process.ws_port) as peer:
        for byte in b"".join(frames):
            peer.send(bytes((byte,)))
        assert peer.close_code() == code
        assert peer.is_closed()


def test_good_messages_before_a_violation_are_answered(gateway_process: GatewayProcess) -> None:
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(TEXT, response("a")) + frame(TEXT, response("b")) + frame(3))
        assert_acknowledged(peer, "a")
        assert_acknowledged(peer, "b")
        assert peer.close_code() == PROTOCOL_ERROR


def test_a_length_with_its_highest_bit_set_is_refused(gateway_process: GatewayProcess) -> None:
    """RFC 6455 section 5.2: the bit must be 0; as a number it is too long as well."""
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(TEXT, length=2**63))
        assert peer.close_code() in {PROTOCOL_ERROR, TOO_BIG}
        assert peer.is_closed()


# -- frames that are all right


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65535, 65536, 131072, MESSAGE_BYTES])
def test_messages_of_every_length_are_read(gateway_process: GatewayProcess, size: int) -> None:
    """Groups 1 and 9: each form of length, up to the limit."""
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(TEXT, response(size=size)))
        assert_acknowledged(peer)
        assert_usable(peer)


@pytest.mark.parametrize("chunk", [1, 7, 1300, 65536])
def test_a_message_in_tcp_segments_of_any_size_is_read(
    gateway_process: GatewayProcess, chunk: int
) -> None:
    """Group 10 (and 2.6): where TCP cuts means nothing."""
    data = frame(TEXT, response(size=65536 if chunk > 100 else 200))
    with websocket(gateway_process.ws_port) as peer:
        for at in range(0, len(data), chunk):
            peer.send(data[at : at + chunk])
        assert_acknowledged(peer)
        assert_usable(peer)


def test_frames_sent_along_with_the_handshake_are_read(gateway_process: GatewayProcess) -> None:
    port = gateway_process.ws_port
    with Peer(port) as peer:
        peer.send(upgrade_request(port) + frame(TEXT, response("early")))
        while b"\r\n\r\n" not in peer.received:
            assert peer._more()
        peer.received = peer.received.partition(b"\r\n\r\n")[2]
        assert_acknowledged(peer, "early")


@pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd", b"x" * 125])
def test_a_ping_comes_back_as_a_pong(gateway_process: GatewayProcess, payload: bytes) -> None:
    """Group 2."""
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(PING, payload))
        assert peer.frame() == (0x80 | PONG, payload)


def test_pings_come_back_in_order_and_pongs_are_ignored(gateway_process: GatewayProcess) -> None:
    with websocket(gateway_process.ws_port) as peer:
        peer.send(
            frame(PONG, b"nobody asked") + b"".join(frame(PING, b"%d" % n) for n in range(10))
        )
        assert [peer.frame().payload for _ in range(10)] == [b"%d" % n for n in range(10)]
        assert_usable(peer)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_message_in_fragments_is_one_message(gateway_process: GatewayProcess, size: int) -> None:
    """Group 5, with pings between the fragments."""
    text = response()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(TEXT, pieces[0], fin=False))
        peer.send(frame(PING, b"between"))
        for piece in pieces[1:]:
            peer.send(frame(CONT, piece, fin=False))
        peer.send(frame(CONT))
        assert peer.frame() == (0x80 | PONG, b"between")
        assert_acknowledged(peer)
        assert_usable(peer)


@pytest.mark.parametrize(
    "text",
    [
        "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!",
        "\U0001f600\U0010ffff\ue000\ufffd",
    ],
)
def test_code_points_may_be_cut_by_fragments(gateway_process: GatewayProcess, text: str) -> None:
    """Group 6.2: a fragment need not end where a character does."""
    message = json.dumps(
        {"type": "user_response", "request_id": text, "answer": text}, ensure_ascii=False
    ).encode()
    with websocket(gateway_process.ws_port) as peer:
        for at, byte in enumerate(message):
            peer.send(frame(CONT if at else TEXT, bytes((byte,)), fin=False))
        peer.send(frame(CONT))
        assert_acknowledged(peer, text)


def test_text_that_is_no_message_ends_nothing(gateway_process: GatewayProcess) -> None:
    with websocket(gateway_process.ws_port) as peer:
        for text in (
            b"",
            b"Hello",
            b"[]",
            b"{}",
            b'{"type":"unheard of"}',
            b"\xef\xbf\xbf",
            b"null",
        ):
            peer.send(frame(TEXT, text))
            message = json.loads(peer.frame().payload)
            assert message["type"] == "error"
        assert_usable(peer)


# -- closing


@pytest.mark.parametrize(
    ("payload", "echoed"),
    [
        (b"", {NORMAL, 1005}),
        *(
            (close_payload(code, b"why"), {code})
            for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009)
        ),
        *((close_payload(code), {code}) for code in (1010, 1011, 3000, 3999, 4000, 4999)),
        (close_payload(1000, b"x" * 123), {1000}),
        (close_payload(1000, "\u00e9".encode()), {1000}),
    ],
)
def test_a_close_is_answered_and_ends_the_connection(
    gateway_process: GatewayProcess, payload: bytes, echoed: set[int]
) -> None:
    """Group 7: the server closes TCP first (RFC 6455 section 7.1.1)."""
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(CLOSE, payload))
        assert peer.close_code() in echoed
        assert peer.is_closed()


def test_what_follows_a_close_is_ignored(gateway_process: GatewayProcess) -> None:
    port = gateway_process.ws_port
    with websocket(port) as peer:
        peer.send(
            frame(CLOSE, close_payload(1000))
            + frame(TEXT, response())
            + frame(PING, b"late")
            + frame(CLOSE, close_payload(1001))
            + frame(3)
        )
        assert peer.close_code() == NORMAL
        assert peer.is_closed()
    assert_serves(port)


def test_a_farewell_message_is_answered_with_a_close(gateway_process: GatewayProcess) -> None:
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(TEXT, b'{"type":"disconnect"}'))
        assert peer.close_code() == NORMAL
        peer.send(frame(CLOSE, close_payload(NORMAL)))
        assert peer.is_closed()


def test_a_peer_that_does_not_answer_a_close_is_cut_off(impatient_gateway: GatewayProcess) -> None:
    port = impatient_gateway.ws_port
    with websocket(port) as peer:
        peer.send(frame(TEXT, b'{"type":"disconnect"}'))
        assert peer.close_code() == NORMAL
        assert peer.is_closed()
    assert_serves(port)


def test_a_peer_that_is_silent_for_two_heartbeats_is_told_to_come_back(
    impatient_gateway: GatewayProcess,
) -> None:
    port = impatient_gateway.ws_port
    with websocket(port) as peer:
        assert peer.frame().first == 0x80 | PING
        assert peer.close_code() == 3012
        assert peer.is_closed()
    assert_serves(port)


def test_a_peer_that_answers_pings_stays() -> None:
    # In a hurry, but not so much that a machine which stands still for a moment is a silent peer.
    heartbeat = ("--frontends-heartbeat-seconds", "2")
    with (
        running_gateway(*LEAVE_AT_ONCE, *heartbeat) as gateway,
        websocket(gateway.ws_port) as peer,
    ):
        for _ in range(3):
            ping = peer.frame()
            assert ping.first == 0x80 | PING
            peer.send(frame(PONG, ping.payload))


# -- floods


def test_a_flood_of_empty_fragments_is_ended(gateway_process: GatewayProcess) -> None:
    port = gateway_process.ws_port
    flood = frame(CONT, fin=False) * 10_000
    with websocket(port) as peer:
        peer.send(frame(TEXT, b"{", fin=False))
        for _ in range(100):
            peer.send(flood)
        assert peer.close_code() == POLICY
    assert_serves(port)


def test_a_flood_of_pings_is_ended(gateway_process: GatewayProcess) -> None:
    port = gateway_process.ws_port
    with websocket(port) as peer:
        for _ in range(10):
            peer.send(frame(PING, b"x" * 125) * 100)
        assert peer.close_code() == POLICY
    assert_serves(port)


def test_a_flood_of_useless_messages_is_ended(gateway_process: GatewayProcess) -> None:
    port = gateway_process.ws_port
    with websocket(port) as peer:
        for _ in range(10):
            peer.send(frame(TEXT, b"?") * 100)
        assert peer.close_code() == POLICY
    assert_serves(port)


def test_a_message_that_never_ends_is_ended(impatient_gateway: GatewayProcess) -> None:
    """A fragment now and then, far within every count and size, still has a deadline."""
    port = impatient_gateway.ws_port
    with websocket(port) as peer:
        peer.sock.settimeout(0.05)
        peer.send(frame(TEXT, b"{", fin=False))
        code = None
        # Until long after the deadline: the gateway may be kept from running.
        for _ in range(600):
            peer.send(frame(CONT, b" ", fin=False))
            try:
                code = peer.frame().close_code or code
            except TimeoutError:
                continue
            if code:
                break
        assert code == POLICY
    assert_serves(port)


def test_half_a_frame_forever_is_ended(impatient_gateway: GatewayProcess) -> None:
    """A peer that trickles one frame byte by byte has a deadline, too."""
    port = impatient_gateway.ws_port
    with websocket(port) as peer:
        peer.sock.settimeout(0.05)
        data = frame(TEXT, response(size=1000))
        code = None
        # Until long after the deadline: the gateway may be kept from running.
        for at in range(600):
            peer.send(data[at : at + 1])
            try:
                code = peer.frame().close_code or code
            except TimeoutError:
                continue
            if code:
                break
        assert code == POLICY
    assert_serves(port)
