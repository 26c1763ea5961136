"""Gateways that are forked from a process which has imported the program already.

Importing it takes Python seven tenths of a second of the processor, and the tests start
hundreds of gateways. What runs is the same program with its own arguments, files and
signals, from `gateway.cli.main` on. How it is started by hand is tested where starting
is what is tested; so is all of it with ``TESTED_GATEWAY``, which nobody forks.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from gateway.cli import main

_BYTES: Final = 1 << 20
_PRELOADED: Final = (
    *("gateway.app", "gateway.announcement", "session.redis.audit"),
    *("session.redis.client", "session.redis.credentials", "session.redis.quotas"),
    *("session.redis.receipts", "session.redis.store"),
)


class ForkedProcess:
    """A process that somebody else is the parent of; otherwise as `subprocess.Popen`."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = threading.Event()

    def ended(self, returncode: int) -> None:
        """Take note of its end, as its parent tells."""
        self.returncode = returncode
        self._ended.set()

    def poll(self) -> int | None:
        """Return its status if it has ended."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within ``timeout`` seconds.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("gateway", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            # It may have ended, and be on its way here.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The process that has imported everything, and is the parent of all that it forks."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.live.forked", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
            )
        self._children: dict[int, ForkedProcess] = {}
        self._started: dict[int, int] = {}
        self._changed = threading.Condition()
        self._orders = 0
        self._gone = False
        threading.Thread(target=self._listen, name="forked", daemon=True).start()
        atexit.register(self.end)

    def fork(self, arguments: Sequence[str]) -> ForkedProcess:
        """Start the program with these arguments; its output is one stream of bytes."""
        reading, writing = os.pipe()
        try:
            with self._changed:
                self._orders += 1
                order = self._orders
                words = {
                    "order": order,
                    "arguments": list(arguments),
                    "directory": str(Path.cwd()),
                    "environment": dict(os.environ),
                }
                socket.send_fds(self._channel, [json.dumps(words).encode()], [writing])
                self._changed.wait_for(lambda: order in self._started or self._gone)
                assert not self._gone, "the process that gateways are forked from has ended"
                child = ForkedProcess(self._started.pop(order), os.fdopen(reading, "rb"))
                self._children[child.pid] = child
                self._changed.notify_all()
        finally:
            os.close(writing)
        return child

    def end(self) -> None:
        """End it, with what it forked."""
        for child in self._children.values():
            child.kill()
        # Closing it alone would not tell the other side while a thread listens here.
        self._channel.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._channel.close()

    def _listen(self) -> None:
        while message := self._channel.recv(_BYTES):
            self._take(*json.loads(message))
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _take(self, kind: str, number: int, value: int) -> None:
        with self._changed:
            if kind == "started":
                self._started[number] = value
                self._changed.notify_all()
            else:
                # Who ends at once may not have been heard of yet.
                self._changed.wait_for(lambda: number in self._children)
                self._children.pop(number).ended(value)


_parent: Parent | None = None


def fork_gateway(arguments: Sequence[str]) -> ForkedProcess:
    """Start a gateway with these arguments; its output is one stream of bytes."""
    global _parent  # noqa: PLW0603 - one is enough for all tests, and some start none
    if _parent is None:
        _parent = Parent()
    return _parent.fork(arguments)


def serve(channel: socket.socket) -> None:
    """Fork as told, and tell how each ended, until nobody is there to tell."""
    for name in _PRELOADED:
        importlib.import_module(name)
    waking, woken = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    # Ctrl-C is for who started us, and for those that we started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is woken:
                    woken.recv(_BYTES)
                    _tell_ends(channel)
                    continue
                message, fds, _flags, _address = socket.recv_fds(channel, _BYTES, 1)
                if not message:
                    return
                words = json.loads(message)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for each in (selector, channel, waking, woken):
                        each.close()
                    _become(words, fds[0])
                os.close(fds[0])
                channel.send(json.dumps(("started", words["order"], pid)).encode())


def _tell_ends(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send(json.dumps(("ended", pid, os.waitstatus_to_exitcode(status))).encode())


def _become(words: dict[str, Any], output: int) -> NoReturn:
    """Be the program from here on, with nothing left of what forked it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(words["directory"])
    os.environ.clear()
    os.environ.update(words["environment"])
    sys.argv = ["frontend-router", *words["arguments"]]
    sys.exit(main())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
