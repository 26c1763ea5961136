"""The memory half's own bound; what every record promises is in the contract suite."""

from __future__ import annotations

from session import MemoryAudit


async def test_a_record_is_as_long_as_it_may_be() -> None:
    trail = MemoryAudit(length=3)
    await trail.append("acme", 1, [b"1", b"2"])
    await trail.append("acme", 2, [b"3", b"4"])
    assert trail.entries("acme") == [b"2", b"3", b"4"]
