"""The tools that frontends offer, in Redis: read once, and again when an event says so.

All of a tenant's are in one place, so that the event of a change is in the log of what
else happened there: one that was lost is found by the sweep, as all are. A definition is
stored once, however many pages offer it, and goes by itself when nobody renews it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from pool.promises import Promise
from session.errors import StoreUnavailableError
from session.model import ToolOffer
from session.redis import keys, records
from session.redis.keys import Place
from session.redis.scripts import OFFER_TOOLS, WITHDRAW_TOOLS
from session.tools import NOTHING, Offered

if TYPE_CHECKING:
    from session.redis.client import RedisClient
    from session.redis.events import Events

_TENANTS: Final = 500
_BYTES: Final = 64 * 1024 * 1024
# Each instance renews what its frontends offer every minute.
_KEPT_SECONDS: Final = 3_600
# What is not there any more is written, and then it is there: more often is a fault.
_ATTEMPTS: Final = 3


@final
class _Kept:
    """What one tenant's pages offered when it was read."""

    __slots__ = ("generation", "is_fresh", "offered", "size", "waiting")

    def __init__(self) -> None:
        self.offered = NOTHING
        self.size = 0
        self.is_fresh = False
        #: Counts what was heard to change.
        self.generation = 0
        #: Who waits for the reading that is under way.
        self.waiting: list[Promise[None]] | None = None


@final
class ToolCache:
    """What is kept of tenants' tools, and whether it is what there is.

    Args:
        tenants: of how many something is kept; those looked at longest ago go first.
        size: how many bytes of definitions are kept of all of them.
    """

    def __init__(self, tenants: int = _TENANTS, size: int = _BYTES) -> None:
        self._most_tenants = tenants
        self._most_bytes = size
        self._tenants: OrderedDict[str, _Kept] = OrderedDict()
        #: Bytes of definitions that are kept.
        self.size = 0
        #: Whether every event is heard.
        self.is_current = False

    def invalidate(self, tenant: str) -> None:
        """What a tenant's pages offer is another now."""
        kept = self._tenants.get(tenant)
        if kept is not None:
            kept.is_fresh = False
            kept.generation += 1

    def of_place(self, place: Place) -> list[str]:
        """Return the tenants of a place of which something is kept."""
        return [tenant for tenant in self._tenants if keys.place_of_tenant(tenant) is place]

    def begin(self, tenant: str) -> _Kept:
        """Return what is kept of a tenant, to be read into."""
        kept = self._tenants.get(tenant)
        if kept is None:
            kept = self._tenants[tenant] = _Kept()
        self._tenants.move_to_end(tenant)
        return kept

    def put(self, kept: _Kept, offered: Offered, generation: int) -> Offered:
        """Keep what was read; return that, or the same as it was read before."""
        # A definition that was lost comes back without an event, with the next renewal.
        is_whole = all(
            digest in offered.definitions
            for offer in offered.offers
            for digest in offer.tools.values()
        )
        kept.is_fresh = is_whole and kept.generation == generation
        if offered != kept.offered:
            size = sum(map(len, offered.definitions.values()))
            self.size += size - kept.size
            kept.size = size
            kept.offered = offered
        self._make_room()
        return kept.offered

    def __len__(self) -> int:
        return len(self._tenants)

    def _make_room(self) -> None:
        while len(self._tenants) > self._most_tenants or self.size > self._most_bytes:
            oldest = next(
                (tenant for tenant, kept in self._tenants.items() if kept.waiting is None), None
            )
            if oldest is None:
                return
            self.size -= self._tenants.pop(oldest).size


@final
class RedisTools:
    """See `session.tools.Tools` for what each method promises."""

    def __init__(self, client: RedisClient, events: Events, cache: ToolCache) -> None:
        self._client = client
        self._events = events
        self._cache = cache

    async def offer(self, offer: ToolOffer, definitions: Mapping[str, bytes]) -> bool:
        """Note what a connection offers."""
        tenant = offer.tenant
        place = keys.place_of_tenant(tenant)
        digests = sorted(set(offer.tools.values()))
        stored = [place.tool(tenant, digest) for digest in digests]
        for _ in range(_ATTEMPTS):
            changed, *missing = await self._client.call(
                OFFER_TOOLS,
                (place.tools(tenant), place.log, *stored),
                (
                    offer.connection_id,
                    records.tool_offer_bytes(offer),
                    _KEPT_SECONDS,
                    place.channel,
                    self._events.tools + tenant.encode(),
                ),
                slot=place.slot,
            )
            if changed >= 0:
                self._cache.invalidate(tenant)
                return bool(changed)
            writing = [
                self._client.execute(
                    "SET",
                    stored[at],
                    definitions[digests[at]],
                    "EX",
                    _KEPT_SECONDS,
                    slot=place.slot,
                )
                for at in missing
            ]
            for promise in writing:
                await promise
        raise StoreUnavailableError("The definitions of tools do not last in the store.")

    async def withdraw(self, offer: ToolOffer) -> bool:
        """Forget what a connection offers."""
        place = keys.place_of_tenant(offer.tenant)
        withdrawn = await self._withdraw(place, offer.tenant, offer.connection_id.encode())
        self._cache.invalidate(offer.tenant)
        return bool(withdrawn)

    async def of(self, tenant: str) -> Offered:
        """Return what a tenant's pages offer, from Redis if anything may have changed."""
        cache = self._cache
        while True:
            kept = cache.begin(tenant)
            if kept.is_fresh and cache.is_current:
                return kept.offered
            if kept.waiting is None:
                break
            # Somebody reads it already.
            promise: Promise[None] = Promise()
            kept.waiting.append(promise)
            await promise
            if not cache.is_current:
                return kept.offered
        kept.waiting = []
        failure: StoreUnavailableError | None = None
        try:
            generation = kept.generation
            offered = await self._read(tenant, kept.offered.definitions)
            return cache.put(kept, offered, generation)
        except StoreUnavailableError as error:
            failure = error
            raise
        finally:
            waiting, kept.waiting = kept.waiting, None
            for each in waiting:
                if failure is None:
                    each.set(None)
                else:
                    each.fail(failure)

    async def _read(self, tenant: str, known: Mapping[str, bytes]) -> Offered:
        place = keys.place_of_tenant(tenant)
        entries = self._client.execute("HGETALL", place.tools(tenant), slot=place.slot)
        living = self._client.execute("ZRANGE", place.alive, 0, -1, slot=place.slot)
        offers: list[ToolOffer] = []
        found: Any = await entries
        # After the offers: whoever made one lived then, and who has died since is not there.
        alive = frozenset(name.decode() for name in await living)
        for connection, data in _pairs(found):
            try:
                offer = records.tool_offer(data)
            except msgspec.DecodeError:
                # An instance of another version wrote it.
                continue
            if offer.instance in alive:
                offers.append(offer)
            else:
                self._withdraw(place, tenant, connection)
        offers.sort(key=_age)
        digests = {digest for offer in offers for digest in offer.tools.values()}
        reading = {
            digest: self._client.execute("GET", place.tool(tenant, digest), slot=place.slot)
            for digest in digests - known.keys()
        }
        definitions = {digest: known[digest] for digest in digests & known.keys()}
        for digest, promise in reading.items():
            data = await promise
            if data is not None:
                definitions[digest] = data
        return Offered(tuple(offers), definitions)

    def _withdraw(self, place: Place, tenant: str, connection: bytes) -> Promise[Any]:
        return self._client.call(
            WITHDRAW_TOOLS,
            (place.tools(tenant), place.log),
            (connection, place.channel, self._events.tools + tenant.encode()),
            slot=place.slot,
        )


def _pairs(reply: Any) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a hash: a map in RESP3."""
    if isinstance(reply, dict):
        yield from reply.items()
    else:
        yield from zip(reply[::2], reply[1::2], strict=True)


def _age(offer: ToolOffer) -> tuple[float, str]:
    return offer.offered_at, offer.connection_id
