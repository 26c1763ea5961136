"""Peers that come in crowds and are slow: a program, so that it takes no time of a test's own.

``python -m tests.live.crowd PORT COUNT ADDRESSES SECONDS [upgrade]`` opens COUNT connections
from so many addresses of the loopback network and sends a byte a second on each, of a request
that never ends; with ``upgrade`` each is a WebSocket that never says who it is. Who is closed
comes back at once. It prints ``there`` when so many have come, stays for so many seconds and
until its input ends, and prints its counts at the end.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from typing import Final, final

from tests.live.peer import host, upgrade_request

_STEP_SECONDS: Final = 0.05
# Not all in one step: the crowd's own connecting must not be what is measured.
_NEW_IN_A_STEP: Final = 100


@final
class Crowd:
    """The connections and what became of them."""

    def __init__(self, port: int, count: int, addresses: int, *, upgrade: bool) -> None:
        self._port = port
        self._count = count
        self._addresses = addresses
        self._upgrade = upgrade
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._sent: dict[int, int] = {}
        self._slots: list[list[int]] = [[] for _ in range(round(1 / _STEP_SECONDS))]
        head = b"GET /ws HTTP/1.1\r\n" + host(port)
        self._trickle = head + b"X-Slow: " + b"a" * 4096
        self.came = self.closed = self.answered = 0
        self._is_wanted = True

    def run(self, seconds: float) -> None:
        """Be there for so long, and for as long as somebody wants it."""
        end = time.monotonic() + seconds
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        step = 0
        said = False
        while self._is_wanted or time.monotonic() < end:
            due = time.monotonic() + _STEP_SECONDS
            for _ in range(min(_NEW_IN_A_STEP, self._count - len(self._open))):
                self._come(step)
            if not said and self.came >= self._count:
                said = True
                print("there", flush=True)
            if not self._upgrade:
                self._say_a_byte(step)
            while (left := due - time.monotonic()) > 0:
                for number, _ in self._poll.poll(left):
                    self._hear(number)
            step += 1
        print(
            json.dumps({"came": self.came, "closed": self.closed, "answered": self.answered}),
            flush=True,
        )

    def _come(self, step: int) -> None:
        sock = socket.socket()
        self.came += 1
        sock.bind((f"127.0.1.{1 + self.came % self._addresses}", 0))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", self._port))
        number = sock.fileno()
        self._open[number] = sock
        self._sent[number] = 0
        self._poll.register(number, select.EPOLLIN)
        self._slots[step % len(self._slots)].append(number)
        if self._upgrade:
            with contextlib.suppress(OSError):
                sock.send(upgrade_request(self._port))

    def _say_a_byte(self, step: int) -> None:
        slot = step % len(self._slots)
        numbers, self._slots[slot] = self._slots[slot], []
        for number in numbers:
            sock = self._open.get(number)
            if sock is None:
                continue
            at = self._sent[number]
            with contextlib.suppress(OSError):
                self._sent[number] += sock.send(self._trickle[at : at + 1])
            self._slots[slot].append(number)

    def _hear(self, number: int) -> None:
        if number == sys.stdin.fileno():
            self._is_wanted = False
            self._poll.unregister(number)
            return
        sock = self._open.get(number)
        if sock is None:
            return
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if data:
            self.answered += 1
            return
        self.closed += 1
        self._poll.unregister(number)
        del self._open[number], self._sent[number]
        sock.close()


def main() -> None:
    """Do as the command line says."""
    port, count, addresses, seconds = map(int, sys.argv[1:5])
    Crowd(port, count, addresses, upgrade="upgrade" in sys.argv[5:]).run(seconds)


if __name__ == "__main__":
    main()
