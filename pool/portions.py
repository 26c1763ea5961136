"""What this process holds of a limit that it shares: the part that is looked at for every ask.

Pure module: numbers that are compared and counted, no more. Whoever owns a portion asks
the limit's keeper for more before it says no (`pool.leases` has what the keeper does).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, final

#: Which share of a limit all holders together may have in reserve.
RESERVED: Final = 0.1
# Times have microseconds, in which a fast rate has a part of a token.
_ROUNDING: Final = 0.01


class Account(NamedTuple):
    """What is limited, and whose it is; without a subject it is the whole tenant's."""

    kind: str
    tenant: str
    subject: str


@final
class Tokens:
    """Tokens of a rate that were taken from the bucket and not used yet."""

    __slots__ = (
        "account",
        "again_at",
        "burst",
        "dry_for",
        "dry_until",
        "held",
        "is_asking",
        "left",
        "left_at",
        "limit",
        "low",
        "name",
        "rate",
        "reserve",
        "told",
    )

    def __init__(self, account: Account, name: str) -> None:
        self.account = account
        #: What people call the quota.
        self.name = name
        self.limit = 0.0
        self.rate = 0.0
        self.burst = 0.0
        self.held = 0.0
        #: How many are held at most beyond what is needed, and below how many more are taken.
        self.reserve = 0.0
        self.low = 0.0
        #: When to ask for more in advance again, after there was none.
        self.again_at = 0.0
        #: Until when the bucket cannot have so many, as it said.
        self.dry_until = 0.0
        self.dry_for = 0.0
        #: Whether more are being taken.
        self.is_asking = False
        #: What the bucket had left, and when it said so.
        self.left = 0.0
        self.left_at = 0.0
        #: How often it did.
        self.told = 0

    def set_limit(self, limit: float, rate: float, burst: float, holders: int) -> None:
        """Follow a limit; what is held counts for another one only as far as it has to."""
        if (limit, rate, burst) != (self.limit, self.rate, self.burst):
            self.limit, self.rate, self.burst = limit, rate, burst
            self.left = burst
            self.dry_until = self.again_at = 0.0
        self.reserve = float(math.floor(RESERVED * burst / holders))
        self.low = self.reserve / 2
        self.held = min(self.held, self.reserve)

    def hear(self, left: float, now: float) -> None:
        """Hear what the bucket has left."""
        self.left = left
        self.left_at = now
        self.told += 1

    def remaining(self, now: float) -> int:
        """Return about how many could be used now, all holders together."""
        left = min(self.left + (now - self.left_at) * self.rate, self.burst - self.held)
        return max(0, int(left + self.held + _ROUNDING))


@final
class Slots:
    """Slots that were leased, and how many of them are used."""

    __slots__ = (
        "account",
        "again_at",
        "alarm",
        "board",
        "floor",
        "full_until",
        "granted",
        "is_listed",
        "limit",
        "low",
        "name",
        "reserve",
        "used",
        "waiting",
    )

    def __init__(self, account: Account, name: str, board: list[Slots]) -> None:
        self.account = account
        self.name = name
        #: Where it puts itself when the keeper should hear of it.
        self.board = board
        self.is_listed = False
        self.limit = 0
        self.granted = 0
        self.used = 0
        #: How many are leased beyond those that are used, and below how many more are leased.
        self.reserve = 0
        self.low = 0
        #: Above how many that are used there is something to do, and from how few on down.
        self.alarm = 0
        self.floor = 0
        #: When to ask for more in advance again, after there was none.
        self.again_at = 0.0
        #: Until when it is not asked again whether there is one more.
        self.full_until = 0.0
        #: Those who wait for what the keeper says, while it is being asked.
        self.waiting: list[Callable[[], None]] | None = None

    def set_limit(self, limit: int, holders: int, *, shared: bool) -> None:
        """Follow a limit; with another one the keeper is asked before anything more is used."""
        if limit != self.limit:
            self.limit = limit
            self.granted = min(self.granted, self.used)
            self.full_until = self.again_at = 0.0
        # Whoever is alone has all there is.
        self.reserve = math.floor(RESERVED * limit / holders) if shared else limit
        self.low = (self.reserve + 1) // 2 if shared else 0
        self.grant(self.granted)

    def grant(self, granted: int) -> None:
        """Have so many from now on."""
        self.granted = granted
        self.alarm = granted - self.low
        self.floor = max(0, granted - 2 * self.reserve - 1)

    def take_back(self) -> None:
        """One of those that are used is free."""
        self.used -= 1
        if self.used <= self.floor:
            self.report()

    def report(self) -> None:
        """Have the keeper told how many are used, soon."""
        if not self.is_listed:
            self.is_listed = True
            self.board.append(self)
