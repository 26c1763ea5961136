"""Callers: what asks over MCP, and judges what comes back.

The usual reply costs one comparison of lengths and one search for the token;
everything else is looked at more closely. It judges replies, and refuses to
decide when to ask: who drives it does.
"""

from __future__ import annotations

import re
import socket
import time
from typing import Final

from loadtest.load import Load
from loadtest.requests import Template

_OK: Final = b"HTTP/1.1 200 OK"
#: A quota is used up; the connection stays, and so does the caller.
_TOO_MANY: Final = b"HTTP/1.1 429 "
_QUOTA: Final = re.compile(rb'"quota": ?"([^"]*)"')
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_ID: Final = re.compile(rb'"id": ?(\d+)')
_REFUSAL: Final = re.compile(rb'"error": ?\{.*?"message": ?"([^"]*)|"text": ?"([^"]*)', re.DOTALL)
#: A frontend that thinks tells in its answer for how long it did, in microseconds.
_THOUGHT: Final = re.compile(rb" ~(\d+)")
# A deadline is the server's to keep, and what it sends in time is on its way for a moment.
_GRACE_SECONDS: Final = 1.0


class Caller:
    """Asks, waits for the answer, checks it, asks again.

    Args:
        load: what drives it, and counts.
        sock: its connection.
        template: its question.
        patience: the seconds that a question may take by its own words.
        thinking: whether answers tell how long somebody thought; that is no latency.
        repeats: how often at least a reply has the token of its request: once as its id, and
            where somebody answers once more in the text.
    """

    def __init__(  # noqa: PLR0913 - named, and each with its default
        self,
        load: Load,
        sock: socket.socket,
        template: Template,
        *,
        patience: float = 60.0,
        thinking: bool = False,
        repeats: int = 2,
    ) -> None:
        self.sock = sock
        self._load = load
        self._template = template
        self._allowed_seconds = patience + _GRACE_SECONDS
        self._thinking = thinking
        self._repeats = repeats
        self._token = b""
        self._previous = b""
        #: When the question was asked that is waited for.
        self.asked_at = self._meant_at = 0.0
        #: How many of its questions were answered in time.
        self.answered = 0
        self._buffer = b""
        self._usual_length = -1

    def ask(self, now: float, meant: float | None = None) -> None:
        """Ask the next question, which was meant to be asked earlier perhaps."""
        load = self._load
        self._token = token = load.token()
        self.asked_at = now
        self._meant_at = now if meant is None else meant
        load.tally.asked += 1
        load.send(self.sock, self._template.fill(token))

    def owed(self) -> int:
        """Return whether an answer is still to come."""
        return int(self._token != b"")

    def gone(self, why: bytes) -> bool:  # noqa: ARG002 - what all peers are told
        """Give up: the question is refused with the connection."""
        self._token = self._buffer = b""
        return True

    def finished(self, now: float) -> None:
        """Go on after a reply: with the next question at once."""
        if self._load.asking:
            self.ask(now)

    def ready(self) -> None:
        """Take what has arrived, and judge each reply of which all is here."""
        data = self._load.receive(self.sock)
        if data is None:
            return
        if self._buffer:
            data = self._buffer + data
        if (
            len(data) == self._usual_length
            and data.startswith(_OK)
            and self._token
            and data.count(self._token) >= self._repeats
        ):
            self._buffer = b""
            self._answered(data)
            return
        sock = self.sock
        while data and (end := self._end(data)):
            # Judging may ask the next question, or open another connection.
            self._buffer = b""
            self._judge(data[:end])
            data = data[end:]
        if self.sock is sock:
            self._buffer = data

    def _end(self, data: bytes) -> int:
        """Return where the first reply ends; 0 when it does not yet, or never will."""
        size = data.find(b"\r\n\r\n")
        if size < 0:
            return 0
        head = data[:size]
        if not head.startswith((_OK, _TOO_MANY)):
            self._load.refused(self.sock, _in_short(data))
            return 0
        length = _LENGTH.search(head)
        if length is None:
            last = data.find(_LAST_CHUNK, size) if _CHUNKED.search(head) else -1
            if last < 0:
                return 0
            self._load.tally.streamed += 1
            return last + len(_LAST_CHUNK)
        end = size + 4 + int(length[1])
        if len(data) < end:
            return 0
        if head.startswith(_OK):
            self._usual_length = end
        return end

    def _judge(self, reply: bytes) -> None:
        token, tally = self._token, self._load.tally
        if token and reply.count(token) >= self._repeats and not _is_refusal(reply):
            self._answered(reply)
            return
        found = _ID.search(reply)
        if found is not None and found[1] == self._previous:
            tally.duplicated += 1
            return
        if token and found is not None and found[1] == token and _is_refusal(reply):
            tally.refuse(_reason(reply))
        else:
            tally.crossed += 1
        self._done(time.perf_counter())

    def _answered(self, reply: bytes) -> None:
        now = time.perf_counter()
        tally = self._load.tally
        thought = self._thought(reply) if self._thinking else 0.0
        if now - self.asked_at > self._allowed_seconds:
            tally.late += 1
        else:
            tally.answered += 1
            self.answered += 1
            tally.seconds.append(now - self._meant_at - thought)
        self._done(now)

    def _thought(self, reply: bytes) -> float:
        found = _THOUGHT.search(reply)
        return int(found[1]) / 1e6 if found else 0.0

    def _done(self, now: float) -> None:
        if self._token:
            self._previous = self._token
            self._token = b""
            self.finished(now)


def _is_refusal(reply: bytes) -> bool:
    return b'"isError":true' in reply or b'"isError": true' in reply or b'"error":' in reply


def _reason(reply: bytes) -> bytes:
    if (quota := _QUOTA.search(reply)) is not None:
        # Without the time to wait, which is another one each time.
        return b"over the quota " + quota[1]
    found = _REFUSAL.search(reply)
    return (found[1] or found[2]) if found else b"an error without words"


def _in_short(reply: bytes) -> bytes:
    """Return a refusal without what differs from one to the next."""
    head, _, body = reply.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0]
    return status + b" " + body if body else status
