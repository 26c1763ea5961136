"""The contract for the tools that frontends offer, and its memory half.

An offer lives as long as its connection, and no longer than the instance of that: what a
dead instance left behind is not offered. The methods return, wait and fail as those of
`session.store.Store` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, final

import msgspec

from session.model import ToolOffer


class Offered(msgspec.Struct, frozen=True, gc=False):
    """All that the pages of a tenant offer: who does, and the definitions by their digests.

    A definition can be missing for a moment, when a failover lost it.
    """

    offers: tuple[ToolOffer, ...]
    definitions: dict[str, bytes]


NOTHING: Final = Offered((), {})
_UNUSED: Final = 1_000


class Tools(Protocol):
    """The tools that frontends offer, by tenant."""

    async def offer(self, offer: ToolOffer, definitions: Mapping[str, bytes]) -> bool:
        """Note what a connection offers, in place of what it offered before.

        ``definitions`` has that of each digest in the offer. Saying it again renews what
        is stored and changes nothing. Returns whether something changed; then the other
        instances hear of it (`session.bus.BusReceiver.tools_changed`).
        """
        ...

    async def withdraw(self, offer: ToolOffer) -> bool:
        """Forget what this very connection offers. Returns whether it offered anything."""
        ...

    async def of(self, tenant: str) -> Offered:
        """Return what a tenant's pages offer: the same object as long as that is the same."""
        ...


@final
class MemoryTools:
    """See `Tools`. There is one instance, which lives as long as this does."""

    def __init__(self) -> None:
        self._offers: dict[str, dict[str, ToolOffer]] = {}
        self._definitions: dict[str, dict[str, bytes]] = {}
        self._offered: dict[str, Offered] = {}
        # With how many definitions of a tenant it is looked which are used.
        self._most: dict[str, int] = {}

    async def offer(self, offer: ToolOffer, definitions: Mapping[str, bytes]) -> bool:
        """Note what a connection offers."""
        offers = self._offers.setdefault(offer.tenant, {})
        if offers.get(offer.connection_id) == offer:
            return False
        offers[offer.connection_id] = offer
        known = self._definitions.setdefault(offer.tenant, {})
        known.update(definitions)
        self._offered.pop(offer.tenant, None)
        if len(known) > self._most.get(offer.tenant, _UNUSED):
            # Nobody looks, and what nobody offers any more must not pile up.
            await self.of(offer.tenant)
        return True

    async def withdraw(self, offer: ToolOffer) -> bool:
        """Forget what a connection offers."""
        offers = self._offers.get(offer.tenant)
        if offers is None or offers.pop(offer.connection_id, None) is None:
            return False
        self._offered.pop(offer.tenant, None)
        if not offers:
            del self._offers[offer.tenant]
            del self._definitions[offer.tenant]
            self._most.pop(offer.tenant, None)
        return True

    async def of(self, tenant: str) -> Offered:
        """Return what a tenant's pages offer."""
        offers = self._offers.get(tenant)
        if offers is None:
            return NOTHING
        offered = self._offered.get(tenant)
        if offered is None:
            known = self._definitions[tenant]
            used = {digest for offer in offers.values() for digest in offer.tools.values()}
            # What nobody offers any more goes with the first look.
            kept = {digest: known[digest] for digest in used}
            self._definitions[tenant] = dict(kept)
            self._most[tenant] = 2 * len(kept) + _UNUSED
            offered = self._offered[tenant] = Offered(tuple(offers.values()), kept)
        return offered
