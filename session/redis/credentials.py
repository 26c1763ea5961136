"""What credentials need in Redis: API keys, tickets, and whose a frontend's id is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from session.credentials import CLAIM_SECONDS
from session.redis import keys
from session.redis.scripts import CLAIM

if TYPE_CHECKING:
    from session.redis.client import RedisClient


@final
class RedisCredentials:
    """See `session.credentials.Credentials`."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def api_keys(self, known: str | None) -> tuple[str, Sequence[bytes] | None]:
        """Return the version of the API keys, and the keys if that is another one."""
        slot = keys.slot_of_tag(keys.CREDENTIALS)
        found: bytes | None = await self._client.execute("GET", keys.API_KEYS_VERSION, slot=slot)
        version = found.decode("latin-1") if found else ""
        if version == known:
            return version, None
        return version, await self._client.execute("HVALS", keys.API_KEYS, slot=slot)

    async def save_ticket(self, digest: str, ticket: bytes, seconds: int) -> None:
        """Keep a ticket."""
        key = keys.ticket(digest)
        await self._client.execute(
            "SET", key, ticket, "EX", seconds, slot=keys.slot_of(key), eager=True
        )

    async def take_ticket(self, digest: str) -> bytes | None:
        """Return a ticket and forget it.

        When the reply is lost and the command is sent again, the ticket is gone: its
        owner asks for another one. Nobody ever gets it twice.
        """
        key = keys.ticket(digest)
        ticket: bytes | None = await self._client.execute(
            "GETDEL", key, slot=keys.slot_of(key), eager=True
        )
        return ticket

    async def claim(self, tenant: str, frontend_id: str, subject: str) -> bool:
        """Make a frontend's id the subject's."""
        key = keys.claim(tenant, frontend_id)
        mine = await self._client.call(
            CLAIM, (key,), (subject, CLAIM_SECONDS), slot=keys.slot_of(key), eager=True
        )
        return bool(mine)
