"""Agents: callers that come back when they were cut off, and ask when they are told to.

The pool knows who is free. It keeps what was due while nobody was, so that the
wait counts; how often questions are due is `loadtest.arrivals`'.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from loadtest.callers import Caller
from loadtest.dialing import NOWHERE, Dialled, Line, Route
from loadtest.handshakes import Handshake
from loadtest.load import Load
from loadtest.requests import Template

# Eight bytes each: a stalled server does not cost this side its memory.
_BACKLOG: Final = 1_000_000


class Agent(Caller):
    """A caller that is there again after its connection was cut.

    With ``reask`` it then asks the question that was cut off again: its
    template has to give each question a key of its own.
    """

    def __init__(  # noqa: PLR0913 - what an agent consists of
        self,
        load: Load,
        pool: Pool,
        route: Route,
        handshake: Callable[[], Handshake[bytes]],
        dialled: Dialled,
        *,
        template: Callable[[bytes], Template],
        patience: float,
        thinking: bool,
        reask: bool,
    ) -> None:
        super().__init__(load, NOWHERE, Template(b""), patience=patience, thinking=thinking)
        self._pool = pool
        self._template_for = template
        self._reask = reask
        self.connected = False
        #: Whether the pool has it among those who are free.
        self.waiting = False
        self.line = Line(load, route, handshake, self._opened, dialled)

    def gone(self, why: bytes) -> bool:
        """Dial again; an idle connection may be closed, and a question can be asked again."""
        self.connected = False
        self.sock.close()
        asked, self._buffer = self._token, b""
        self.line.again()
        if not asked:
            return False
        if self._reask:
            self._load.tally.asked_again += 1
            return False
        super().gone(why)
        return True

    def finished(self, now: float) -> None:
        """Be free."""
        self._pool.free(self, now)

    def _opened(self, sock: socket.socket, session: bytes) -> None:
        self.sock = sock
        self.connected = True
        self._buffer = b""
        self._template = self._template_for(session)
        self._load.drive(self)
        if self._token:
            self._load.send(sock, self._template.fill(self._token))
        elif not self.waiting:
            self._pool.free(self, time.perf_counter())


class Pool:
    """All agents of a load.

    Without arrivals (``closed``) each asks as soon as it is free.
    """

    def __init__(self, load: Load, *, closed: bool) -> None:
        self._load = load
        self._closed = closed
        self._free: deque[Agent] = deque()
        self._due: deque[float] = deque()
        #: Questions that were due and never asked, because too many were.
        self.dropped = 0

    @property
    def backlog(self) -> int:
        """How many questions are due and not asked yet."""
        return len(self._due)

    def free(self, agent: Agent, now: float) -> None:
        """Give this agent the question that is due for longest, or let it wait for one."""
        if self._due:
            agent.ask(now, self._due.popleft())
        elif self._closed and self._load.asking:
            agent.ask(now)
        else:
            agent.waiting = True
            self._free.append(agent)

    def arrive(self, due: float, now: float) -> None:
        """Have somebody ask a question that is due since then."""
        while self._free:
            agent = self._free.popleft()
            agent.waiting = False
            if agent.connected:
                agent.ask(now, due)
                return
        if len(self._due) < _BACKLOG:
            self._due.append(due)
        else:
            self.dropped += 1

    def forget(self) -> None:
        """Forget what is due: the rate that made it is none any more."""
        self._due.clear()

    def begin(self, now: float) -> None:
        """Let everybody ask who does so without being told."""
        if self._closed:
            free, self._free = self._free, deque()
            for agent in free:
                agent.waiting = False
                agent.ask(now)
