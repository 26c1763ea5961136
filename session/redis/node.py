"""A node of Redis as the client knows it: its links, and since when it is away."""

from __future__ import annotations

from collections import deque
from typing import final

import trio

from pool.breaker import Breaker
from session.redis.address import Place, name_of
from session.redis.commands import Command
from session.redis.link import Link, LinkOwner

_FAILURES: int = 3
_FIRST_REST_SECONDS: float = 0.1
# A refusal that was not repeated for so long is over: of everything for a while, and of
# something that may be asked seldom.
_REFUSAL_SECONDS: float = 1.0
_LASTING_REFUSAL_SECONDS: float = 60.0


@final
class Node:
    """A server that has slots, or had."""

    __slots__ = (
        "breaker",
        "down_since",
        "ear",
        "ear_gone",
        "ear_wanted",
        "gone",
        "is_retired",
        "link",
        "pinged_at",
        "place",
        "reconnects",
        "refusal",
        "refusal_heard_at",
        "refused_at",
        "refusing_since",
        "scope",
        "scope_of_ear",
        "trouble",
        "up_since",
        "waiting",
    )

    def __init__(self, place: Place, now: float, longest_rest: float) -> None:
        #: Its address, as its cluster says it.
        self.place = place
        #: For commands; and for what is published on its channels.
        self.link: Link | None = None
        self.ear: Link | None = None
        #: Set when one of them ends.
        self.gone = trio.Event()
        self.ear_gone = trio.Event()
        self.ear_wanted = trio.Event()
        #: Commands that wait to be sent here.
        self.waiting: deque[Command] = deque()
        #: Since when there is no link, or there is one.
        self.down_since: float | None = now
        self.up_since: float | None = None
        #: Since when it has refused everything for a while, and when last.
        self.refusing_since: float | None = None
        self.refused_at = 0.0
        self.breaker = Breaker(_FAILURES, min(_FIRST_REST_SECONDS, longest_rest), longest_rest)
        #: What it refused lately though it is well, with what a person can do; and when.
        self.refusal = ""
        self.refusal_heard_at = 0.0
        #: Why there is no link, or why it refuses everything for a while.
        self.trouble = ""
        self.reconnects = 0
        #: When it was last asked for no reason but to see whether it answers.
        self.pinged_at = now
        self.is_retired = False
        #: Of the tasks that keep it connected.
        self.scope = trio.CancelScope()
        self.scope_of_ear = trio.CancelScope()

    @property
    def name(self) -> str:
        """Its address, for people."""
        return name_of(self.place)

    def is_away(self, now: float, patience: float) -> bool:
        """Return whether it has not served commands for longer than ``patience``."""
        since = self.down_since if self.link is None else self.refusing_since
        return since is not None and now - since > patience

    def note_refusal(self, now: float, text: str) -> None:
        """It does not serve for a while, as it says."""
        self.refused_at = now
        self.trouble = f"it refuses all commands for now ({text})"
        if self.refusing_since is None:
            self.refusing_since = now

    def note_lasting_refusal(self, now: float, meaning: str) -> None:
        """It serves, but refused something, and will again until a person has acted."""
        self.refusal = meaning
        self.refusal_heard_at = now

    def forget_refusals(self, now: float) -> None:
        """Take those that were not repeated for a while for over."""
        if self.refusing_since is not None and now - self.refused_at > _REFUSAL_SECONDS:
            self.refusing_since = None
            if self.link is not None:
                self.trouble = ""
        if self.refusal and now - self.refusal_heard_at > _LASTING_REFUSAL_SECONDS:
            self.refusal = ""


class NodeOwner(LinkOwner):
    """The client, as its parts know it. Every method returns at once."""

    def came_up(self, node: Node) -> None:
        """A node has a link again, or its first one."""
        raise NotImplementedError

    def slots_changed(self) -> None:
        """Slots may be at other nodes than before, or an ear is there."""
        raise NotImplementedError

    def node_of(self, slot: int) -> Node:
        """Return the node that has a slot."""
        raise NotImplementedError

    def publish(self, channel: bytes, payload: bytes) -> bool:
        """Publish, at most once; return whether it was sent."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Ask who has which slot, soon."""
        raise NotImplementedError
