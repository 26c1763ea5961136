"""Counts by address, and that nothing is left of who has gone."""

from __future__ import annotations

from pool.addresses import Addresses


def test_an_address_is_counted_until_its_last_has_gone() -> None:
    addresses = Addresses()
    assert [addresses.add(address) for address in ("a", "b", "a")] == [0, 0, 1]
    assert [addresses.count(address) for address in "abc"] == [2, 1, 0]
    addresses.remove("a")
    assert (addresses.count("a"), len(addresses)) == (1, 2)
    for address in "ab":
        addresses.remove(address)
    assert len(addresses) == 0
