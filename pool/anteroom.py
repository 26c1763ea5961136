"""Who is there and has nothing under way: when there is no room, one of them goes.

Pure module. Whoever holds a place without using it, on purpose or not, must not keep out
those who would: places are given to who comes, at the cost of who has been there longest.
An address can be asked for its own, so that a crowd from one place displaces itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar, final

T = TypeVar("T", bound=Hashable)


@final
class Anteroom(Generic[T]):
    """Members by address, in the order in which they came or were looked at last."""

    __slots__ = ("_by_address", "_members", "displaced")

    def __init__(self) -> None:
        self._members: OrderedDict[T, str] = OrderedDict()
        self._by_address: dict[str, OrderedDict[T, None]] = {}
        #: How many had to go for others, as whoever has them go counts.
        self.displaced = 0

    def enter(self, member: T, address: str) -> None:
        """Take somebody in, once."""
        self._members[member] = address
        here = self._by_address.get(address)
        if here is None:
            here = self._by_address[address] = OrderedDict()
        here[member] = None

    def leave(self, member: T) -> None:
        """Let somebody go; who is not there does nothing."""
        address = self._members.pop(member, None)
        if address is None:
            return
        here = self._by_address[address]
        del here[member]
        if not here:
            del self._by_address[address]

    def turn(self, address: str | None = None) -> T | None:
        """Return whose turn it is to be looked at, who goes to the end; `None` if nobody is there.

        With ``address`` it is one from there.
        """
        if address is None:
            member = next(iter(self._members), None)
        else:
            member = next(iter(self._by_address.get(address, ())), None)
        if member is not None:
            self._members.move_to_end(member)
            self._by_address[self._members[member]].move_to_end(member)
        return member

    def count(self, address: str) -> int:
        """Return how many are from an address."""
        return len(self._by_address.get(address, ()))

    def __len__(self) -> int:
        return len(self._members)
