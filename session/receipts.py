"""The contract for what signatures need that must outlive a process, and its memory half.

A key that all instances sign with, and which receipts were used. The methods return,
wait and fail as those of `session.store.Store` do.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, Protocol, final

from session.errors import StoreUnavailableError

_USED: Final = 100_000


class Receipts(Protocol):
    """What all instances must agree on about what is signed."""

    async def signing_key(self, candidate: bytes) -> bytes:
        """Return the key that instances share; ``candidate`` becomes it if there is none."""
        ...

    async def use(self, receipt_id: str, attempt: str, seconds: int) -> bool:
        """Use a receipt, once; return whether this is the first use, at any instance.

        The same ``attempt`` may try again, as when its reply was lost. For so many seconds
        the use is remembered: let it be longer than the receipt is good.
        """
        ...


@final
class MemoryReceipts:
    """See `Receipts`. A use is never forgotten too early: when there are too many, refused."""

    def __init__(self, clock: Callable[[], float], most: int = _USED) -> None:
        self._clock = clock
        self._most = most
        self._key = b""
        self._used: dict[str, str] = {}
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._used)

    async def signing_key(self, candidate: bytes) -> bytes:
        """Return the key of this process."""
        self._key = self._key or candidate
        return self._key

    async def use(self, receipt_id: str, attempt: str, seconds: int) -> bool:
        """Use a receipt, once."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            del self._used[heapq.heappop(self._ends)[1]]
        first = self._used.get(receipt_id)
        if first is not None:
            return first == attempt
        if len(self._used) >= self._most:
            raise StoreUnavailableError("Too many approvals were used in a short time.")
        self._used[receipt_id] = attempt
        heapq.heappush(self._ends, (now + seconds, receipt_id))
        return True
