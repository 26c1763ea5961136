"""Everybody of a small load set up from one thread, one connection after the other.

The drivers themselves are in `loadtest.callers`, `loadtest.frontends` and
`loadtest.messengers`: one selector, plain sockets, bytes made in advance. They
must cost less than the server they drive, and `Load.cpu_share` tells whether
they did. Every question carries a token that its answer repeats, so that an
answer which is lost or reaches the wrong caller is counted, not assumed away.
They follow the protocol no further than that: `tests/` is where a server's
bytes are judged.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence

from loadtest import peers, requests
from loadtest.callers import Caller
from loadtest.frontends import Frontend
from loadtest.load import Load
from loadtest.messengers import Messenger, batches
from loadtest.places import mcp_place


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
        sock, session = _opened(port, revision, initialize=initialize)
        template = requests.ask_template(mcp_place(port), revision, session, arguments)
        callers.append(Caller(load, sock, template))
        load.add(callers[-1])
    return callers


def add_requesters(  # noqa: PLR0913 - which load this is
    load: Load,
    port: int,
    count: int,
    revision: str,
    *,
    method: str,
    params: Mapping[str, object],
    initialize: bool = True,
) -> list[Caller]:
    """Add callers of a method that needs no person."""
    callers = []
    for _ in range(count):
        sock, session = _opened(port, revision, initialize=initialize)
        template = requests.template(mcp_place(port), revision, method, params, session)
        callers.append(Caller(load, sock, template, repeats=1))
        load.add(callers[-1])
    return callers


def _opened(port: int, revision: str, *, initialize: bool) -> tuple[socket.socket, bytes]:
    return peers.open_caller(port, revision) if initialize else (peers.connect(port), b"")


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
        sock, reply = peers.open_messenger(port)
        messenger = Messenger(load, sock, batches(index, depth, reply), depth)
        load.add(messenger)
        messengers.append(messenger)
    return messengers


def begin(load: Load, askers: Sequence[Caller] | Sequence[Messenger]) -> None:
    """Let everybody ask their first question."""
    load.asking = True
    now = time.perf_counter()
    for asker in askers:
        asker.ask(now)
