"""Channels that are listened to, wherever their slots are.

Each is subscribed to on a link of its own kind (the ear) to the node that has its
slot, and again whenever that changes: the slot moves, the link is lost, or nothing is
heard. Delivery is at most once; a listener is told when it may have missed something.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol, final

from session.redis.commands import SUBSCRIBE, UNSUBSCRIBE, Command, pack
from session.redis.link import Link
from session.redis.node import NodeOwner
from session.redis.settings import Settings

#: How what is published to oneself begins; no client of ours hands that on.
PROBE: Final = b"\x00frontend-router probe "


class Listener(Protocol):
    """Who listens to a channel. Every method returns at once and raises nothing."""

    def message(self, channel: bytes, payload: bytes, /) -> None:
        """Something was published; at most once."""

    def subscribed(self, channel: bytes, /) -> None:
        """It can be heard from now on, for the first time or again."""

    def unsubscribed(self, channel: bytes, /) -> None:
        """Nothing is heard from now on, until `subscribed`."""


@final
class _Subscription:
    __slots__ = ("attempts", "channel", "heard_at", "link", "listener", "live", "probed_at", "slot")

    def __init__(self, channel: bytes, slot: int, listener: Listener) -> None:
        self.channel = channel
        self.slot = slot
        self.listener = listener
        #: Where it was subscribed to, and whether the node confirmed it.
        self.link: Link | None = None
        self.live = False
        self.heard_at = 0.0
        self.probed_at: float | None = None
        #: Refused so often in a row.
        self.attempts = 0


@final
class Subscriptions:
    """All channels of a client."""

    def __init__(self, owner: NodeOwner, settings: Settings) -> None:
        self._owner = owner
        self._settings = settings
        self._by_channel: dict[bytes, _Subscription] = {}
        self._probe = PROBE + secrets.token_hex(8).encode()
        self.messages = self.probes = self.probes_lost = 0

    def __len__(self) -> int:
        return len(self._by_channel)

    @property
    def live(self) -> int:
        """How many are heard now."""
        return sum(each.live for each in self._by_channel.values())

    def add(self, channel: bytes, slot: int, listener: Listener, now: float) -> None:
        """Listen to a channel, from as soon as its node is there.

        Raises:
            ValueError: it is listened to already.
        """
        if channel in self._by_channel:
            raise ValueError(f"there is a listener for channel {channel!r} already")
        subscription = self._by_channel[channel] = _Subscription(channel, slot, listener)
        self._place(subscription, now)

    def remove(self, channel: bytes, now: float) -> None:
        """Listen no more; what was on its way is not heard. Unknown ones are ignored."""
        subscription = self._by_channel.pop(channel, None)
        if subscription is not None:
            _withdraw(subscription, now)

    def place_all(self, now: float) -> None:
        """Subscribe to what is not where its slot is: a link came, or slots moved."""
        for subscription in list(self._by_channel.values()):
            node = self._owner.node_of(subscription.slot)
            if subscription.link is None or subscription.link is not node.ear:
                if subscription.link is not None and node.ear is not None:
                    _withdraw(subscription, now)
                    self._silence(subscription)
                self._place(subscription, now)

    def confirmed(self, link: Link, channel: bytes, now: float) -> None:
        """The node says that it is subscribed to."""
        subscription = self._by_channel.get(channel)
        if subscription is not None and subscription.link is link and not subscription.live:
            subscription.live = True
            subscription.heard_at = now
            subscription.probed_at = None
            subscription.attempts = 0
            subscription.listener.subscribed(channel)

    def refused(self, link: Link, channel: bytes) -> float | None:
        """The node does not take it; return in how many seconds to `place_all` again."""
        subscription = self._by_channel.get(channel)
        if subscription is None or subscription.link is not link:
            return None
        self._silence(subscription)
        subscription.attempts += 1
        return min(1.0, 0.01 * float(1 << min(subscription.attempts, 10)))

    def dropped(self, link: Link, channel: bytes, now: float) -> None:
        """The node says that it is no longer subscribed to: its slot has moved."""
        subscription = self._by_channel.get(channel)
        if subscription is not None and subscription.link is link:
            self._silence(subscription)
            self._owner.refresh()
            self._place(subscription, now)

    def lost(self, link: Link) -> None:
        """A link is gone, with all that was subscribed to on it."""
        for subscription in list(self._by_channel.values()):
            if subscription.link is link:
                self._silence(subscription)

    def heard(self, link: Link, channel: bytes, payload: bytes, now: float) -> None:
        """Hand on what was published."""
        subscription = self._by_channel.get(channel)
        if subscription is None or subscription.link is not link or not subscription.live:
            return
        subscription.heard_at = now
        subscription.probed_at = None
        if payload.startswith(PROBE):
            return
        self.messages += 1
        subscription.listener.message(channel, payload)

    def look(self, now: float) -> None:
        """Probe what has been silent, and cut the links where a probe was not heard."""
        reply_seconds, probe_seconds = self._settings.reply_seconds, self._settings.probe_seconds
        for subscription in list(self._by_channel.values()):
            if not subscription.live:
                continue
            if subscription.probed_at is not None:
                if now - subscription.probed_at > reply_seconds and subscription.link is not None:
                    self.probes_lost += 1
                    self._owner.refresh()
                    subscription.link.end()
            elif now - subscription.heard_at > probe_seconds and self._owner.publish(
                subscription.channel, self._probe
            ):
                self.probes += 1
                subscription.probed_at = now

    def _place(self, subscription: _Subscription, now: float) -> None:
        node = self._owner.node_of(subscription.slot)
        node.ear_wanted.set()
        if node.ear is None:
            return
        subscription.link = node.ear
        node.ear.send(_packed(SUBSCRIBE, b"SSUBSCRIBE", subscription.channel, now))

    def _silence(self, subscription: _Subscription) -> None:
        subscription.link = None
        subscription.probed_at = None
        if subscription.live:
            subscription.live = False
            subscription.listener.unsubscribed(subscription.channel)


def _withdraw(subscription: _Subscription, now: float) -> None:
    link = subscription.link
    if link is not None and link.is_open:
        link.send(_packed(UNSUBSCRIBE, b"SUNSUBSCRIBE", subscription.channel, now))


def _packed(kind: int, word: bytes, channel: bytes, now: float) -> Command:
    command = Command(kind, pack((word, channel)), -1, now)
    command.reply = channel
    return command
