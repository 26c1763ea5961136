"""Messengers: connections that say something and are told something back, over and over.

Every byte of every reply is known in advance and compared. With an interval
the schedule is fixed: what was due while the server did not answer is sent as
soon as it does, and counts from when it was due.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from loadtest import handshakes, requests
from loadtest.load import Load


def batches(index: int, depth: int, reply: Callable[[bytes], bytes]) -> list[tuple[bytes, bytes]]:
    """Return what the messenger of this number says by turns, and what it is told.

    It answers questions that nobody asked: their names are the messenger's own.
    """
    names = [[b"%04d%d%04d" % (index, turn, place) for place in range(depth)] for turn in (1, 2)]
    return [
        (
            b"".join(requests.answer(name, b"Blue") for name in batch),
            b"".join(reply(name) for name in batch),
        )
        for batch in names
    ]


class Messenger:
    """Sends batches of messages, each of which has exactly one reply, and compares every byte.

    The next batch leaves when all of the last one's replies are here, and not
    before ``interval`` seconds have passed since it was due.
    """

    def __init__(
        self,
        load: Load,
        sock: socket.socket,
        batches: Sequence[tuple[bytes, bytes]],
        depth: int,
        interval: float = 0.0,
    ) -> None:
        self.sock = sock
        self._load = load
        self._batches = batches
        self._depth = depth
        self._interval = interval
        self._turn = 0
        self._buffer = b""
        self._expected = self._previous = b""
        self._due_at = 0.0

    def ask(self, now: float) -> None:
        """Send the next batch, which is due at this time."""
        self._turn = (self._turn + 1) % len(self._batches)
        batch, self._expected = self._batches[self._turn]
        self._due_at = now
        self._load.tally.asked += self._depth
        self._load.send(self.sock, batch)

    def owed(self) -> int:
        """Return how many replies are still to come."""
        return self._depth if self._expected else 0

    def gone(self, why: bytes) -> bool:  # noqa: ARG002 - what all peers are told
        """Stay away: nothing comes any more."""
        self._expected = b""
        return True

    def ready(self) -> None:
        """Take replies, and judge them when the batch is whole."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        if self._buffer:
            data = self._buffer + data
        expected = self._expected
        if data != expected:
            data = self._without_control_frames(data)
            if len(data) < len(expected) or not data:
                self._buffer = data
                return
        now = time.perf_counter()
        self._judge(data, now)
        self._buffer = b""
        if expected and self._load.asking:
            self._go_on(now)

    def _judge(self, data: bytes, now: float) -> None:
        tally = self._load.tally
        expected, self._expected = self._expected, b""
        if expected and data.startswith(expected):
            tally.answered += self._depth
            tally.seconds.append(now - self._due_at)
            self._previous = expected
            data = data[len(expected) :]
        elif expected:
            tally.crossed += self._depth
            return
        if data:
            # More than was asked for.
            tally.duplicated += data.startswith(self._previous)
            tally.crossed += not data.startswith(self._previous)

    def _go_on(self, now: float) -> None:
        due = self._due_at + self._interval
        if not self._interval:
            self.ask(now)
        elif due <= now:
            self.ask(due)
        else:
            self._load.at(due, lambda _now: self._ask_when_asking(due))

    def _ask_when_asking(self, due: float) -> None:
        if self._load.asking:
            self.ask(due)

    def _without_control_frames(self, data: bytes) -> bytes:
        """Answer pings, notice a close, and return the other frames."""
        kept, start = b"", 0
        while 0 < (end := handshakes.frame_end(data, start)) <= len(data):
            payload = data[start + 2 : end]
            if data[start] == 0x89:  # noqa: PLR2004 - a ping
                self._load.send(self.sock, requests.frame(payload, opcode=10))
            elif data[start] == 0x88:  # noqa: PLR2004 - the server closes
                self._load.refused(self.sock, b"closed with %b" % payload)
            else:
                kept += data[start:end]
            start = end
        return kept + data[start:]
