"""A peer that says exactly what it is told to, byte for byte, whatever the rules are."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import NamedTuple, Self

# Longer than any deadline under test; nothing waits this long when all is well.
_PATIENCE_SECONDS = 30.0
_PING = 0x89
_AT_ONCE = 100
#: Of tests that are about very many: what is promised for 10,000 shows with fewer, too.
SOCKETS = int(os.environ.get("SOCKETS", "300"))


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Frame(NamedTuple):
    """One WebSocket frame from the gateway."""

    first: int
    payload: bytes

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; 1005 when it has none, ``None`` for other frames."""
        if self.first != 0x88:
            return None
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 1005


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a WebSocket frame, legal or not; ``length`` may lie about the payload's."""
    first = fin << 7 | rsv << 4 | opcode
    length = len(payload) if length is None else length
    mask_bit = masked << 7
    if length < 126:
        head = struct.pack("!BB", first, mask_bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    stretched = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return head + key + mixed.to_bytes(len(payload), "big")


class Peer:
    """A connection to a port of ours, with everything received so far."""

    def __init__(self, port: int, source: str = "", *, window: int = 0) -> None:
        self.port = port
        self.received = b""
        self.sock = socket.socket()
        self.sock.settimeout(_PATIENCE_SECONDS)
        if window:
            # Before it connects: the sender's buffers then stay small as well.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            self.sock.bind((source, 0))
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send; a gateway that closed in the meantime is no failure of the test."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.received += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        while len(self.received) < size:
            if not self._more():
                raise EOFError(f"closed after {self.received[:200]!r}")
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def read_to_end(self) -> bytes:
        """Return all that comes until the gateway closes."""
        while self._more():
            pass
        taken, self.received = self.received, b""
        return taken

    def is_closed(self) -> bool:
        """Wait for the gateway to close; more bytes, or patience at its end, mean no."""
        try:
            return not self.received and not self._more()
        except TimeoutError:
            return False

    def answer(self) -> Answer:
        """Return the next HTTP response."""
        while b"\r\n\r\n" not in self.received:
            if not self._more():
                raise EOFError(f"closed after {self.received[:200]!r}")
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(status_line.split(" ")[1])
        size = int(headers.get("content-length", "0"))
        return Answer(status, headers, self._take(size))

    def be_upgraded(self) -> None:
        """Take the reply to a WebSocket's handshake, which is that it is open."""
        while b"\r\n\r\n" not in self.received:
            assert self._more(), "closed instead of upgraded"
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def frame_but_pings(self) -> Frame:
        """Return the next frame that is no heartbeat's."""
        while (frame := self.frame()).first == _PING:
            pass
        return frame

    def frame(self) -> Frame:
        """Return the next WebSocket frame; the gateway's are never masked."""
        first, length = self._take(2)
        assert not length & 0x80, "a server must not mask"
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return Frame(first, self._take(length))

    def close_code(self) -> int:
        """Return the code of the close frame that comes, after whatever comes before it."""
        while True:
            code = self.frame().close_code
            if code is not None:
                return code


def host(port: int) -> bytes:
    """Return the Host field of an honest request."""
    return b"Host: 127.0.0.1:%d\r\n" % port


def upgrade_request(port: int, more: bytes = b"", path: bytes = b"/ws") -> bytes:
    """Return an honest WebSocket handshake, with more header lines."""
    return (
        b"GET %b HTTP/1.1\r\n%bUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
    ) % (path, host(port), more)


def websocket(port: int, more: bytes = b"", source: str = "") -> Peer:
    """Return a peer whose WebSocket is open; ``source`` is an address of the loopback network."""
    peer = Peer(port, source)
    peer.send(upgrade_request(port, more))
    peer.be_upgraded()
    return peer


@contextmanager
def websockets(port: int, count: int) -> Iterator[list[Peer]]:
    """Hold so many peers whose WebSockets are open, and that say nothing."""
    with ExitStack() as stack:
        peers: list[Peer] = []
        while len(peers) < count:
            # Some handshakes are under way at once, as each has to wait for its server.
            new = min(_AT_ONCE, count - len(peers))
            coming = [stack.enter_context(Peer(port)) for _ in range(new)]
            for peer in coming:
                peer.send(upgrade_request(port))
            for peer in coming:
                peer.be_upgraded()
            peers += coming
        yield peers


def assert_serves(port: int) -> None:
    """An honest request on a new connection works."""
    with Peer(port) as peer:
        peer.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(port))
        assert peer.answer().status == 200
