"""Frontends in Redis: who is connected anywhere, and what their people have typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from session.model import Draft, Presence
from session.redis import keys, records
from session.redis.keys import PLACES
from session.redis.scripts import SAVE_DRAFT

if TYPE_CHECKING:
    from session.redis.client import RedisClient
    from session.redis.inboxes import Inboxes
    from session.redis.settings import Settings

_PRESENT_AT_A_TIME: Final = 500
_PRESENT: Final = 10_000
_DRAFTS: Final = 1_000
_DRAFT_ID: Final = 64


@final
class Frontends:
    """A part of `session.redis.store.RedisStore`.

    Args:
        alive: says which instances live: what others left behind is removed.
    """

    def __init__(
        self,
        client: RedisClient,
        settings: Settings,
        inboxes: Inboxes,
        alive: Callable[[], frozenset[str]],
    ) -> None:
        self._client = client
        self._settings = settings
        self._inboxes = inboxes
        self._alive = alive

    async def save_draft(self, tenant: str, owner: str, draft: Draft) -> None:
        """Keep what a person has typed; an empty text forgets it."""
        data = records.draft_bytes(draft) if draft.text else b""
        key = keys.drafts(tenant, owner)
        await self._client.call(
            SAVE_DRAFT,
            (key,),
            (draft.question_id[:_DRAFT_ID], data, _DRAFTS, self._settings.draft_seconds),
        )

    async def drafts(self, tenant: str, owner: str) -> Sequence[Draft]:
        """Return the owner's drafts for open questions."""
        key = keys.drafts(tenant, owner)
        kept = await self._client.execute("HVALS", key, slot=keys.slot_of(key))
        if not kept:
            return []
        still_open = {listing.id for listing in await self._inboxes.of(tenant)}
        drafts = [records.draft(data) for data in kept]
        return [draft for draft in drafts if draft.question_id in still_open]

    async def arrive(self, presence: Presence) -> bool:
        """Note that a frontend is connected."""
        key = keys.presence(presence.tenant)
        added = await self._client.execute(
            "HSET",
            key,
            presence.connection_id,
            records.presence_bytes(presence),
            slot=keys.slot_of(key),
        )
        return bool(added)

    async def leave(self, presence: Presence) -> None:
        """Note that this very connection of a frontend has gone."""
        key = keys.presence(presence.tenant)
        await self._client.execute("HDEL", key, presence.connection_id, slot=keys.slot_of(key))

    async def present(self, tenant: str) -> Sequence[Presence]:
        """Return the tenant's connected frontends; those of dead instances are removed."""
        key = keys.presence(tenant)
        slot = keys.slot_of(key)
        present: dict[str, Presence] = {}
        alive = self._alive()
        asked = False
        cursor: Any = b"0"
        while True:
            cursor, entries = await self._client.execute(
                "HSCAN", key, cursor, "COUNT", _PRESENT_AT_A_TIME, slot=slot
            )
            for at in range(0, len(entries), 2):
                try:
                    found = records.presence(entries[at + 1])
                except msgspec.DecodeError:
                    continue
                if found.instance not in alive and not asked:
                    # One that came after the last sweep is not to be taken for dead.
                    asked = True
                    alive |= await self._alive_now()
                if found.instance in alive:
                    # A scan may come by an entry twice.
                    present[found.connection_id] = found
                else:
                    self._client.execute("HDEL", key, entries[at], slot=slot)
            if cursor == b"0" or len(present) >= _PRESENT:
                break
        return sorted(present.values(), key=_connected_at)[:_PRESENT]

    async def _alive_now(self) -> frozenset[str]:
        place = PLACES[0]
        alive = await self._client.execute("ZRANGE", place.alive, 0, -1, slot=place.slot)
        return frozenset(name.decode() for name in alive)


def _connected_at(presence: Presence) -> float:
    return presence.connected_at
