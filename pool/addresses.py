"""How many connections each peer address has.

Pure module. An address without any takes no memory.
"""

from __future__ import annotations

from typing import final


@final
class Addresses:
    """Counts by address."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, address: str) -> int:
        """Return how many an address has."""
        return self._counts.get(address, 0)

    def add(self, address: str) -> int:
        """Count one more; return how many there were before."""
        before = self._counts.get(address, 0)
        self._counts[address] = before + 1
        return before

    def remove(self, address: str) -> None:
        """Count one less."""
        if self._counts[address] > 1:
            self._counts[address] -= 1
        else:
            del self._counts[address]

    def __len__(self) -> int:
        return len(self._counts)
