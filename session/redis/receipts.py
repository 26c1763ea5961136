"""What signatures need in Redis: the key of all instances, and which receipts were used."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from session.redis import keys
from session.redis.scripts import KEEP, USE

if TYPE_CHECKING:
    from session.redis.client import RedisClient
    from session.redis.settings import Settings


@final
class RedisReceipts:
    """See `session.receipts.Receipts`."""

    def __init__(self, client: RedisClient, settings: Settings) -> None:
        self._client = client
        self._replicas = settings.awaited_replicas

    async def signing_key(self, candidate: bytes) -> bytes:
        """Return the key that instances share."""
        key: bytes = await self._client.call(
            KEEP,
            (keys.SIGNING_KEY,),
            (candidate,),
            slot=keys.slot_of(keys.SIGNING_KEY),
            replicas=self._replicas,
        )
        return key

    async def use(self, receipt_id: str, attempt: str, seconds: int) -> bool:
        """Use a receipt, once."""
        key = keys.receipt(receipt_id)
        first = await self._client.call(
            USE,
            (key,),
            (attempt, seconds),
            slot=keys.slot_of(key),
            replicas=self._replicas,
        )
        return bool(first)
