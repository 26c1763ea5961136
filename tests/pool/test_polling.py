"""Both selectors, where the system has both, say the same."""

from __future__ import annotations

import socket

import pytest

from pool import polling
from pool.polling import READ, WRITE, Selector


@pytest.fixture(params=[polling._Anywhere, polling.open_selector])
def selector(request: pytest.FixtureRequest) -> Selector:
    made: Selector = request.param()
    request.addfinalizer(made.close)
    return made


def test_readable_and_writable_are_told_apart(selector: Selector) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = ours.fileno()
        selector.register(number, READ)
        assert selector.poll(0, 10) == []
        theirs.send(b"x")
        [(found, events)] = selector.poll(0, 10)
        assert found == number
        assert events
        assert not events & WRITE
        selector.modify(number, READ | WRITE)
        [(_, events)] = selector.poll(0, 10)
        assert events & WRITE
        assert events != WRITE
        ours.recv(1)
        assert selector.poll(0, 10) == [(number, WRITE)]
        selector.modify(number, READ)
        assert selector.poll(0, 10) == []
        theirs.send(b"x")
        selector.unregister(number)
        assert selector.poll(0, 10) == []


def test_who_is_left_out_comes_next(selector: Selector) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    for ours, theirs in pairs:
        selector.register(ours.fileno(), READ)
        theirs.send(b"x")
    seen: set[int] = set()
    for _ in range(3):
        ready = selector.poll(0, 2)
        assert len(ready) <= 2
        seen.update(number for number, _ in ready)
    assert seen == {ours.fileno() for ours, _ in pairs}
    for pair in pairs:
        for sock in pair:
            sock.close()
