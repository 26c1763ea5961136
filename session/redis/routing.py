"""The way of a command to the node that has its slot, and what to do when it is refused.

Sent at once when there is room, else held, in a queue that is bounded; redirected,
tried again after a pause, or given up at its deadline. The docstring of
`session.redis.client` says why that is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, final

from pool.connection import Callback
from pool.timers import Timer, Timers
from session.errors import NoReplyError, StoreUnavailableError
from session.redis.commands import (
    INTERNAL,
    PUBLICATION,
    SUBSCRIBE,
    TRACKED,
    UNSUBSCRIBE,
    UNTRACKED,
    Command,
)
from session.redis.connecting import internal
from session.redis.link import Link
from session.redis.members import Members
from session.redis.node import Node
from session.redis.replies import TRANSIENT, UNSETTLED, code_of, refusal_of
from session.redis.settings import Settings
from session.redis.topology import parse_redirect

# Redirections in a row that are followed at once; then there is a pause each time.
_REDIRECTS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
_ENDED: Final = "the client of Redis has ended"


@final
class Routing:
    """All commands of a client that wait to be sent, or to be sent again."""

    def __init__(
        self,
        members: Members,
        settings: Settings,
        timers: Timers[Callback],
        random: Callable[[], float],
    ) -> None:
        self._members = members
        self._settings = settings
        self._timers = timers
        self._random = random
        self.ended = False
        #: Commands that wait for a link or for room on it, and for their next attempt.
        self.waiting = self.waiting_bytes = 0
        self.retrying: dict[Command, Timer[Callback]] = {}
        # Eager commands that wait for a node that went away just now, and until when.
        self._impatient: dict[Command, float] = {}
        self.commands = self.moved = self.asked = self.retries = 0
        self.refused_at_once = self.expired = self.dropped = 0
        self.scripts_reloaded = self.cut = 0

    def submit(self, command: Command, *, eager: bool) -> None:
        """Send a new command, hold it, or refuse it when there is no room or no time."""
        self.commands += 1
        node = self._members.slots[command.slot]
        link = node.link
        if (
            link is not None
            and not node.waiting
            and link.has_place()
            and not (eager and node.refusing_since is not None)
        ):
            link.send(command)
            return
        if self.ended:
            command.fail(StoreUnavailableError(_ENDED))
        elif eager and node.is_away(self._timers.time, self._settings.patience_seconds):
            self.refused_at_once += 1
            command.fail(StoreUnavailableError(_away(node)))
        elif (
            self.waiting >= self._settings.waiting
            or self.waiting_bytes + command.size > self._settings.waiting_bytes
        ):
            self.refused_at_once += 1
            command.fail(
                StoreUnavailableError(
                    f"{self.waiting} commands ({self.waiting_bytes} bytes) wait for Redis "
                    "already; try again later"
                )
            )
        else:
            if eager and node.down_since is not None:
                self._impatient[command] = node.down_since + self._settings.patience_seconds
            self._hold(node, command, at_front=False)
            self.pump(node)

    def _route(self, command: Command) -> None:
        """Send a command again, wherever its slot is now, before those that are younger."""
        if command.done:
            return
        if command.kind == UNTRACKED:
            command.kind = TRACKED
        node = self._members.slots[command.slot]
        if node.link is not None and node.link.has_place():
            node.link.send(command)
        else:
            self._hold(node, command, at_front=True)

    def _hold(self, node: Node, command: Command, *, at_front: bool) -> None:
        self.waiting += 1
        self.waiting_bytes += command.size
        if at_front:
            node.waiting.appendleft(command)
        else:
            node.waiting.append(command)

    def _next(self, node: Node) -> Command:
        command = node.waiting.popleft()
        self.waiting -= 1
        self.waiting_bytes -= command.size
        return command

    def pump(self, node: Node) -> None:
        """Send what waits, as far as there is room. What nobody waits for is dropped."""
        link = node.link
        while node.waiting and link is not None and link.has_place():
            command = self._next(node)
            if not command.done:
                link.send(command)

    def _retry(self, command: Command) -> None:
        """Send a command again after a pause that grows, with jitter."""
        self.retries += 1
        now = self._timers.time
        if now >= command.deadline:
            self._expire(command)
            return
        longest = _FIRST_PAUSE_SECONDS * 2 ** min(command.attempts, 16)
        command.attempts += 1
        pause = self._random() * min(longest, _LONGEST_PAUSE_SECONDS)
        self.retrying[command] = self._timers.arm(
            min(pause, command.deadline - now), partial(self._again, command)
        )

    def _again(self, command: Command) -> None:
        del self.retrying[command]
        command.redirects = 0
        if self._timers.time >= command.deadline:
            self._expire(command)
        else:
            self._route(command)

    def _expire(self, command: Command) -> None:
        if command.done:
            return
        self.expired += 1
        node = self._members.slots[command.slot]
        command.fail(
            NoReplyError(
                f"no reply from Redis within {self._settings.command_seconds:g} s "
                f"({node.name}{': ' + node.trouble if node.trouble else ''}); "
                "the outcome is unknown"
            )
        )

    def refused(self, link: Link, command: Command, text: str) -> None:
        """Follow a redirection, try again later, or hand the error on."""
        code = code_of(text)
        if code in ("MOVED", "ASK"):
            self._redirected(link, command, text)
        elif command.kind == PUBLICATION:
            self.dropped += 1
            if code not in TRANSIENT:
                self._members.note(link.node, text)
        elif code == "NOSCRIPT" and command.script is not None:
            self.scripts_reloaded += 1
            command.packed = command.script.with_source(command.packed)
            command.size = len(command.packed)
            self._route(command)
        elif code in TRANSIENT:
            if isinstance(link.node, Node) and code != "TRYAGAIN":
                link.node.note_refusal(self._timers.time, text)
            if code in UNSETTLED:
                self._members.refresh()
            self._retry(command)
        else:
            self._members.note(link.node, text)
            command.fail(refusal_of(text))

    def _redirected(self, link: Link, command: Command, text: str) -> None:
        assert isinstance(link.node, Node)
        slot, place = parse_redirect(text, link.node.place)
        command.redirects += 1
        if text.startswith("MOVED"):
            self.moved += 1
            self._members.move(slot, place)
            if command.redirects <= _REDIRECTS:
                self._route(command)
                return
        else:
            self.asked += 1
            target = self._members.node_at(place).link
            if command.redirects <= _REDIRECTS and target is not None and target.has_place():
                target.send_asking(command)
                return
        if command.kind == PUBLICATION:
            self.dropped += 1
        else:
            self._retry(command)

    def take_back(self, link: Link, taken: list[Command]) -> None:
        """Send elsewhere, or again, what a lost link did not answer."""
        for command in reversed(taken):
            if command.kind == INTERNAL:
                command.fail(StoreUnavailableError(f"the connection ended: {link.trouble}"))
            elif command.kind == PUBLICATION:
                self.dropped += 1
            elif command.kind not in (SUBSCRIBE, UNSUBSCRIBE):
                if self.ended:
                    command.fail(StoreUnavailableError(_ENDED))
                else:
                    self.retries += 1
                    self._route(command)

    def distribute(self) -> None:
        """Have everything wait where its slot is now."""
        members = self._members
        nodes = (*members.nodes.values(), members.nowhere, *members.retired)
        for node in [node for node in nodes if node.waiting]:
            for _ in range(len(node.waiting)):
                command = self._next(node)
                self._hold(members.slots[command.slot], command, at_front=False)
        for node in members.nodes.values():
            self.pump(node)

    def end(self) -> None:
        """Fail everything that waits; what is asked from now on fails, too."""
        self.ended = True
        members = self._members
        for node in (*members.nodes.values(), members.nowhere, *members.retired):
            while node.waiting:
                self._next(node).fail(StoreUnavailableError(_ENDED))
        while self.retrying:
            command, timer = self.retrying.popitem()
            timer.cancel()
            command.fail(StoreUnavailableError(_ENDED))

    def give_up(self, now: float) -> None:
        """Refuse eager commands whose node did not come back as soon as they hoped."""
        for command, until in list(self._impatient.items()):
            if command.done or command.sent_at:
                del self._impatient[command]
            elif until <= now:
                del self._impatient[command]
                self.refused_at_once += 1
                command.fail(StoreUnavailableError(_away(self._members.slots[command.slot])))

    def look_at(self, node: Node, now: float) -> None:
        """Give up what is late, and cut links that are silent for too long."""
        while node.waiting and (node.waiting[0].done or node.waiting[0].deadline <= now):
            self._expire(self._next(node))
        node.forget_refusals(now)
        for link in (node.link, node.ear):
            if link is None:
                continue
            since = link.silent_since()
            patience = self._settings.reply_seconds
            if link.waits:
                patience += self._settings.wait_seconds
            if since is not None and now - since > patience:
                self.cut += 1
                node.trouble = f"it left commands unanswered for {patience:g} s"
                link.end()
            elif node.link is link:
                for command in link.late(now):
                    self._expire(command)
                if not link.awaiting and now - node.pinged_at > self._settings.reply_seconds:
                    # Else nobody would see that it is frozen until a question waits for it.
                    # TIME costs nothing, and is among the permissions that are needed anyway.
                    node.pinged_at = now
                    link.send(internal(b"TIME"))


def _away(node: Node) -> str:
    why = f": {node.trouble}" if node.trouble else ""
    return f"Redis at {node.name} is away{why}; nothing was done"
