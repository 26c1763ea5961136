"""The client of Redis: one server or a cluster, many commands at once on few connections.

Commands are pipelined: what one turn of the sockets asks leaves in one write for each
node. **Every command must be idempotent**: one whose reply was lost with its
connection may have been done, and is sent again, until its deadline. It is sent again,
too, when a node says that it did not do it (it moves, loads, fails over); that is safe
for any command. Commands are done in no order that can be relied on.

It refuses to queue without bound: so many commands are in flight to a node, so many
more wait, and the next one fails at once with `StoreUnavailableError`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, final

import trio

from pool.connection import Callback
from pool.connections import Connections
from pool.promises import Promise
from pool.timers import Timer, Timers
from session.redis.address import Address, Place
from session.redis.commands import (
    CACHING,
    PUBLICATION,
    REPLICATED,
    ROUTED,
    SUBSCRIBE,
    TRACKED,
    UNSUBSCRIBE,
    Argument,
    Command,
    Script,
    Value,
    pack,
)
from session.redis.connecting import Connector
from session.redis.link import Link
from session.redis.members import Members
from session.redis.node import Node, NodeOwner
from session.redis.replies import TRANSIENT, code_of
from session.redis.routing import Routing
from session.redis.settings import Settings
from session.redis.statistics import NodeStatistics, RedisStatistics
from session.redis.subscriptions import Listener, Subscriptions
from session.redis.tls import context_of
from session.redis.topology import key_slot, parse_redirect

# How often deadlines and silence are looked at.
_LOOK_SECONDS: Final = 0.1


def _same(place: Place) -> Place:
    return place


def _chance() -> float:
    return secrets.randbelow(1 << 53) / (1 << 53)


def _ignore(_key: bytes | None) -> None:
    """Remember nothing."""


@final
class RedisClient(NodeOwner):
    """All connections of a process to Redis.

    Args:
        address: where it is.
        settings: times and bounds.
        connections: who serves the sockets; it has to run, too, and gathers what is owed.
        timers: those of ``connections``.
        name: what the connections are called at the servers.
        translate: from an address as the cluster says it to one that we can reach.
        random: a number from 0 to 1, for jitter.

    Raises:
        OSError: a certificate that the address names cannot be read.
    """

    def __init__(  # noqa: PLR0913 - an interface, with its parts
        self,
        address: Address,
        settings: Settings,
        *,
        connections: Connections,
        timers: Timers[Callback],
        name: str,
        translate: Callable[[Place], Place] = _same,
        random: Callable[[], float] = _chance,
    ) -> None:
        self.settings = settings
        self._timers = timers
        self._random = random
        context = context_of(address.tls) if address.tls is not None else None
        connector = Connector(address, settings, connections, name, context)
        self._members = Members(
            address, settings, connector, self, translate=translate, random=random
        )
        self._routing = Routing(self._members, settings, timers, random)
        self._subscriptions = Subscriptions(self, settings)
        #: Told which key of `read_tracked` changed; ``None``: any of them may have.
        self.on_invalidated: Callable[[bytes | None], None] = _ignore
        self._command_seconds = settings.command_seconds
        self._looking: Timer[Callback] | None = None
        connections.gathering.owed = self.owed
        # How many commands there had been when that was called last.
        self._asked = 0
        self._pushes = self._batches = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own all tasks until cancelled. It has started when every slot has a connected node.

        Whatever waits at the end fails with `StoreUnavailableError`.

        Raises:
            StoreUnusableError: Redis cannot be used; the message says what to do.
        """
        self._looking = self._timers.arm(_LOOK_SECONDS, self._look)
        try:
            await self._members.run(task_status=task_status)
        finally:
            self._routing.ended = True
            self._looking.cancel()
            members = self._members
            for node in (*members.nodes.values(), members.nowhere, *members.retired):
                for link in (node.link, node.ear):
                    if link is not None:
                        link.end()
            self._routing.end()

    # -- commands

    def execute(self, *args: Argument, slot: int, eager: bool = False) -> Promise[Any]:
        """Have the node of ``slot`` do an idempotent command; its reply is the promise's.

        ``eager``: fail at once when that node has been away for longer than
        ``patience_seconds``; otherwise it is waited for until ``command_seconds`` are
        over. Cancelling who waits does not undo a command that was sent.

        Raises in whoever awaits it:
            StoreUnavailableError: there is no reply; whether it was done is not known,
                unless it was refused at once. Or the reply is an error.
        """
        command = Command(ROUTED, pack(args), slot, self._timers.time + self._command_seconds)
        self._routing.submit(command, eager=eager)
        return command

    def call(  # noqa: PLR0913 - what there is to say of a script
        self,
        script: Script,
        keys: tuple[Value, ...],
        args: tuple[Value, ...],
        *,
        slot: int = -1,
        eager: bool = False,
        replicas: int = 0,
    ) -> Promise[Any]:
        """Run a script where its keys are, which share a ``slot``; else as `execute`.

        ``replicas``: the reply counts once so many replicas have what the script wrote
        (and everything that the node wrote before); until then it is asked for again.
        """
        if slot < 0:
            first = keys[0]
            # All are of one slot; what is packed together comes behind it.
            assert isinstance(first, bytes)
            slot = key_slot(first)
        command = Command(
            REPLICATED if replicas else ROUTED,
            script.packed(keys, args),
            slot,
            self._timers.time + self._command_seconds,
        )
        command.script = script
        command.replicas = replicas
        self._routing.submit(command, eager=eager)
        return command

    def read_tracked(self, key: bytes, *, eager: bool = False) -> Promise[bytes | None]:
        """Get a string that may be remembered until `on_invalidated` is told of it.

        ``eager`` is as for `execute`.

        Remember it in the step that awaits this: in a task other than that of the
        sockets it may be out of date before that task runs.
        """
        packed = CACHING + pack((b"GET", key))
        deadline = self._timers.time + self._command_seconds
        command = Command(TRACKED, packed, key_slot(key), deadline)
        command.reply = key
        self._routing.submit(command, eager=eager)
        return command

    def publish(self, channel: bytes, payload: bytes) -> bool:
        """Publish on a sharded channel, at most once; return whether it was sent.

        What cannot be sent now, or is refused, is dropped and counted.
        """
        slot = key_slot(channel)
        link = self._members.slots[slot].link
        if link is None or not link.has_place():
            self._routing.dropped += 1
            return False
        packed = pack((b"SPUBLISH", channel, payload))
        link.send(Command(PUBLICATION, packed, slot, self._timers.time))
        return True

    def subscribe(self, channel: bytes, listener: Listener) -> None:
        """Listen to a sharded channel from as soon as its node is there; at most once.

        Raises:
            ValueError: it is listened to already.
        """
        self._subscriptions.add(channel, key_slot(channel), listener, self._timers.time)

    def unsubscribe(self, channel: bytes) -> None:
        """Listen no more. A channel that is not listened to is ignored."""
        self._subscriptions.remove(channel, self._timers.time)

    def owed(self) -> int:
        """Return how many replies are still awaited of what was asked when this was called last."""
        count = 0
        for node in self._members.nodes.values():
            if node.link is not None:
                count += len(node.link.awaiting)
        asked = self._routing.commands
        count -= asked - self._asked
        self._asked = asked
        return count

    def is_usable(self) -> bool:
        """Return whether every slot has a connected node that serves it."""
        now = self._timers.time
        nodes = self._members.nodes.values()
        return self._members.nowhere not in self._members.slots and not any(
            node.link is None or node.is_away(now, self.settings.patience_seconds) for node in nodes
        )

    def statistics(self) -> RedisStatistics:
        """Return the numbers now."""
        members, subscriptions, routing = self._members, self._subscriptions, self._routing
        now, patience = self._timers.time, self.settings.patience_seconds
        nodes = tuple(_describe(node, now, patience) for node in members.nodes.values())
        return RedisStatistics(
            commands=routing.commands,
            batches=self._batches
            + sum(node.link.writes for node in members.nodes.values() if node.link is not None),
            moved=routing.moved,
            asked=routing.asked,
            retries=routing.retries,
            reconnects=members.reconnects,
            refreshes=members.refreshes,
            in_flight=sum(node.in_flight for node in nodes),
            waiting=routing.waiting,
            waiting_bytes=routing.waiting_bytes,
            retrying=len(routing.retrying),
            refused=routing.refused_at_once,
            expired=routing.expired,
            dropped=routing.dropped,
            pushes=self._pushes,
            messages=subscriptions.messages,
            subscriptions=len(subscriptions),
            subscribed=subscriptions.live,
            probes=subscriptions.probes,
            probes_lost=subscriptions.probes_lost,
            scripts_reloaded=routing.scripts_reloaded,
            cut=routing.cut,
            trouble=members.trouble(),
            nodes=nodes,
        )

    # -- what links tell

    def refused(self, link: Link, command: Command, text: str) -> None:
        """Follow a redirection, try again later, or hand the error on."""
        if command.kind in (SUBSCRIBE, UNSUBSCRIBE):
            self._subscription_refused(link, command, text)
        else:
            self._routing.refused(link, command, text)

    def _subscription_refused(self, link: Link, command: Command, text: str) -> None:
        if command.kind == UNSUBSCRIBE:
            return
        if text.startswith("MOVED") and isinstance(link.node, Node):
            self._members.move(*parse_redirect(text, link.node.place))
        else:
            self._members.refresh()
            if code_of(text) not in TRANSIENT:
                self._members.note(link.node, text)
        pause = self._subscriptions.refused(link, command.reply)
        if pause is not None:
            self._timers.arm(pause * (0.5 + self._random() / 2), self._place_subscriptions)

    def _place_subscriptions(self) -> None:
        self._subscriptions.place_all(self._timers.time)

    def pushed(self, link: Link, push: list[Any]) -> None:
        """Hand on what a node says unasked."""
        self._pushes += 1
        kind, now = push[0], self._timers.time
        if kind == b"smessage":
            self._subscriptions.heard(link, push[1], push[2], now)
        elif kind == b"invalidate":
            for key in push[1] or (None,):
                self.on_invalidated(key)
        elif kind == b"ssubscribe":
            self._subscriptions.confirmed(link, push[1], now)
        elif kind == b"sunsubscribe":
            self._subscriptions.dropped(link, push[1], now)

    def has_room(self, link: Link) -> None:
        """Send what waited for replies."""
        if isinstance(link.node, Node) and link.node.waiting:
            self._routing.pump(link.node)

    def lost(self, link: Link) -> None:
        """Send elsewhere, or again, what was not answered."""
        node = link.node
        since = link.silent_since()
        taken = link.taken()
        self._batches += link.writes
        if isinstance(node, Node):
            now = self._timers.time
            if node.link is link:
                node.link, node.up_since = None, None
                node.down_since = since if since is not None else now
                node.gone.set()
                self._members.refresh()
                self.on_invalidated(None)
            elif node.ear is link:
                node.ear = None
                node.ear_gone.set()
                self._members.refresh()
                self._subscriptions.lost(link)
        self._routing.take_back(link, taken)

    def came_up(self, node: Node) -> None:
        """Send what waited for a node."""
        self._routing.pump(node)

    def slots_changed(self) -> None:
        """Have everything wait where it is served."""
        self._routing.distribute()
        self._place_subscriptions()

    # -- what subscriptions ask

    def node_of(self, slot: int) -> Node:
        """Return the node that has a slot."""
        return self._members.slots[slot]

    def refresh(self) -> None:
        """Ask who has which slot, soon."""
        self._members.refresh()

    # -- time

    def _look(self) -> None:
        """Look at all deadlines, and at all links, for all commands together."""
        now = self._timers.time
        self._looking = self._timers.arm(_LOOK_SECONDS, self._look)
        members = self._members
        for node in (*members.nodes.values(), members.nowhere, *members.retired):
            self._routing.look_at(node, now)
        self._routing.give_up(now)
        for node in list(members.retired):
            if node.link is not None and not node.link.awaiting:
                node.link.end()
            if node.link is None:
                members.retired.remove(node)
        self._subscriptions.look(now)


def _describe(node: Node, now: float, patience: float) -> NodeStatistics:
    return NodeStatistics(
        name=node.name,
        up_since=node.up_since,
        down_since=node.down_since,
        in_flight=len(node.link.awaiting) if node.link is not None else 0,
        waiting=len(node.waiting),
        reconnects=max(0, node.reconnects - 1),
        is_away=node.is_away(now, patience),
        trouble=node.trouble or node.refusal,
        refusal=node.refusal,
    )
