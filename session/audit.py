"""The contract for the audit record, which only grows at its end, and its memory half.

A record for each tenant, each of about so many entries: the oldest go first. What an
entry says is nothing to it. The methods return, wait and fail as those of
`session.store.Store` do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol, final


class AuditTrail(Protocol):
    """Where entries are kept."""

    async def append(self, tenant: str, batch: int, entries: Sequence[bytes]) -> None:
        """Append entries to a tenant's record, in this order and next to each other.

        ``batch`` is a number that is higher than those of all batches that this instance
        appended to this record before. One that was appended already, because what came
        of it was not heard, is not again, if it is given again before any other.
        """
        ...


@final
class MemoryAudit:
    """See `AuditTrail`. It ends with the process, and nobody else can read it."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._entries: dict[str, deque[bytes]] = {}
        self._last: dict[str, int] = {}

    async def append(self, tenant: str, batch: int, entries: Sequence[bytes]) -> None:
        """Append entries."""
        if batch <= self._last.get(tenant, 0):
            return
        self._last[tenant] = batch
        self._entries.setdefault(tenant, deque(maxlen=self._length)).extend(entries)

    def entries(self, tenant: str) -> list[bytes]:
        """Return a tenant's record, oldest first."""
        return list(self._entries.get(tenant, ()))
