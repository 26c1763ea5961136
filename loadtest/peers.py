"""Connections opened one by one, before the load begins.

It waits for each reply, with a deadline, and refuses to go on when one is not
what the protocol promises: a wrong set-up would measure nothing.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from loadtest import handshakes, requests
from loadtest.handshakes import Handshake, PeerError
from loadtest.places import LOOPBACK, mcp_place, ws_place

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 10.0
_HELLO: Final = b'{"type":"connect"}'


def connect(port: int) -> socket.socket:
    """Return a connection that sends at once."""
    sock = socket.create_connection((LOOPBACK, port), timeout=_PATIENCE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def open_frontend(port: int, *, says_connect: bool = True) -> tuple[socket.socket, bytes]:
    """Return an upgraded connection, and what the server sent beyond its reply."""
    hello = _HELLO if says_connect else None
    with _closing_unless_kept(connect(port)) as sock:
        return sock, _agree(sock, handshakes.frontend(ws_place(port), hello))


def open_messenger(port: int) -> tuple[socket.socket, Callable[[bytes], bytes]]:
    """Return a connection, and what is replied on it to an answer that nobody waits for."""
    with _closing_unless_kept(connect(port)) as sock:
        return sock, _agree(sock, handshakes.messenger(ws_place(port), _HELLO))


def open_caller(port: int, revision: str) -> tuple[socket.socket, bytes]:
    """Return a connection and, in the handshake era, the id of a session begun on it."""
    with _closing_unless_kept(connect(port)) as sock:
        if revision == requests.MODERN:
            return sock, b""
        return sock, _agree(sock, handshakes.initialize(mcp_place(port), revision))


@contextlib.contextmanager
def _closing_unless_kept(sock: socket.socket) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(sock)
        yield sock
        stack.pop_all()


def _agree(sock: socket.socket, handshake: Handshake[T]) -> T:
    message = next(handshake)
    while True:
        sock.sendall(message)
        try:
            message = handshake.send(_receive(sock))
        except StopIteration as agreed:
            result: T = agreed.value
            return result


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise PeerError("the server closed the connection")
    return data
