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
        assert selector.poll(0) == []
        theirs.send(b"x")
        [(found, events)] = selector.poll(0)
        assert found == number
        assert events
        assert not events & WRITE
        selector.modify(number, READ | WRITE)
        [(_, events)] = selector.poll(0)
        assert events & WRITE
        assert events != WRITE
        ours.recv(1)
        assert selector.poll(0) == [(number, WRITE)]
        selector.modify(number, READ)
        assert selector.poll(0) == []
        theirs.send(b"x")
        selector.unregister(number)
        assert selector.poll(0) == []
