"""Who is connected, here and at other instances, and how they are told something.

What people are asked is the router's; what they are only told is stored nowhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, cast, final

from gateway.presence_news import PresenceNews
from session.errors import StoreUnavailableError
from session.model import EVERYONE, Audience, Presence, Principal

if TYPE_CHECKING:
    from gateway.audit import Audit
    from gateway.hub import Frontend, Hub
    from gateway.ids import Ids
    from gateway.offers import Notification, Recipient
    from session import Bus, Store

_GOODBYES: Final = 20_000


@final
class People:
    """The frontends of all instances, as far as this one can tell."""

    __slots__ = (
        "_audit",
        "_bus",
        "_clock",
        "_connected",
        "_hub",
        "_ids",
        "_instance",
        "_store",
        "goodbyes",
        "news",
        "unsaid",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the router
        self,
        store: Store,
        bus: Bus,
        hub: Hub,
        ids: Ids,
        clock: Callable[[], float],
        instance: str,
        audit: Audit | None = None,
    ) -> None:
        self._audit = audit
        self._store = store
        self._bus = bus
        self._hub = hub
        self._ids = ids
        self._clock = clock
        self._instance = instance
        # Those of here, by what the store knows them by.
        self._connected: dict[tuple[str, str], Recipient] = {}
        #: Who wants to hear that people came or went.
        self.news = PresenceNews(bus.presence if store.shared else None)
        #: Those of here that the store may not know of, and those that have gone and that it
        #: may still know; beyond so many, it forgets them with the instance.
        self.unsaid: dict[Recipient, None] = {}
        self.goodbyes: deque[Presence] = deque(maxlen=_GOODBYES)

    def forgotten(self) -> None:
        """All of here have to be said anew."""
        self.unsaid.update(dict.fromkeys(cast("Iterable[Recipient]", self._hub)))

    def enter(self, recipient: Recipient) -> None:
        """Know that a frontend is attached; the store is told by `arrive`."""
        self._connected[_key(recipient.presence)] = recipient

    def leave(self, recipient: Recipient) -> None:
        """Know that a frontend is attached no longer; the store is told by `say_goodbye`."""
        self._connected.pop(_key(recipient.presence), None)

    async def arrive(self, recipient: Recipient) -> None:
        """Say that a frontend has come, and tell those who want to know.

        Raises:
            StoreUnavailableError: it cannot be said now.
        """
        if not recipient.attached:
            # It has gone while it was waited for something else: nobody would say so again.
            return
        # Whether it is news is not the store's to say: it may have been told twice.
        await self._store.arrive(recipient.presence)
        self.news.changed(recipient.tenant)

    async def say(self, recipient: Recipient) -> None:
        """Say that a frontend is here; later, if the store is away."""
        if not recipient.attached:
            return
        try:
            if await self._store.arrive(recipient.presence):
                self.news.changed(recipient.tenant)
        except StoreUnavailableError:
            self.unsaid[recipient] = None

    async def say_goodbye(self, presence: Presence) -> None:
        """Say that a frontend has gone, unless it is here again; later, if the store is away."""
        key = _key(presence)
        if key in self._connected:
            # As who it is now it is in the store in place of this, or will be.
            return
        try:
            await self._store.leave(presence)
            self.news.changed(presence.tenant)
        except StoreUnavailableError:
            self.goodbyes.append(presence)
        again = self._connected.get(key)
        if again is not None:
            # It has come since, and that may have been said before this was done.
            self.unsaid[again] = None

    async def notify(self, principal: Principal, notification: Notification) -> int:
        """Tell people something, at every instance; return how many frontends they have."""
        notification.id = self._ids.new()
        notification.sender = principal.subject
        notification.created_at = self._clock()
        audience = notification.audience
        self._bus.notify(principal.tenant, audience, notification.stored())
        told = self.show(principal.tenant, notification)
        if self._store.shared:
            told += await self.elsewhere(principal.tenant, audience)
        if self._audit is not None:
            self._audit.notified(principal, notification, told)
        return told

    def show(self, tenant: str, notification: Notification) -> int:
        """Show something to whom it is for, here; return how many they are."""
        told = self._hub.matching(tenant, notification.audience)
        for recipient in told:
            cast("Recipient", recipient).notify(notification)
        if self._audit is not None:
            self._audit.told(tenant, notification, cast("Collection[Recipient]", told))
        return len(told)

    async def online(self, tenant: str, audience: Audience = EVERYONE) -> int:
        """Return how many frontends are connected that an audience means.

        Those at other instances are only looked for when there is none here.
        """
        here = self.here(tenant, audience)
        if here or not self._store.shared:
            return here
        return await self.elsewhere(tenant, audience)

    def here(self, tenant: str, audience: Audience) -> int:
        """Return how many frontends an audience means at this instance."""
        return len(self._hub.matching(tenant, audience))

    async def elsewhere(self, tenant: str, audience: Audience) -> int:
        """Return how many frontends an audience means at other instances."""
        return sum(
            1
            for presence in await self._store.present(tenant)
            if presence.instance != self._instance
            and self._hub.matches(cast("Frontend", presence), audience)
        )

    async def frontends(self, principal: Principal) -> Sequence[Presence]:
        """Return the frontends of the caller's tenant, at every instance."""
        return await self._store.present(principal.tenant)


def _key(presence: Presence) -> tuple[str, str]:
    """Return by what the store knows a frontend: one of each connection."""
    return presence.tenant, presence.connection_id
