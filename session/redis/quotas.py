"""Limits that all instances keep together, in Redis.

What a tenant uses is in one place, beside the list of who lives there: an instance has
what it leased for as long as its sweeps say that it lives, and renews nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, final

from pool.leases import Taken
from pool.portions import Account, Slots, Tokens
from session.quotas import CHECKED
from session.redis import keys
from session.redis.scripts import LEASE_SLOTS, OPEN_SESSION, TAKE_TOKENS

if TYPE_CHECKING:
    from session.redis.client import RedisClient
    from session.redis.settings import Settings

#: How long what is used is known without a word of any instance; each says it every minute.
KEPT_SECONDS: Final = 3_600
# Sessions live for as long as they are used; those that ended are found when there are many.
_SESSIONS_SECONDS: Final = 7 * 86_400


@final
class RedisQuotas:
    """See `session.quotas.Quotas`.

    Args:
        instance: the name of this process, as its store says it.
        instances: how many share the store.
        kept: for each kind of slots, for how many seconds what a dead instance used counts
            on; nothing where it ends with the instance.
    """

    def __init__(
        self,
        client: RedisClient,
        settings: Settings,
        *,
        instance: str,
        instances: Callable[[], int],
        kept: dict[str, float],
    ) -> None:
        self._client = client
        self._lease_seconds = settings.lease_seconds
        self._instance = instance
        self._instances = instances
        self._kept = kept

    @property
    def shared(self) -> bool:
        """Always."""
        return True

    def holders(self) -> int:
        """Return how many instances share the limits."""
        return max(1, self._instances())

    async def take(self, tokens: Tokens, needed: float, extra: float) -> Taken:
        """Take tokens. A reply that is lost loses them, and never makes more of them."""
        kind, tenant, subject = tokens.account
        place = keys.place_of_tenant(tenant)
        granted, wait, left = await self._client.call(
            TAKE_TOKENS,
            (place.quota(kind, tenant, subject),),
            (tokens.rate, tokens.burst, needed, extra),
            slot=place.slot,
            eager=True,
        )
        return Taken(float(granted), float(wait), float(left))

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        """Say how many are used, and return how many this instance has."""
        kind, tenant, subject = slots.account
        place = keys.place_of_tenant(tenant)
        granted: int = await self._client.call(
            LEASE_SLOTS,
            (place.quota(kind, tenant, subject), place.alive),
            (
                self._instance,
                slots.limit,
                used,
                needed,
                reserve,
                self._lease_seconds,
                self._kept.get(kind, 0),
                KEPT_SECONDS,
            ),
            slot=place.slot,
            eager=True,
        )
        return granted

    async def open_session(self, accounts: Sequence[tuple[Account, int]], session_id: str) -> int:
        """Count a session; those that have ended are found when there are too many."""
        full, ended = await self._count(accounts, session_id)
        if ended:
            full, _ = await self._count(accounts, session_id)
        return full

    async def end_session(self, accounts: Sequence[Account], session_id: str) -> None:
        """Count a session no more."""
        for account in accounts:
            place = keys.place_of_tenant(account.tenant)
            key = place.quota(*account)
            await self._client.execute("ZREM", key, session_id, slot=place.slot)

    async def _count(
        self, accounts: Sequence[tuple[Account, int]], session_id: str
    ) -> tuple[int, bool]:
        """Return which account is full, or -1; and whether sessions of it had ended."""
        if not accounts:
            return -1, False
        place = keys.place_of_tenant(accounts[0][0].tenant)
        counted = tuple(place.quota(*account) for account, _ in accounts)
        limits = (limit for _, limit in accounts)
        full, *oldest = await self._client.call(
            OPEN_SESSION,
            counted,
            (session_id, CHECKED, _SESSIONS_SECONDS, *limits),
            slot=place.slot,
            eager=True,
        )
        found = [keys.session(each.decode()) for each in oldest]
        asked = [self._client.execute("EXISTS", key, slot=keys.slot_of(key)) for key in found]
        ended = [each for each, exists in zip(oldest, asked, strict=True) if not await exists]
        if ended:
            key = counted[full]
            await self._client.execute("ZREM", key, *ended, slot=place.slot)
        return full, bool(ended)
