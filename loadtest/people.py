"""People: frontends that think before they answer, and come back when they were cut off."""

from __future__ import annotations

import functools
import itertools
import random  # noqa: TID251 - how long somebody thinks
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from loadtest import requests
from loadtest.dialing import NOWHERE, Dialled, Line, Route
from loadtest.frontends import Frontend
from loadtest.handshakes import Handshake
from loadtest.load import Load
from loadtest.thinking import Thinking

_SEEN: Final = b'{"type":"seen","request_id":"%b"}'
_GOODBYE: Final = b'{"type":"disconnect"}'
# Each costs some 0.1 ms: in the time of all of ten thousand nobody else would be heard.
_CUT_IN_A_TURN: Final = 32


class Manner(NamedTuple):
    """How people of one load behave."""

    thinking: Thinking
    chance: random.Random
    #: Nobody thinks for longer: people who do not answer in time are another load.
    longest: float
    #: Whether they say that they have seen a question.
    says_seen: bool
    #: What their answers end with.
    padding: bytes = b""
    #: Whether they speak permessage-deflate.
    deflates: bool = False


class Person(Frontend):
    """One person in front of one connection at a time."""

    def __init__(  # noqa: PLR0913 - what a person consists of
        self,
        load: Load,
        route: Route,
        handshake: Callable[[], Handshake[bytes]],
        manner: Manner,
        dialled: Dialled,
        *,
        turn: str = "",
    ) -> None:
        super().__init__(load, NOWHERE, turn=turn, deflates=manner.deflates)
        self._manner = manner
        self._pondering: set[bytes] = set()
        self.line = Line(load, route, handshake, self._opened, dialled)

    def gone(self, why: bytes) -> bool:
        """Dial again."""
        self.sock.close()
        self.line.again()
        return super().gone(why)

    def reconnect(self) -> None:
        """Leave without a word and dial at once, as after a network that failed."""
        if self.sock.fileno() >= 0:
            self._load.release(self.sock)
            self.sock.close()
            self.line.open()

    def stop_reading(self) -> None:
        """Take nothing any more, and stay connected."""
        self._load.release(self.sock)

    def leave(self) -> None:
        """Say goodbye."""
        if self.sock.fileno() >= 0:
            self._load.send(self.sock, self.framed(_GOODBYE))

    def shown(self, questions: list[tuple[bytes, bytes]]) -> None:
        """See these questions, think about each, and answer it."""
        manner, load = self._manner, self._load
        messages = []
        if manner.says_seen:
            messages += [self.framed(_SEEN % request_id) for request_id, _ in questions]
        if not manner.thinking.mean:
            messages += [
                requests.answer(request_id, text + manner.padding, self.framed)
                for request_id, text in questions
            ]
        if messages:
            load.send(self.sock, b"".join(messages))
        if manner.thinking.mean:
            now = time.perf_counter()
            for request_id, text in questions:
                # Shown again after a reconnect: it is being thought about already.
                if request_id not in self._pondering:
                    self._pondering.add(request_id)
                    answer = functools.partial(self._answer, request_id, text, now)
                    seconds = min(manner.thinking.draw(manner.chance), manner.longest)
                    load.at(now + seconds, answer)

    def _answer(self, request_id: bytes, text: bytes, shown_at: float, now: float) -> None:
        self._pondering.discard(request_id)
        if self.sock.fileno() >= 0:
            thought = b" ~%d" % ((now - shown_at) * 1e6)
            said = text + thought + self._manner.padding
            self._load.send(self.sock, requests.answer(request_id, said, self.framed))

    def _opened(self, sock: socket.socket, rest: bytes) -> None:
        self.sock = sock
        self._buffer = b""
        self._load.drive(self)
        if rest:
            self.take(rest)


class Reconnecting(Protocol):
    """Somebody who can be cut off."""

    def reconnect(self) -> None:
        """Leave without a word and dial at once."""


class Storm:
    """Everybody cut off, so few in each turn of the loop that it stays on time meanwhile.

    A load that stalled itself would take its own stall for the server's.
    """

    def __init__(self, load: Load, everybody: Iterable[Reconnecting]) -> None:
        self._load = load
        self._left = iter(everybody)

    def go_on(self, _now: float) -> None:
        """Cut the next ones off, and go on in the next turn."""
        some = list(itertools.islice(self._left, _CUT_IN_A_TURN))
        for each in some:
            each.reconnect()
        if some:
            # Now, and not this turn's time: that would be due in this very turn.
            self._load.at(time.perf_counter(), self.go_on)
