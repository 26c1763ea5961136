"""The open questions of tenants that have frontends here, kept up to date by events.

A frontend that connects is shown what waits for it. Ten thousand that come back at once
would each read sixteen lists from Redis; here the first one's reading serves them all.
What is kept can be lost and read again, and is only used while every event is heard.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, final

import msgspec
import trio

from pool.promises import Promise
from session.errors import StoreUnavailableError
from session.model import Listing
from session.redis import records
from session.redis.keys import PLACES, Place, place_of

_TENANTS: Final = 2_000
_LISTINGS: Final = 200_000
# Tenants whose listings are asked for before the first one's are there.
_READ_AT_ONCE: Final = 100
_LOOKED_AT_PER_STEP: Final = 1_000

Read = Callable[[str, Place], Promise[Any]]


def _do_nothing() -> None:
    """Nobody wants to know."""


@final
class _Inbox:
    """What one tenant's people are asked."""

    __slots__ = ("added", "ended", "listings", "missed", "readers", "waiting")

    def __init__(self) -> None:
        self.listings: dict[str, Listing] = {}
        #: While somebody reads: what was added and what ended since they began.
        self.readers = 0
        self.added: set[str] = set()
        self.ended: set[str] = set()
        #: Whether events went unheard since the first reading began.
        self.missed = False
        #: Who waits for the first reading.
        self.waiting: list[Promise[None]] | None = []


@final
class Inboxes:
    """See the module.

    Args:
        read: begins to read a tenant's listings in a place.
        tenants: how many are kept; those looked at longest ago go first.
        listings: how many are kept of all tenants.
    """

    def __init__(self, read: Read, tenants: int = _TENANTS, listings: int = _LISTINGS) -> None:
        self._read = read
        self._most_tenants = tenants
        self._most_listings = listings
        self._tenants: OrderedDict[str, _Inbox] = OrderedDict()
        # What readings of a place found that did not come to their end: opened, and ended.
        self._untold: dict[Place, tuple[list[Listing], list[Listing]]] = {}
        self.listings = 0
        self.readings = 0
        #: Whether every event is heard, so that what is kept is what there is.
        self.is_current = False

    async def of(self, tenant: str) -> list[Listing]:
        """Return a tenant's open questions, oldest first.

        Raises:
            StoreUnavailableError: they cannot be read.
        """
        inbox = self._tenants.get(tenant)
        if inbox is None:
            # Also while events go unheard: what people were shown must be known, to show
            # them what is found missing later.
            return await self._begin(tenant)
        self._tenants.move_to_end(tenant)
        if not self.is_current:
            return await self._read_all(tenant)
        if inbox.waiting is not None:
            promise: Promise[None] = Promise()
            inbox.waiting.append(promise)
            await promise
        return list(inbox.listings.values())

    def add(self, listing: Listing) -> None:
        """A question is open."""
        inbox = self._tenants.get(listing.tenant)
        if inbox is not None and listing.id not in inbox.listings:
            self._put(inbox, listing)
            if inbox.readers:
                inbox.added.add(listing.id)
            self._make_room()

    def remove(self, tenant: str, question_id: str) -> None:
        """A question has ended."""
        inbox = self._tenants.get(tenant)
        if inbox is not None:
            if inbox.listings.pop(question_id, None) is not None:
                self.listings -= 1
            if inbox.readers:
                inbox.ended.add(question_id)

    def of_place(self, place: Place) -> Iterator[Listing]:
        """Yield what is kept of a place."""
        for inbox in list(self._tenants.values()):
            for listing in list(inbox.listings.values()):
                if place_of(listing.id) is place:
                    yield listing

    async def reread(
        self, place: Place, on_progress: Callable[[], object] = _do_nothing
    ) -> tuple[list[Listing], list[Listing]]:
        """Read a place anew; return what has been opened there unheard, and what has ended.

        ``on_progress`` is told whenever some of it was read. Cancelling this loses nothing:
        what was found is returned by the next one.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        # Those that a reading found that then failed are known here, and told of by the next.
        opened, ended = self._untold.setdefault(place, ([], []))
        inboxes = list(self._tenants.items())
        for start in range(0, len(inboxes), _READ_AT_ONCE):
            await self._reread_some(inboxes[start : start + _READ_AT_ONCE], place, opened, ended)
            on_progress()
        self._make_room()
        self._untold.pop(place, None)
        return opened, ended

    def __len__(self) -> int:
        return len(self._tenants)

    async def _begin(self, tenant: str) -> list[Listing]:
        """Be the first to read a tenant's listings."""
        inbox = self._tenants[tenant] = _Inbox()
        self._start(inbox)
        whole = False
        try:
            found = await self._read_all(tenant)
            while inbox.missed:
                inbox.missed = False
                found = await self._read_all(tenant)
            since = list(inbox.listings.values())
            self.listings -= len(since)
            inbox.listings = {}
            for listing in (*found, *since):
                if listing.id not in inbox.ended:
                    self._put(inbox, listing)
            whole = True
        finally:
            self._stop(inbox)
            if not whole:
                self._drop(tenant)
            waiting, inbox.waiting = inbox.waiting or [], None
            for promise in waiting:
                if whole:
                    promise.set(None)
                else:
                    promise.fail(StoreUnavailableError("The inbox could not be read; try again."))
        listings = list(inbox.listings.values())
        self._make_room()
        return listings

    async def _reread_some(
        self,
        inboxes: list[tuple[str, _Inbox]],
        place: Place,
        opened: list[Listing],
        ended: list[Listing],
    ) -> None:
        """Read some tenants' listings in a place, and add what was not known."""
        begun: list[tuple[str, _Inbox, Promise[Any]]] = []
        for tenant, inbox in inboxes:
            if inbox.waiting is not None:
                inbox.missed = True
                continue
            self._start(inbox)
            begun.append((tenant, inbox, self._read(tenant, place)))
        looked_at = 0
        try:
            for tenant, inbox, promise in begun:
                found = _listings(await promise)
                self._compare(tenant, inbox, place, found, opened, ended)
                looked_at += len(found)
                if looked_at > _LOOKED_AT_PER_STEP:
                    # Many replies come at once: waiting for them lets nobody else have a turn.
                    looked_at = 0
                    await trio.lowlevel.checkpoint()
        finally:
            for _, inbox, promise in begun:
                self._stop(inbox)
                if not promise.done:
                    promise.abandon()

    def _compare(  # noqa: PLR0913, PLR0917 - what was found, where, and what comes of it
        self,
        tenant: str,
        inbox: _Inbox,
        place: Place,
        found: list[tuple[float, Listing]],
        opened: list[Listing],
        ended: list[Listing],
    ) -> None:
        new = [
            listing
            for _, listing in found
            if listing.id not in inbox.listings and listing.id not in inbox.ended
        ]
        opened += new
        if self._tenants.get(tenant) is not inbox:
            # It had to make room meanwhile; what was found is told all the same.
            return
        there = {listing.id for _, listing in found}
        old = [
            listing
            for listing in inbox.listings.values()
            if place_of(listing.id) is place
            and listing.id not in there
            and listing.id not in inbox.added
        ]
        for listing in new:
            self._put(inbox, listing)
        for listing in old:
            self.remove(tenant, listing.id)
        ended += old

    async def _read_all(self, tenant: str) -> list[Listing]:
        self.readings += 1
        promises = [self._read(tenant, place) for place in PLACES]
        found: list[tuple[float, Listing]] = []
        for promise in promises:
            found += _listings(await promise)
        found.sort(key=_when)
        return [listing for _, listing in found]

    def _start(self, inbox: _Inbox) -> None:
        inbox.readers += 1

    def _stop(self, inbox: _Inbox) -> None:
        inbox.readers -= 1
        if not inbox.readers:
            inbox.added.clear()
            inbox.ended.clear()

    def _put(self, inbox: _Inbox, listing: Listing) -> None:
        if listing.id not in inbox.listings:
            self.listings += 1
        inbox.listings[listing.id] = listing

    def _drop(self, tenant: str) -> None:
        inbox = self._tenants.pop(tenant, None)
        if inbox is not None:
            self.listings -= len(inbox.listings)

    def _make_room(self) -> None:
        """Let go of what was looked at longest ago; what is being read stays until it was."""
        while len(self._tenants) > self._most_tenants or self.listings > self._most_listings:
            oldest = next(
                (tenant for tenant, inbox in self._tenants.items() if inbox.waiting is None), None
            )
            if oldest is None:
                return
            self._drop(oldest)


def _when(entry: tuple[float, Listing]) -> float:
    return entry[0]


def _listings(reply: Any) -> list[tuple[float, Listing]]:
    """Read the reply to ``ZRANGE ... WITHSCORES``: pairs in RESP3."""
    found = []
    for member, score in reply:
        try:
            found.append((float(score), records.listing(member)))
        except msgspec.DecodeError:
            # An instance of another version wrote it.
            continue
    return found
