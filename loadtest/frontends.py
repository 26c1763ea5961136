"""Frontends: what a person sits in front of, as a load sees it.

It follows frames, pings and closes, and finds questions in what it is shown by
their bytes; the rest of a message is not looked at.
"""

from __future__ import annotations

import re
import socket

from loadtest import deflating, handshakes, requests
from loadtest.load import Load


class Frontend:
    """Answers each question that it is shown, or only those of its turn, with the question.

    ``turn`` is what the token of a question ends with for this one to answer it; one
    that ``deflates`` has agreed to permessage-deflate.
    """

    def __init__(
        self,
        load: Load,
        sock: socket.socket,
        rest: bytes = b"",
        turn: str = "",
        *,
        deflates: bool = False,
    ) -> None:
        self.sock = sock
        #: Makes a message of what is said.
        self.framed = deflating.frame if deflates else requests.frame
        self._deflates = deflates
        self.frames = 0
        self._load = load
        self._buffer = rest
        self._find = re.compile(
            rb'"request_id": ?"([^"]+)", ?"question": ?"(\d*%b)"' % turn.encode()
        ).findall

    def owed(self) -> int:
        """Return 0: a frontend waits for nothing."""
        return 0

    def gone(self, why: bytes) -> bool:  # noqa: ARG002 - what all peers are told
        """Stay away."""
        return True

    def shown(self, questions: list[tuple[bytes, bytes]]) -> None:
        """Answer these questions, each a request id and a token, with one write."""
        answers = [requests.answer(*question, self.framed) for question in questions]
        self._load.send(self.sock, b"".join(answers))

    def ready(self) -> None:
        """Take whole frames, and the questions in them."""
        data = self._load.receive(self.sock)
        if data is not None:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Take what has arrived, here or during the handshake."""
        if self._buffer:
            data = self._buffer + data
        end = self._count(data)
        if end < len(data):
            self._buffer = data[end:]
            data = data[:end]
        else:
            self._buffer = b""
        if self._deflates:
            data = self._unpacked(data)
        questions = self._find(data)
        if questions:
            self.shown(questions)

    def _count(self, data: bytes) -> int:
        """Count the frames in ``data`` and return where the last whole one ends."""
        start = frames = 0
        size = len(data)
        while True:
            end = handshakes.frame_end(data, start)
            if not 0 < end <= size:
                break
            if data[start] == 0x81 or data[start] == deflating.DEFLATED:  # noqa: PLR2004 - whole text
                frames += 1
            else:
                self._control(data, start, end)
            start = end
        self.frames += frames
        self._load.tally.frames += frames
        return start

    def _unpacked(self, data: bytes) -> bytes:
        """Return what whole frames say, inflated where that is needed."""
        pieces, start, tally = [], 0, self._load.tally
        while start < len(data):
            end = handshakes.frame_end(data, start)
            piece = data[handshakes.payload_start(data, start) : end]
            if data[start] == deflating.DEFLATED:
                tally.deflated += 1
                tally.deflated_bytes += len(piece)
                try:
                    piece = deflating.inflated(piece)
                except ValueError as error:
                    self._load.refused(self.sock, str(error).encode())
                    break
                tally.inflated_bytes += len(piece)
            pieces.append(piece)
            start = end
        return b"\n".join(pieces)

    def _control(self, data: bytes, start: int, end: int) -> None:
        payload = data[start + 2 : end]
        if data[start] == 0x89:  # noqa: PLR2004 - a ping
            self._load.send(self.sock, requests.frame(payload, opcode=10))
        elif data[start] == 0x88:  # noqa: PLR2004 - the server closes
            code = int.from_bytes(payload[:2], "big")
            self._load.refused(self.sock, b"closed with %d %b" % (code, payload[2:]))
