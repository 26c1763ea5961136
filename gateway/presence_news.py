"""Who hears that people came or went, here and at other instances.

Pure module. A change is a note about a tenant, however many frontends it is about and
however many want to hear of it; now and then all that was noted is told at once. What is
told says only that something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

#: Nobody is told more often than this.
TOLD_SECONDS: Final = 1.0
#: Of how many tenants it is noted that the other instances are to hear of them; of more
#: at once they hear that it may be any.
TENANTS: Final = 1_000
#: Any tenant; none has this name.
ANY: Final = ""


@final
class Watch:
    """Somebody who wants to hear of one tenant's people."""

    __slots__ = ("told",)

    def __init__(self, told: Callable[[], None]) -> None:
        self.told = told


@final
class PresenceNews:
    """Owned by `gateway.people`; `gateway.upkeep` tells what is due.

    Args:
        announce: has the other instances hear of a tenant; returns whether it could be said.
            ``None`` where there are none.
    """

    __slots__ = ("_announce", "_changed", "_told_at", "_unsaid", "_watches")

    def __init__(self, announce: Callable[[str], bool] | None) -> None:
        self._announce = announce
        # By tenant; there is none without somebody who watches, so these and what has
        # changed have the bounds of those who may.
        self._watches: dict[str, dict[Watch, None]] = {}
        self._changed: dict[str, None] = {}
        self._unsaid: dict[str, None] = {}
        self._told_at = 0.0

    def __len__(self) -> int:
        """Return how many watch."""
        return sum(map(len, self._watches.values()))

    @property
    def unsaid(self) -> int:
        """Of how many tenants the other instances are still to hear."""
        return len(self._unsaid)

    def watch(self, tenant: str, told: Callable[[], None]) -> Callable[[], None]:
        """Have changes of who is connected told from now on; return how to stop that."""
        watch = Watch(told)
        self._watches.setdefault(tenant, {})[watch] = None
        return lambda: self._forget(tenant, watch)

    def changed(self, tenant: str) -> None:
        """Somebody came or went at this instance, as the store knows by now."""
        self.changed_elsewhere(tenant)
        if self._announce is None or tenant in self._unsaid or ANY in self._unsaid:
            return
        if len(self._unsaid) >= TENANTS:
            self._unsaid.clear()
            tenant = ANY
        self._unsaid[tenant] = None

    def changed_elsewhere(self, tenant: str) -> None:
        """Somebody may have come or gone at another instance."""
        if tenant == ANY:
            self._changed.update(dict.fromkeys(self._watches))
        elif tenant in self._watches:
            self._changed[tenant] = None

    def due(self, now: float) -> Iterator[Callable[[], None]]:
        """Announce what is to be said, and yield whom to call now; the caller does so."""
        # Also if the clock was set back.
        if not (self._changed or self._unsaid) or 0.0 <= now - self._told_at < TOLD_SECONDS:
            return
        self._told_at = now
        self._say()
        changed, self._changed = self._changed, {}
        for tenant in changed:
            watches = self._watches.get(tenant, {})
            for watch in list(watches):
                # Some leave while others are told.
                if watch in watches:
                    yield watch.told

    def _say(self) -> None:
        announce = self._announce
        if announce is None:
            return
        # What cannot be sent now is said the next time.
        self._unsaid = {tenant: None for tenant in self._unsaid if not announce(tenant)}

    def _forget(self, tenant: str, watch: Watch) -> None:
        watches = self._watches.get(tenant)
        if watches is None or watch not in watches:
            return
        del watches[watch]
        if not watches:
            del self._watches[tenant]
            self._changed.pop(tenant, None)
