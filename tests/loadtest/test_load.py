"""The loop: what a slow socket does not take, and what a window forgets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from loadtest.load import Load, opened_load

MOMENT = 0.01
# More than any socket buffer holds.
MUCH = b"x" * (8 * 1024 * 1024)


class Silent:
    """A peer that keeps what it gets."""

    def __init__(self, load: Load, sock: socket.socket, owed: int = 0) -> None:
        self.sock = sock
        self.got = b""
        self._load = load
        self._owed = owed

    def ready(self) -> None:
        self.got += self._load.receive(self.sock) or b""

    def owed(self) -> int:
        return self._owed

    def gone(self, why: bytes) -> bool:
        self._owed = 0
        return True


@pytest.fixture
def load() -> Iterator[Load]:
    with opened_load() as load:
        yield load


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_what_a_socket_does_not_take_leaves_later_and_in_order(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    peer = Silent(load, pair[0])
    load.add(peer)
    load.send(pair[0], MUCH)
    load.send(pair[0], b"end")
    received = b""
    while len(received) < len(MUCH) + 3:
        received += pair[1].recv(1 << 20)
        load.run(MOMENT / 100)
    assert received == MUCH + b"end"
    # Writing over, reading goes on.
    pair[1].sendall(b"hello")
    load.run(MOMENT)
    assert peer.got == b"hello"


def test_a_peer_that_is_gone_is_refused_once_and_owes_nothing(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    load.add(Silent(load, pair[0], owed=1))
    pair[1].close()
    load.send(pair[0], b"x")
    load.run(MOMENT)
    load.drain()
    assert (load.tally.refused, load.tally.lost) == (1, 0)


def test_a_window_forgets_what_was_counted_but_no_failure(load: Load) -> None:
    load.tally.answered = load.tally.frames = load.tally.streamed = load.tally.crossed = 2
    load.tally.seconds.append(0.1)
    load.open_window()
    assert (load.tally.answered, load.tally.frames, load.tally.streamed) == (0, 0, 0)
    assert load.tally.seconds == []
    assert load.tally.failures == 2


def test_a_run_takes_its_time_and_tells_its_share_of_a_core(load: Load) -> None:
    assert 0.02 <= load.run(0.02) < 5
    assert 0 <= load.cpu_share <= 1.5


def test_tokens_have_one_length_and_are_used_once(load: Load) -> None:
    tokens = [load.token() for _ in range(100)]
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {13}
