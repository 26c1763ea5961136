"""Where connections come in: the sockets that listen, and the pause when descriptors run out."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Final, final

from pool.connection import Callback, IsProxy, Listener, ProtocolFactory
from pool.polling import READ, Selector
from pool.timers import Timer, Timers

# Of those who stand at one door, how many come in at once: the next look finds the others.
_ACCEPTS_PER_LOOK: Final = 16
_OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@final
class Doors:
    """All that listens in the process; owned by `pool.connections.Connections`.

    Args:
        admit: takes who has come, from which address, and where.
        pause_seconds: for how long nobody is accepted once descriptors have run out.
    """

    __slots__ = ("_admit", "_listeners", "_pause_seconds", "_retry", "_selector", "_timers", "open")

    def __init__(
        self,
        selector: Selector,
        timers: Timers[Callback],
        admit: Callable[[Listener, socket.socket, str], None],
        pause_seconds: float,
    ) -> None:
        self._selector = selector
        self._timers = timers
        self._admit = admit
        self._pause_seconds = pause_seconds
        # By descriptor.
        self._listeners: dict[int, Listener] = {}
        #: Whether anybody is accepted now.
        self.open = True
        self._retry: Timer[Callback] | None = None

    def add(
        self, sock: socket.socket, factory: ProtocolFactory, refusal: bytes, is_proxy: IsProxy
    ) -> None:
        """Accept from a bound socket."""
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.listen(4096)
        self._listeners[sock.fileno()] = Listener(sock, factory, refusal, is_proxy)
        self._selector.register(sock.fileno(), READ)

    def close(self) -> None:
        """Accept nobody from now on."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for number, listener in self._listeners.items():
            if self.open:
                self._selector.unregister(number)
            listener.sock.close()
        self._listeners.clear()

    def accept(self, number: int) -> None:
        """Let in some of those who stand at the door of this descriptor, if it is one."""
        listener = self._listeners.get(number)
        if listener is not None:
            for sock, peer in self._arrivals(listener):
                self._admit(listener, sock, peer)

    def _arrivals(self, listener: Listener) -> Iterator[tuple[socket.socket, str]]:
        for _ in range(_ACCEPTS_PER_LOOK):
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Anything else (ECONNABORTED ...) is the peer's failure.
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause()
                    return
                continue
            sock.setblocking(False)  # noqa: FBT003 - as above
            yield sock, address[0] if isinstance(address, tuple) else ""

    def _pause(self) -> None:
        if not self.open:
            return
        self.open = False
        for number in self._listeners:
            self._selector.unregister(number)
        self._retry = self._timers.arm(self._pause_seconds, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self.open = True
        for number in self._listeners:
            self._selector.register(number, READ)
