"""The thread of a proxy: it owns all sockets, and does what it is told between two bytes.

`tests/proxy.py` is what tests use.
"""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Literal

Address = tuple[str, int]
#: Requests go to the target, replies come from it.
Direction = Literal["request", "reply"]

HOST: Final = "127.0.0.1"
PATIENCE_SECONDS: Final = 30.0
_CHUNK: Final = 65_536
# Who sends more than this to somebody who does not read waits, as without a proxy.
_HELD_BYTES: Final = 1 << 20
_RESET: Final = struct.pack("ii", 1, 0)


@dataclasses.dataclass
class Faults:
    """What is wrong at the moment."""

    delay: float = 0.0
    size: int = 0
    gap: float = 0.0
    hole: Literal["", "lose", "hold"] = ""
    losing: int = 0
    when: Callable[[bytes], bool] | None = None


class Pipe:
    """One direction of a connection: what was read and is not sent yet, and when it is due."""

    def __init__(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        self.source = source
        self.sink = sink
        self.direction: Direction = direction
        #: An empty piece is the end.
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.held = 0
        self.ended = self.finished = False

    def put(self, data: bytes, faults: Faults) -> None:
        """Have this sent next; nothing is the end."""
        due = time.monotonic() + faults.delay
        if self.pieces:
            due = max(due, self.pieces[-1][0])
        size = faults.size or max(1, len(data))
        for start in range(0, max(1, len(data)), size):
            self.pieces.append((due, data[start : start + size]))
            due += faults.gap
        self.held += len(data)
        self.ended = not data

    def is_overdue(self, now: float) -> bool:
        """Return whether something should have been sent by now."""
        return bool(self.pieces) and self.pieces[0][0] <= now


class Pair:
    """A client's connection and the one to the target that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.connecting = True
        #: Something was lost: nothing may follow it.
        self.torn = False
        #: The reply to what passed will be lost.
        self.doomed = False
        #: The client is gone; the target may still do what it was asked for.
        self.orphaned = False
        self.pipes = (Pipe(client, server, "request"), Pipe(server, client, "reply"))


class Traffic:
    """All connections of a proxy, carried by a thread of its own."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.connections = 0
        self.received: dict[Direction, int] = {"request": 0, "reply": 0}
        self.delivered: dict[Direction, int] = {"request": 0, "reply": 0}
        self.replies_lost = 0
        self.faults = Faults()
        self.pairs: set[Pair] = set()
        #: Called with what was read, and the pipe it was read from.
        self.watchers: list[Callable[[Direction, object, bytes], object]] = []
        self._orders: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        # Never listens: it keeps the port while nobody is accepted.
        self._guard = _bound(0)
        self.address: Address = self._guard.getsockname()
        self._listener: socket.socket | None = None
        self._open = True
        self._selector.register(self._ear, selectors.EVENT_READ)
        self.accept()
        self.thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.thread.start()

    def do(self, order: Callable[[], None]) -> None:
        """Have something done by the thread that owns the sockets, and return when it is."""
        if threading.current_thread() is self.thread:
            order()
            return
        assert self.thread.is_alive(), "the proxy has ended"
        done: Future[None] = Future()
        self._orders.append((order, done))
        self._bell.send(b"!")
        done.result(PATIENCE_SECONDS)

    def close(self) -> None:
        """End it, with all connections."""
        if self.thread.is_alive():
            self.do(self.end)
            self.thread.join()
            # Not by that thread: it may be awake already, and done before the bell is rung.
            self._bell.close()
            self._ear.close()

    # From here on, all is done by that thread.

    def _run(self) -> None:
        while self._open:
            # One time for both: what is due later is not overdue, and the other way round.
            now = time.monotonic()
            for pair in tuple(self.pairs):
                self._listen_to(pair, now)
            for key, events in self._selector.select(self._until_due(now)):
                if key.fileobj is self._ear:
                    self._ear.recv(_CHUNK)
                elif key.fileobj is self._listener:
                    self._welcome()
                elif key.data in self.pairs:
                    self._serve(key.data, key.fileobj, events)
            while self._orders:
                order, done = self._orders.popleft()
                try:
                    order()
                except Exception as error:  # noqa: BLE001 - told to the test that ordered it
                    done.set_exception(error)
                else:
                    done.set_result(None)
            for pair in tuple(self.pairs):
                self._flush(pair)
        self._selector.close()

    def end(self) -> None:
        """End all."""
        self.refuse()
        self.each(self.reset)
        self._selector.unregister(self._ear)
        self._guard.close()
        self._open = False

    def refuse(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Listen, unless it does."""
        if self._listener is None:
            self._listener = _bound(self.address[1])
            self._listener.listen(1024)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def heal(self) -> None:
        """End the black hole."""
        self.faults = dataclasses.replace(self.faults, hole="")
        self.each(lambda pair: self.reset(pair) if pair.torn else None)

    def calm(self) -> None:
        """End all faults."""
        self.heal()
        self.faults = Faults()
        self.accept()

    def each(self, action: Callable[[Pair], None]) -> None:
        """Do something with every pair."""
        for pair in tuple(self.pairs):
            action(pair)

    def _until_due(self, now: float) -> float | None:
        """Return in how many seconds something is due next."""
        if self.faults.hole:
            return None
        dues = [
            pipe.pieces[0][0]
            for pair in self.pairs
            for pipe in pair.pipes
            # What is overdue waits for its sink, which the selector tells of.
            if pipe.pieces and not pair.connecting and not pipe.is_overdue(now)
        ]
        return min(dues) - now if dues else None

    def _listen_to(self, pair: Pair, now: float) -> None:
        """Tell the selector what the pair waits for."""
        request, reply = pair.pipes
        for sock, incoming, outgoing in (
            (pair.client, request, reply),
            (pair.server, reply, request),
        ):
            if sock.fileno() < 0:
                continue
            events = 0
            if not incoming.ended and incoming.held < _HELD_BYTES and not pair.connecting:
                events |= selectors.EVENT_READ
            stuck = outgoing.is_overdue(now) and not self.faults.hole and not pair.torn
            if (sock is pair.server and pair.connecting) or (stuck and not pair.connecting):
                events |= selectors.EVENT_WRITE
            registered = sock in self._selector.get_map()
            if events and registered:
                self._selector.modify(sock, events, pair)
            elif events:
                self._selector.register(sock, events, pair)
            elif registered:
                self._selector.unregister(sock)

    def _welcome(self) -> None:
        assert self._listener is not None
        # Who asked may have gone again.
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            server = socket.socket()
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.connect_ex(self.target)
            self.connections += 1
            self.pairs.add(Pair(client, server))

    def _serve(self, pair: Pair, sock: object, events: int) -> None:
        if pair.connecting:
            if pair.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.reset(pair)
            pair.connecting = False
        elif events & selectors.EVENT_READ:
            pipe = next(pipe for pipe in pair.pipes if pipe.source is sock)
            try:
                data = pipe.source.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                self._broke(pair, pipe)
                return
            self._take(pair, pipe, data)

    def _broke(self, pair: Pair, pipe: Pipe) -> None:
        """One end was reset: so is the other, unless it must not know."""
        if self.faults.hole:
            pair.torn = pipe.ended = True
        else:
            self.reset(pair)

    def _take(self, pair: Pair, pipe: Pipe, data: bytes) -> None:
        self.received[pipe.direction] += len(data)
        if pair.orphaned:
            if not data:
                self.reset(pair)
            return
        if data:
            for watcher in tuple(self.watchers):
                watcher(pipe.direction, pipe, data)
            if pair not in self.pairs:
                return
        if self.faults.hole == "lose" or pair.torn:
            pair.torn = True
            pipe.ended = not data
            return
        if pipe.direction == "request" and data and self.faults.losing:
            self._doom(pair, data)
        elif pipe.direction == "reply" and pair.doomed:
            self._orphan(pair)
            return
        pipe.put(data, self.faults)

    def _doom(self, pair: Pair, data: bytes) -> None:
        if not pair.doomed and (self.faults.when is None or self.faults.when(data)):
            self.faults.losing -= 1
            pair.doomed = True

    def _orphan(self, pair: Pair) -> None:
        """Reset the client; the target still gets all that it was sent, and then the end."""
        self.replies_lost += 1
        pair.orphaned = True
        self._hang_up(pair.client)
        request, reply = pair.pipes
        reply.pieces.clear()
        reply.held = 0
        request.put(b"", Faults())

    def _flush(self, pair: Pair) -> None:
        if self.faults.hole or pair.torn or pair.connecting:
            return
        for pipe in pair.pipes:
            try:
                while pair in self.pairs and pipe.is_overdue(time.monotonic()):
                    self._send(pipe)
                    if self.faults.gap:
                        break
            except BlockingIOError:
                pass
            except OSError:
                self._broke(pair, pipe)
                return
        if all(pipe.finished for pipe in pair.pipes) and pair in self.pairs:
            self._drop(pair)

    def _send(self, pipe: Pipe) -> None:
        due, piece = pipe.pieces[0]
        if not piece:
            pipe.pieces.popleft()
            pipe.finished = True
            pipe.sink.shutdown(socket.SHUT_WR)
            return
        sent = pipe.sink.send(piece)
        pipe.held -= sent
        self.delivered[pipe.direction] += sent
        pipe.pieces.popleft()
        if sent < len(piece):
            pipe.pieces.appendleft((due, piece[sent:]))

    def reset(self, pair: Pair) -> None:
        """Reset both ends of a pair."""
        for sock in (pair.client, pair.server):
            if sock.fileno() >= 0:
                self._hang_up(sock)
        self.pairs.discard(pair)

    def _hang_up(self, sock: socket.socket) -> None:
        """Close a socket with a reset."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close(sock)

    def _drop(self, pair: Pair) -> None:
        self._close(pair.client)
        self._close(pair.server)
        self.pairs.discard(pair)

    def _close(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            sock.close()


def _bound(port: int) -> socket.socket:
    """Return a socket bound to a port, which others of ours may be bound to as well."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, port))
    return sock
