"""One connection to one node: commands go out, replies come back in the same order.

A protocol object of `pool.connections`. Whose reply it is says its position alone, so
a command that nobody waits for any more keeps its place, and its reply is dropped.
It decides nothing: errors, pushes and its own end go to its owner.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import Any, Final, final

import hiredis

from pool.connection import Callback, Connection
from pool.connections import Connections
from pool.timers import Timer, Timers
from session.redis.commands import (
    ASKING,
    CACHING,
    INTERNAL,
    PUBLICATION,
    REPLICATED,
    ROUTED,
    SKIP,
    SKIPPED,
    SUBSCRIBE,
    TRACKED,
    UNSUBSCRIBE,
    UNTRACKED,
    WAIT,
    Command,
    Wait,
)
from session.redis.replies import error_of

_NOTHING: Final = object()
# What is final costs compiled code no look-up.
_PUSHED: Final = hiredis.PushNotification
_REFUSED: Final = hiredis.ReplyError


class LinkOwner:
    """Who decides what a link only tells."""

    def refused(self, link: Link, command: Command, text: str) -> None:
        """The reply to ``command`` is an error."""
        raise NotImplementedError

    def pushed(self, link: Link, push: list[Any]) -> None:
        """The node says something that is no reply."""
        raise NotImplementedError

    def has_room(self, link: Link) -> None:
        """Replies came: more commands may be sent."""
        raise NotImplementedError

    def lost(self, link: Link) -> None:
        """The connection is gone; `Link.taken` has what was not answered."""
        raise NotImplementedError


@final
class Link:
    """One connection to one node. Nothing here waits."""

    __slots__ = (
        "_bytes",
        "_connection",
        "_connections",
        "_gets",
        "_in_flight",
        "_in_flight_bytes",
        "_owner",
        "_reader",
        "_replicating",
        "_short",
        "_short_timer",
        "_timers",
        "_wait_seconds",
        "awaiting",
        "is_open",
        "node",
        "tls",
        "trouble",
        "waits",
        "writes",
    )

    def __init__(
        self,
        connection: Connection,
        connections: Connections,
        owner: LinkOwner,
        node: object,
        bounds: tuple[int, int, float],
    ) -> None:
        self._connection = connection
        self._connections = connections
        self._timers: Timers[Callback] = connections.timers
        self._owner = owner
        #: Whoever it leads to; the owner knows.
        self.node = node
        self._in_flight, self._in_flight_bytes, self._wait_seconds = bounds
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._gets = self._reader.gets
        #: Sent and not answered, oldest first.
        self.awaiting: deque[Command] = deque()
        self._bytes = 0
        self.is_open = True
        #: Set before the first byte, when the connection is encrypted.
        self.tls: Any = None
        #: Why it ended, when we know.
        self.trouble: Exception | None = None
        # To be followed by a WAIT, in this write or after the one in flight; acknowledged by
        # too few.
        self._replicating: list[Command] = []
        self._short: list[Command] = []
        self._short_timer: Timer[Callback] | None = None
        #: WAITs in flight: one at most, as the server holds the connection for each, and may
        #: take its time.
        self.waits = 0
        #: Writes begun, each with all commands of a turn.
        self.writes = 0

    # -- out

    def has_place(self) -> bool:
        """Return whether one more command may be sent now."""
        return len(self.awaiting) < self._in_flight and self._bytes < self._in_flight_bytes

    def send(self, command: Command) -> None:
        """Send a command, with everything else that this turn writes."""
        kind = command.kind
        if kind == TRACKED:
            self.awaiting.append(SKIP)
        command.sent_at = self._timers.time
        self._bytes += command.size
        self.awaiting.append(command)
        if self.tls is None:
            if not self._connection.outbox_bytes:
                self.writes += 1
            self._connection.write(command.packed)
        else:
            self.tls.write(command.packed)
        if kind == REPLICATED:
            self._replicate(command)

    def send_asking(self, command: Command) -> None:
        """Send a command to the node that its slot is moving to."""
        self.awaiting.append(SKIP)
        kind = command.kind
        packed = command.packed
        if kind == TRACKED:
            # ASKING and CACHING are for the next command only: there is no having both.
            command.kind = ROUTED
            command.packed = packed[len(CACHING) :]
        command.packed = ASKING + command.packed
        self.send(command)
        command.kind = UNTRACKED if kind == TRACKED else kind
        command.packed = packed

    def end(self, trouble: Exception | None = None) -> None:
        """End it at once; what was not answered is for the owner."""
        if self.trouble is None:
            self.trouble = trouble
        self._connection.abort()

    def silent_since(self) -> float | None:
        """Return when the oldest command was sent that is not answered."""
        for command in self.awaiting:
            if command.kind != SKIPPED:
                return command.sent_at
        return None

    def late(self, now: float) -> list[Command]:
        """Return the oldest commands that are past their deadlines; they keep their places.

        Nobody waits for a publication, which may still be redirected.
        """
        found: list[Command] = []
        for command in self.awaiting:
            if command.deadline > now:
                break
            if not command.done and command.kind not in (SKIPPED, INTERNAL, WAIT, PUBLICATION):
                found.append(command)
        return found

    def taken(self) -> list[Command]:
        """Return what was not answered, oldest first, once it is lost."""
        answered = (*self._short, *self._replicating)
        found = [each for each in answered if each.link is self]
        for command in self.awaiting:
            if isinstance(command, Wait):
                found.extend(each for each in command.group if each.link is self)
            elif command is not SKIP:
                found.append(command)
        self.awaiting = deque()
        self._replicating = []
        self._short = []
        # In a group, and itself not answered: once is enough.
        return [each for each in dict.fromkeys(found) if not each.done]

    # -- in

    def data_received(self, data: bytes) -> None:
        """Take what the node sent."""
        try:
            if self.tls is not None:
                data = self.tls.received(data)
                if not data:
                    return
            self._reader.feed(data)
            self._take_replies()
        except (hiredis.ProtocolError, ssl.SSLError) as error:
            self.end(error)
            return
        if self.is_open:
            self._owner.has_room(self)

    def _take_replies(self) -> None:
        awaiting = self.awaiting
        gets = self._gets
        while True:
            reply = gets()
            if reply is _NOTHING:
                return
            if type(reply) is _PUSHED:
                self._take_push(reply)
                continue
            if not awaiting:
                # Ended by whoever heard a reply; or the node speaks unasked.
                if self.is_open:
                    self.end(hiredis.ProtocolError(f"it says {str(reply)[:200]} unasked"))
                return
            command = awaiting.popleft()
            self._bytes -= command.size
            if isinstance(reply, _REFUSED):
                self._take_error(command, str(reply))
            elif command.kind == ROUTED:
                command.set(reply)
            else:
                self._take_reply(command, reply)
            if not self.is_open:
                return

    def _take_reply(self, command: Command, reply: Any) -> None:
        kind = command.kind
        if kind == WAIT:
            self._count(command, reply)
        elif kind == REPLICATED:
            command.reply = reply
            command.link = self
        elif kind != SKIPPED:
            command.set(reply)
            if kind == UNTRACKED:
                # Whoever remembers it would not hear of changes.
                self._owner.pushed(self, [b"invalidate", [command.reply]])

    def _take_error(self, command: Command, text: str) -> None:
        if command.kind == INTERNAL:
            command.fail(error_of(text))
        elif isinstance(command, Wait):
            self.waits -= 1
            for each in command.group:
                if each.link is self and not each.done:
                    self._owner.refused(self, each, text)
            self._wait_for_the_rest()
        elif command.kind != SKIPPED:
            self._owner.refused(self, command, text)

    def _take_push(self, push: list[Any]) -> None:
        kind = push[0]
        # On the link of the subscriptions nothing else is ever awaited.
        if self.awaiting and kind in (b"ssubscribe", b"sunsubscribe"):
            command = self.awaiting[0]
            wanted = SUBSCRIBE if kind == b"ssubscribe" else UNSUBSCRIBE
            # A channel may also be lost unasked, when its slot moves.
            if command.kind == wanted and command.reply == push[1]:
                self.awaiting.popleft()
                self._bytes -= command.size
                command.set(None)
                if wanted == UNSUBSCRIBE:
                    return
        self._owner.pushed(self, push)

    def eof_received(self) -> bool:
        """The node is gone: nothing will be answered."""
        self.end()
        return False

    def drained(self) -> None:
        """Nothing waits for that."""

    def connection_lost(self) -> None:
        """Tell the owner, once."""
        self.is_open = False
        if self._short_timer is not None:
            self._short_timer.cancel()
            self._short_timer = None
        self._owner.lost(self)
        self.tls = None

    # -- replicas

    def _replicate(self, command: Command) -> None:
        command.link = None
        self._replicating.append(command)
        if len(self._replicating) == 1:
            self._wait_for_the_rest()

    def _wait_for_the_rest(self) -> None:
        """Have one WAIT follow all that was written, or gather more while one is in flight.

        A server holds the connection for each of them: one a write would stand in line for
        longer than it takes until the next write, when a replica is away.
        """
        if self._replicating and not self.waits:
            self._connections.before_flush(self._wait_for_replicas)

    def _wait_for_replicas(self) -> None:
        if self.waits or not self.is_open:
            return
        # One that was refused meanwhile and sent again stands there twice, and needs it once.
        group = [each for each in dict.fromkeys(self._replicating) if not each.done]
        self._replicating = []
        if group:
            self.waits += 1
            self.send(Wait(group, max(each.replicas for each in group), self._wait_seconds))

    def _count(self, wait: Command, acknowledged: int) -> None:
        """Settle what enough replicas have; ask again, later, for the rest."""
        assert isinstance(wait, Wait)
        self.waits -= 1
        for command in wait.group:
            # One that was sent elsewhere meanwhile has nothing to do with this.
            if command.done or command.link is not self:
                continue
            if acknowledged >= command.replicas:
                command.link = None
                command.set(command.reply)
            else:
                self._short.append(command)
        if self._short and self._short_timer is None and self.is_open:
            self._short_timer = self._timers.arm(self._wait_seconds, self._wait_again)
        self._wait_for_the_rest()

    def _wait_again(self) -> None:
        self._short_timer = None
        short, self._short = self._short, []
        now = self._timers.time
        for command in short:
            if command.done:
                continue
            if command.deadline <= now:
                self._owner.refused(self, command, "NOREPLICAS too few acknowledged it in time")
            else:
                self._replicating.append(command)
        self._wait_for_the_rest()
