"""The audit record in Redis, as gateways write it: a stream for each tenant.

Many entries are one command. `session.redis.trail` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from session.redis import keys
from session.redis.scripts import RECORD

if TYPE_CHECKING:
    from session.redis.client import RedisClient

# Longer than a batch is tried again: the buffer of a gateway is full long before.
_REMEMBERED_SECONDS: Final = 86_400


@final
class RedisAudit:
    """See `session.audit.AuditTrail`.

    Args:
        instance: what this process is called, and no other ever.
        length: about how many entries of a tenant are kept.
    """

    def __init__(self, client: RedisClient, *, instance: str, length: int) -> None:
        self._client = client
        self._instance = instance
        self._length = length

    async def append(self, tenant: str, batch: int, entries: Sequence[bytes]) -> None:
        """Append entries; it fails soon while the server is away, to be tried again."""
        key = keys.audit(tenant)
        await self._client.call(
            RECORD,
            (key, keys.audit_batch(tenant, self._instance)),
            (batch, self._length, _REMEMBERED_SECONDS, *entries),
            slot=keys.slot_of(key),
            eager=True,
        )
