"""How a limit is shared out to several holders: the whole of it, as whoever keeps it sees it.

Pure module: the time is an argument. Two kinds of limit. A *rate* is a bucket of tokens:
what a holder takes is gone, whether it is used or lost. A *number of slots* is leased: a
holder has so many until it gives them back or is taken for dead. In both a holder may have
a small reserve beyond what it uses, so that it seldom has to ask; the reserves of all
holders together are what a limit can be exceeded by.

The scripts in `session/redis/lua` do the same steps in Redis.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, final

# Rounding, in tokens: whoever waits exactly as long as told gets what it waited for.
_SLACK: Final = 1e-6


class Taken(NamedTuple):
    """What came of asking for tokens: none are ``granted`` when it has to ``wait`` (seconds)."""

    granted: float
    wait: float
    #: What the bucket has left.
    left: float


@final
class TokenPool:
    """A bucket that ``rate`` tokens a second fill up to ``burst``: one number says all.

    A bucket that is full is the same as a new one, and can be forgotten.
    """

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        #: When it will be full again.
        self.full_at = 0.0

    def take(self, now: float, rate: float, burst: float, needed: float, extra: float) -> Taken:
        """Take ``needed`` tokens or none, and up to ``extra`` more of those that are there.

        More than a whole bucket can be needed at once: then a full one is enough, and
        what was too much is waited for by whoever comes next. With nothing needed one
        token at least is taken, or none.
        """
        full_at = max(self.full_at, now)
        available = burst - (full_at - now) * rate
        least = min(needed, burst) if needed else min(1.0, extra)
        if available + _SLACK < least:
            return Taken(0.0, (least - available) / rate, max(available, 0.0))
        granted = needed + math.floor(max(0.0, min(extra, available - needed) + _SLACK))
        self.full_at = full_at + granted / rate
        return Taken(granted, 0.0, max(available - granted, 0.0))


@final
class _Held:
    """What one holder has: so many granted, of which it said that it uses so many."""

    __slots__ = ("granted", "until", "used")

    def __init__(self, granted: int, used: int, until: float) -> None:
        self.granted = granted
        self.used = used
        #: When what a dead holder left behind no longer counts.
        self.until = until


@final
class SlotPool:
    """Who holds how many of a limit."""

    __slots__ = ("_held", "_left_behind")

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._left_behind: list[_Held] = []

    def lease(  # noqa: PLR0913 - all that a lease depends on
        self, holder: str, now: float, limit: int, *, used: int, needed: int, reserve: int
    ) -> int:
        """Return how many slots a holder has from now on, never fewer than it uses.

        It uses ``used`` and wants ``needed`` more, all or none: it has them as long as
        all holders together do not *use* more than the limit, even if others have slots
        in reserve. Its own reserve comes from what nobody has, or is what it has already.
        So all together never have more than the limit and everybody's reserve.
        """
        self._left_behind = [each for each in self._left_behind if each.until > now]
        others = [held for name, held in self._held.items() if name != holder]
        others += self._left_behind
        own = self._held.get(holder)
        taken = used
        if needed and sum(each.used for each in others) + used + needed <= limit:
            taken += needed
        spare = limit - sum(each.granted for each in others) - taken
        kept = 0 if own is None else own.granted - taken
        granted = taken + min(reserve, max(spare, kept, 0))
        if granted:
            self._held[holder] = _Held(granted, taken, now)
        else:
            self._held.pop(holder, None)
        return granted

    def lose(self, holder: str, until: float) -> None:
        """A holder is dead: what it used counts ``until`` then, the rest is free."""
        held = self._held.pop(holder, None)
        if held is not None and held.used:
            self._left_behind.append(_Held(held.used, held.used, until))

    @property
    def granted(self) -> int:
        """How many slots all holders have."""
        return sum(held.granted for held in self._held.values())
