"""One connection to one node, whose server the test is: what is written, reply by reply."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hiredis

from pool.connection import Connection
from pool.connection_settings import Settings
from pool.connections import Connections
from pool.timers import Timers
from session.redis.commands import REPLICATED, Command, pack
from session.redis.link import Link, LinkOwner

WAIT_SECONDS = 0.1
ONE, TWO = [b"WAIT", b"1", b"100"], [b"WAIT", b"2", b"100"]


class Owner(LinkOwner):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.refusals: list[tuple[Command, str]] = []
        self.taken: list[Command] = []
        #: Whether it does that with what is refused.
        self.sends_again = False

    def refused(self, link: Link, command: Command, text: str) -> None:
        self.refusals.append((command, text))
        if self.sends_again:
            link.send(command)

    def has_room(self, link: Link) -> None:
        pass

    def lost(self, link: Link) -> None:
        self.taken = link.taken()


class World:
    """A link, and the server at its other end, in turns that the test takes."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.timers: Timers[Callable[[], None]] = Timers(0.0)
        self.connections = Connections(
            Settings(), self.timers, lambda _, error: self.failures.append(error)
        )
        self.owner = Owner()
        ours, self.server = socket.socketpair()
        self.server.setblocking(False)
        self._reader = hiredis.Reader()
        links: list[Link] = []

        def make(connection: Connection) -> Link:
            bounds = (100, 1 << 20, WAIT_SECONDS)
            links.append(Link(connection, self.connections, self.owner, None, bounds))
            return links[0]

        self.connections.adopt(ours, make, outbox_bytes=1 << 20)
        self.link = links[0]

    def send(self, *commands: Command) -> list[Any]:
        """Send commands in one turn, and return what the server gets."""
        self.connections.in_turn = True
        for command in commands:
            self.link.send(command)
        return self.flush()

    def reply(self, *replies: bytes) -> list[Any]:
        """Take replies in one turn, and return what the server gets."""
        self.connections.in_turn = True
        self.link.data_received(b"".join(reply + b"\r\n" for reply in replies))
        return self.flush()

    def advance(self, now: float) -> list[Any]:
        """Have time pass, and return what the server gets."""
        self.connections.in_turn = True
        for callback in self.timers.due(now):
            callback()
        return self.flush()

    def flush(self) -> list[Any]:
        """End the turn, and return what the server gets."""
        self.connections.flush()
        received: list[Any] = []
        try:
            self._reader.feed(self.server.recv(1 << 16))
        except BlockingIOError:
            return received
        while (command := self._reader.gets()) is not False:
            received.append(command)
        return received


@contextmanager
def open_world() -> Iterator[World]:
    world = World()
    try:
        yield world
    finally:
        world.link.end()
        world.server.close()
        world.connections.selector.close()
    assert world.failures == []


def write(word: bytes, *, replicas: int = 1, deadline: float = 60.0) -> Command:
    """Return a command that counts when replicas have it; the server gets its word."""
    command = Command(REPLICATED, pack((word,)), 0, deadline)
    command.replicas = replicas
    return command


def values(*commands: Command) -> list[Any]:
    """Return what each command came to; `None` while it waits."""
    return [command._value for command in commands]


def test_one_wait_is_in_flight_and_the_next_is_for_all_that_came_meanwhile() -> None:
    with open_world() as world:
        first, second, third, fourth = [write(word) for word in (b"A", b"B", b"C", b"D")]
        assert world.send(first) == [[b"A"], ONE]
        # The server holds the connection for each, so that more of them would stand in line.
        assert world.send(second) == [[b"B"]]
        assert world.send(third) == [[b"C"]]
        assert world.link.waits == 1
        assert world.reply(b"+a", b":1") == [ONE]
        assert values(first, second, third) == [b"a", None, None]
        # What is written behind a WAIT does not count by it.
        assert world.send(fourth) == [[b"D"]]
        assert world.reply(b"+b", b"+c", b":1", b"+d") == [ONE]
        assert values(second, third, fourth) == [b"b", b"c", None]
        assert world.reply(b":1") == []
        assert values(fourth) == [b"d"]
        assert world.link.waits == 0
        assert world.send(write(b"E")) == [[b"E"], ONE]


def test_what_too_few_have_is_asked_for_again_with_what_came_meanwhile() -> None:
    with open_world() as world:
        first, second, third = write(b"A", replicas=2), write(b"B"), write(b"C")
        assert world.send(first) == [[b"A"], TWO]
        assert world.reply(b"+a", b":1") == []
        assert world.send(second) == [[b"B"], ONE]
        assert world.send(third) == [[b"C"]]
        # Its pause is over, and a WAIT is in flight: it is for the next one, too.
        assert world.advance(1.0) == []
        assert world.reply(b"+b", b":0") == [TWO]
        assert values(first, second, third) == [None, None, None]
        assert world.reply(b"+c", b":2") == []
        assert values(first, second, third) == [b"a", None, b"c"]
        assert world.advance(2.0) == [ONE]
        assert world.reply(b":1") == []
        assert values(second) == [b"b"]


def test_an_error_of_a_wait_is_that_of_its_group_only() -> None:
    with open_world() as world:
        first, second = write(b"A"), write(b"B")
        world.send(first)
        assert world.send(second) == [[b"B"]]
        assert world.reply(b"+a", b"-ERR no") == [ONE]
        assert world.owner.refusals == [(first, "ERR no")]
        assert world.reply(b"+b", b":1") == []
        assert values(second) == [b"b"]


def test_what_is_sent_again_needs_a_wait_behind_that() -> None:
    with open_world() as world:
        world.owner.sends_again = True
        command = write(b"A")
        world.send(command)
        assert world.reply(b"-NOSCRIPT no") == [[b"A"]]
        # This one was acknowledged before it was done.
        assert world.reply(b":1") == [ONE]
        assert world.reply(b"+a") == []
        assert values(command) == [None]
        assert world.reply(b":1") == []
        assert values(command) == [b"a"]


def test_what_is_sent_again_while_it_is_gathered_is_asked_for_once() -> None:
    with open_world() as world:
        world.owner.sends_again = True
        first, second = write(b"A"), write(b"B")
        world.send(first)
        world.send(second)
        assert world.reply(b"+a", b":1", b"-NOSCRIPT no") == [[b"B"], ONE]
        assert world.reply(b"+b", b":0") == []
        # Twice it would be refused twice, when its time is over.
        assert world.link._short == [second]
        assert world.advance(1.0) == [ONE]
        assert world.reply(b":1") == []
        assert values(first, second) == [b"a", b"b"]


def test_nobody_is_waited_for_who_has_gone() -> None:
    with open_world() as world:
        first, second = write(b"A"), write(b"B")
        world.send(first)
        world.send(second)
        second.abandon()
        assert world.reply(b"+a", b":1") == []
        assert world.reply(b"+b") == []
        assert values(first) == [b"a"]
        assert world.link.waits == 0


def test_what_is_late_is_refused_and_asked_for_no_more() -> None:
    with open_world() as world:
        command, gone = write(b"A", deadline=0.5), write(b"B")
        world.send(command, gone)
        assert world.reply(b"+a", b"+b", b":0") == []
        gone.abandon()
        assert world.advance(1.0) == []
        assert [each for each, _ in world.owner.refusals] == [command]


def test_a_lost_link_gives_back_what_no_replica_has_oldest_first() -> None:
    with open_world() as world:
        short, gathered, unanswered = write(b"A"), write(b"B"), write(b"C")
        world.send(short)
        world.send(gathered)
        world.send(unanswered)
        # Answered, and not followed by a WAIT yet.
        world.connections.in_turn = True
        world.link.data_received(b"+a\r\n:0\r\n+b\r\n")
        world.link.end()
        assert world.owner.taken == [short, gathered, unanswered]
        # Nor is it followed by one now.
        assert world.flush() == []
    with open_world() as world:
        world.send(short, gathered)
        world.send(unanswered)
        world.reply(b"+a", b"+b")
        world.link.end()
        assert world.owner.taken == [short, gathered, unanswered]
