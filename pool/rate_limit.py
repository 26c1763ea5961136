"""How often somebody may do something: a token bucket for each key.

Pure module: the time is an argument. A bucket is one number, the time at which
it will be full again, so that one that is full is the same as none and can be
forgotten. The number of keys is bounded; who does not fit shares one bucket with
everybody else who does not, so that a flood of keys neither grows memory nor buys
anybody a fresh allowance.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

# Full buckets forgotten for each new one: more than one, so that the map shrinks.
_FORGOTTEN: Final = 2
# Rounding, in seconds: whoever waits exactly as long as told is let in.
_SLACK: Final = 1e-6


@final
class RateLimit:
    """Lets each key do ``burst`` at once and ``rate`` a second in the long run.

    Args:
        rate: tokens that come back each second.
        burst: tokens in a full bucket.
        keys: how many keys have a bucket of their own at once.
    """

    __slots__ = ("_burst", "_full_at", "_keys", "_rate", "_rest_full_at")

    def __init__(self, rate: float, burst: float, *, keys: int) -> None:
        if rate <= 0 or burst <= 0 or keys < 0:
            raise ValueError("rate and burst must be above zero, keys not below")
        self._rate = rate
        self._burst = burst
        self._keys = keys
        # Longest unused first.
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._rest_full_at = 0.0

    def take(self, key: str, now: float, amount: float = 1.0) -> float:
        """Take ``amount`` tokens, or none; return the seconds to wait before asking again.

        0.0 means that they were taken.

        Raises:
            ValueError: not even a full bucket has ``amount``.
        """
        if not 0 <= amount <= self._burst:
            raise ValueError(f"amount must be between 0 and {self._burst}")
        known = self._full_at.get(key)
        own = known is not None or self._has_room(now)
        full_at = known if known is not None else now if own else self._rest_full_at
        full_at = max(full_at, now) + amount / self._rate
        wait = full_at - now - self._burst / self._rate
        if wait > _SLACK:
            return wait
        if own:
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
        else:
            self._rest_full_at = full_at
        return 0.0

    def available(self, key: str, now: float) -> float:
        """Return how many tokens a bucket of the key's own has."""
        return self._burst - max(self._full_at.get(key, now) - now, 0.0) * self._rate

    def _has_room(self, now: float) -> bool:
        """Forget a few full buckets, and say whether one more fits."""
        for _ in range(_FORGOTTEN):
            if not self._full_at:
                break
            key = next(iter(self._full_at))
            if self._full_at[key] > now:
                break
            del self._full_at[key]
        return len(self._full_at) < self._keys

    def __len__(self) -> int:
        return len(self._full_at)
