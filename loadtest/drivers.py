"""Load from one thread: callers that ask without a pause, frontends that answer at once.

One selector, plain sockets, bytes made in advance: the drivers must cost less
than the server they drive, and `Load.cpu_share` tells whether they did. Every
question carries a token that its answer repeats, so that an answer which is
lost or reaches the wrong caller is counted, not assumed away. They follow the
protocol no further than that: `tests/` is where a server's bytes are judged.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from loadtest import peers, requests
from loadtest.load import Load
from loadtest.requests import Template

_OK: Final = b"HTTP/1.1 200 OK"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Caller:
    """Asks, waits for the answer, checks it, asks again."""

    def __init__(self, load: Load, sock: socket.socket, template: Template) -> None:
        self.sock = sock
        self._load = load
        self._template = template
        self._token = b""
        self._asked_at = 0.0
        self._buffer = b""
        self._usual_length = -1

    def ask(self, now: float) -> None:
        """Ask the next question."""
        load = self._load
        self._token = token = load.token()
        self._asked_at = now
        load.send(self.sock, self._template.fill(token))

    def owed(self) -> int:
        """Return whether an answer is still to come."""
        return int(self._token != b"")

    def ready(self) -> None:
        """Take the answer, if all of it is here."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        if self._buffer:
            data = self._buffer + data
        if len(data) != self._usual_length or not data.startswith(_OK):
            self._buffer = data
            if not self._is_complete(data):
                return
        self._buffer = b""
        now = time.perf_counter()
        tally = self._load.tally
        # Once as the id of the call, once at least as the text of the answer.
        if data.count(self._token) < 2:  # noqa: PLR2004 - both of it
            tally.crossed += 1
        else:
            tally.answered += 1
            tally.seconds.append(now - self._asked_at)
        self._token = b""
        if self._load.asking:
            self.ask(now)

    def _is_complete(self, data: bytes) -> bool:
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(_OK):
            self._load.refused(self.sock, data)
            return False
        length = _LENGTH.search(head)
        if length is None:
            if _CHUNKED.search(head) is None or not body.endswith(b"\r\n0\r\n\r\n"):
                return False
            self._load.tally.streamed += 1
            return True
        if len(body) < int(length[1]):
            return False
        self._usual_length = len(data)
        return True


class Frontend:
    """Answers each question that it is shown, or only those of its turn, with the question.

    ``turn`` is what the token of a question ends with for this one to answer it.
    """

    def __init__(self, load: Load, sock: socket.socket, rest: bytes = b"", turn: str = "") -> None:
        self.sock = sock
        self.frames = 0
        self._load = load
        self._buffer = rest
        self._find = re.compile(
            rb'"request_id": ?"([^"]+)", ?"question": ?"(\d*%b)"' % turn.encode()
        ).findall

    def owed(self) -> int:
        """Return 0: a frontend waits for nothing."""
        return 0

    def ready(self) -> None:
        """Take whole frames and answer the questions in them with one write."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        if self._buffer:
            data = self._buffer + data
        end = self._count(data)
        if end < len(data):
            self._buffer = data[end:]
            data = data[:end]
        else:
            self._buffer = b""
        questions = self._find(data)
        if questions:
            answers = [requests.answer(request_id, text) for request_id, text in questions]
            self._load.send(self.sock, b"".join(answers))

    def _count(self, data: bytes) -> int:
        """Count the frames in ``data`` and return where the last whole one ends."""
        start = frames = 0
        size = len(data)
        while True:
            end = peers.frame_end(data, start)
            if not 0 < end <= size:
                break
            if data[start] == 0x81:  # noqa: PLR2004 - whole text
                frames += 1
            else:
                self._control(data, start, end)
            start = end
        self.frames += frames
        self._load.tally.frames += frames
        return start

    def _control(self, data: bytes, start: int, end: int) -> None:
        payload = data[start + 2 : end]
        if data[start] == 0x89:  # noqa: PLR2004 - a ping
            self._load.send(self.sock, requests.frame(payload, opcode=10))
        elif data[start] == 0x88:  # noqa: PLR2004 - the server closes
            self._load.refused(self.sock, payload)


class Messenger:
    """Sends batches of messages, each of which has exactly one reply, and compares every byte.

    The next batch leaves when all of the last one's replies are here.
    """

    def __init__(
        self, load: Load, sock: socket.socket, batches: Sequence[tuple[bytes, bytes]], depth: int
    ) -> None:
        self.sock = sock
        self._load = load
        self._batches = batches
        self._depth = depth
        self._turn = 0
        self._buffer = b""
        self._expected = b""
        self._sent_at = 0.0

    def ask(self, now: float) -> None:
        """Send the next batch."""
        self._turn = (self._turn + 1) % len(self._batches)
        batch, self._expected = self._batches[self._turn]
        self._sent_at = now
        self._load.send(self.sock, batch)

    def owed(self) -> int:
        """Return how many replies are still to come."""
        return self._depth if self._expected else 0

    def ready(self) -> None:
        """Take replies, and judge them when the batch is whole."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        if self._buffer:
            data = self._buffer + data
        expected = self._expected
        if len(data) < len(expected):
            self._buffer = data
            return
        now = time.perf_counter()
        tally = self._load.tally
        if data == expected:
            tally.answered += self._depth
            tally.seconds.append(now - self._sent_at)
        else:
            tally.crossed += self._depth
        self._buffer = self._expected = b""
        if self._load.asking:
            self.ask(now)


def add_callers(  # noqa: PLR0913 - which load this is
    load: Load,
    port: int,
    count: int,
    revision: str,
    *,
    initialize: bool = True,
    arguments: dict[str, object] | None = None,
) -> list[Caller]:
    """Add callers with a connection, and in the handshake era a session, each."""
    callers = []
    for _ in range(count):
        sock, session = (
            peers.open_caller(port, revision) if initialize else (peers.connect(port), b"")
        )
        template = requests.ask_template(port, revision, session, arguments)
        caller = Caller(load, sock, template)
        load.add(caller)
        callers.append(caller)
    return callers


def add_frontends(
    load: Load,
    port: int,
    count: int,
    *,
    says_connect: bool = True,
    turn: Callable[[int], str] = lambda _index: "",
) -> list[Frontend]:
    """Add frontends that the server has acknowledged, when they say `connect`."""
    frontends = []
    for index in range(count):
        sock, rest = peers.open_frontend(port, says_connect=says_connect)
        frontend = Frontend(load, sock, rest, turn(index))
        load.add(frontend)
        frontends.append(frontend)
    return frontends


def add_messengers(load: Load, port: int, count: int, depth: int) -> list[Messenger]:
    """Add connections whose every message has one reply: answers to questions nobody asked."""
    messengers = []
    for index in range(count):
        sock, rest = peers.open_frontend(port)
        if rest:
            raise peers.PeerError(f"unexpected: {rest[:200]!r}")
        reply = _learn_reply(sock)
        names = [
            [b"%04d%d%04d" % (index, turn, place) for place in range(depth)] for turn in (1, 2)
        ]
        batches = [
            (
                b"".join(requests.answer(name, b"Blue") for name in batch),
                b"".join(reply(name) for name in batch),
            )
            for batch in names
        ]
        messenger = Messenger(load, sock, batches, depth)
        load.add(messenger)
        messengers.append(messenger)
    return messengers


def begin(load: Load, askers: Sequence[Caller] | Sequence[Messenger]) -> None:
    """Let everybody ask their first question."""
    load.asking = True
    now = time.perf_counter()
    for asker in askers:
        asker.ask(now)


def _learn_reply(sock: socket.socket) -> Callable[[bytes], bytes]:
    """Return how the server says that it knows no such question, tried with two names."""
    names = "000000001", "000000002"
    replies = [
        peers.ask_message(sock, {"type": "user_response", "request_id": name, "answer": "Blue"})
        for name in names
    ]
    pieces = [reply.split(name.encode()) for reply, name in zip(replies, names, strict=True)]
    if pieces[0] != pieces[1] or b'"unknown"' not in replies[0]:
        raise peers.PeerError(f"no reply to build on: {replies!r}")

    def reply(name: bytes) -> bytes:
        payload = name.join(pieces[0])
        size = len(payload)
        if size < 126:  # noqa: PLR2004 - RFC 6455 section 5.2
            return b"\x81%c%b" % (size, payload)
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)

    return reply
