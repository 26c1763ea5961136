"""However holders ask, forget, die and lose replies: all together stay within the limit.

"Within" is the limit itself, and what all of them may have in reserve: a tenth of it.
"""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pool.leases import SlotPool, TokenPool
from pool.portions import RESERVED

# -- tokens


def test_a_full_bucket_gives_its_burst_at_once_and_then_says_how_long_to_wait() -> None:
    pool = TokenPool()
    assert pool.take(100.0, 10, 5, 5, 0) == (5, 0.0, 0.0)
    granted, wait, left = pool.take(100.0, 10, 5, 1, 0)
    assert granted == 0
    assert left == pytest.approx(0.0)
    assert wait == pytest.approx(0.1)
    assert pool.take(100.0 + wait, 10, 5, 1, 0).granted == 1


def test_what_is_extra_is_as_much_as_there_is_and_comes_whole() -> None:
    pool = TokenPool()
    assert pool.take(0.0, 10, 5.5, 1, 3) == (4, 0.0, 1.5)
    assert pool.take(0.0, 10, 5.5, 1, 3) == (1, 0.0, 0.5)
    assert pool.take(0.0, 10, 5.5, 0, 3).granted == 0


def test_in_advance_one_token_at_least_comes_or_none() -> None:
    pool = TokenPool()
    assert pool.take(0.0, 10, 2, 0, 9).granted == 2
    granted, wait, _ = pool.take(0.0, 10, 2, 0, 9)
    assert granted == 0
    assert wait == pytest.approx(0.1)
    assert pool.take(0.0, 10, 2, 0, 0) == (0.0, 0.0, 0.0)


def test_more_than_a_bucket_takes_a_full_one_and_is_waited_for_by_the_next() -> None:
    pool = TokenPool()
    assert pool.take(0.0, 10, 5, 20, 0).granted == 20
    assert pool.take(0.0, 10, 5, 1, 0).wait == pytest.approx(1.6)
    assert pool.take(1.5, 10, 5, 20, 0).granted == 0
    assert pool.take(2.0, 10, 5, 20, 0).granted == 20


@dataclasses.dataclass
class Holder:
    """Uses tokens that it took before, as `gateway.quotas.allowances` does."""

    held: float = 0.0


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.floats(0, 0.5),
        st.sampled_from(["use", "advance", "lost", "dies"]),
    ),
    max_size=200,
)


@given(st.floats(0.5, 200), st.integers(1, 4), STEPS)
def test_no_window_of_time_has_more_than_its_share(
    rate: float, count: int, steps: list[tuple[int, float, str]]
) -> None:
    """In any window what is used is at most rate x time + burst + all reserves."""
    burst = max(1.0, rate)
    reserve = math.floor(RESERVED * burst / count)
    pool, holders, now = TokenPool(), [Holder() for _ in range(count)], 1_000.0
    used: list[float] = []
    for who, seconds, what in steps:
        now += seconds
        holder = holders[who % count]
        extra = max(0.0, reserve - holder.held)
        if what == "dies":
            holder.held = 0.0
        elif what == "lost":
            # The bucket gave, and nobody heard.
            pool.take(now, rate, burst, 1, extra)
        elif what == "advance":
            holder.held += pool.take(now, rate, burst, 0, extra).granted
        elif holder.held >= 1:
            holder.held -= 1
            used.append(now)
        else:
            granted = pool.take(now, rate, burst, 1, extra).granted
            if granted >= 1:
                holder.held += granted - 1
                used.append(now)
        assert holder.held < reserve + 1
    for first, began in enumerate(used):
        for last in range(first, len(used)):
            most = rate * (used[last] - began) + burst + count * (reserve + 1)
            if reserve:
                most = rate * (used[last] - began) + burst * (1 + RESERVED) + 1
            assert last - first + 1 <= most + 1e-3


# -- slots


def test_what_others_have_in_reserve_is_nobodys_reason_to_be_refused() -> None:
    pool = SlotPool()
    assert pool.lease("a", 0.0, 20, used=10, needed=0, reserve=2) == 12
    assert pool.lease("b", 0.0, 20, used=0, needed=1, reserve=2) == 3
    for used in range(3, 10):
        assert pool.lease("b", 0.0, 20, used=used, needed=1, reserve=2) >= used + 1
    # All twenty are used by what is known; a has two in reserve beyond them.
    assert pool.lease("b", 0.0, 20, used=10, needed=1, reserve=2) == 10
    assert pool.granted == 22
    assert pool.lease("a", 0.0, 20, used=12, needed=1, reserve=2) == 12


def test_what_is_not_used_any_more_is_free_for_others() -> None:
    pool = SlotPool()
    assert pool.lease("a", 0.0, 10, used=0, needed=1, reserve=10) == 10
    assert pool.lease("a", 0.0, 10, used=2, needed=0, reserve=1) == 3
    assert pool.lease("b", 0.0, 10, used=0, needed=8, reserve=0) == 8
    assert pool.lease("a", 0.0, 10, used=0, needed=0, reserve=0) == 0
    assert pool.granted == 8


def test_a_lower_limit_takes_away_nothing_that_is_used() -> None:
    pool = SlotPool()
    assert pool.lease("a", 0.0, 10, used=9, needed=1, reserve=0) == 10
    assert pool.lease("a", 0.0, 5, used=10, needed=1, reserve=0) == 10
    assert pool.lease("b", 0.0, 5, used=0, needed=1, reserve=3) == 0


def test_what_a_dead_holder_left_behind_counts_until_its_time() -> None:
    pool = SlotPool()
    pool.lease("a", 0.0, 10, used=5, needed=1, reserve=4)
    pool.lose("a", 300.0)
    pool.lose("nobody", 300.0)
    assert pool.lease("b", 299.0, 10, used=0, needed=4, reserve=9) == 4
    assert pool.lease("b", 299.0, 10, used=4, needed=1, reserve=0) == 4
    assert pool.lease("b", 300.0, 10, used=4, needed=6, reserve=0) == 10


class SlotsShared(RuleBasedStateMachine):
    """Holders that lease, use, give back, say so late, die, and do not hear replies."""

    @initialize(limit=st.integers(1, 60), count=st.integers(1, 4))
    def begin(self, limit: int, count: int) -> None:
        self.limit, self.count = limit, count
        self.reserve = math.floor(RESERVED * limit / count)
        self.pool = SlotPool()
        self.now = 0.0
        self.used = [0] * count
        self.granted = [0] * count
        self.left: list[tuple[float, int]] = []

    @rule(who=st.integers(0, 3), many=st.integers(1, 30), hears=st.booleans())
    def use(self, who: int, many: int, hears: bool) -> None:
        who %= self.count
        for _ in range(many):
            if self.used[who] >= self.granted[who]:
                granted = self._lease(who, needed=1)
                if not hears:
                    return
                self.granted[who] = granted
            if self.used[who] >= self.granted[who]:
                return
            self.used[who] += 1

    @rule(who=st.integers(0, 3), many=st.integers(1, 30))
    def give_back(self, who: int, many: int) -> None:
        who %= self.count
        self.used[who] -= min(many, self.used[who])

    @rule(who=st.integers(0, 3), hears=st.booleans())
    def report(self, who: int, hears: bool) -> None:
        who %= self.count
        self.granted[who] = min(self.granted[who], self.used[who] + self.reserve)
        granted = self._lease(who, needed=0)
        if hears:
            self.granted[who] = granted

    @rule(who=st.integers(0, 3), stays=st.booleans())
    def die(self, who: int, stays: bool) -> None:
        who %= self.count
        until = self.now + 300 if stays else self.now
        # Of what was used since the last report nobody knows: it was within the grant.
        self.pool.lose(str(who), until)
        self.used[who] = self.granted[who] = 0

    @rule()
    def time_passes(self) -> None:
        self.now += 400

    @invariant()
    def all_together_stay_within(self) -> None:
        if hasattr(self, "pool"):
            assert sum(self.used) <= self.limit + self.count * self.reserve
            assert sum(self.used) <= self.limit * (1 + RESERVED)
            assert self.pool.granted <= self.limit + self.count * self.reserve
            for who in range(self.count):
                assert self.used[who] <= self.granted[who]

    def _lease(self, who: int, needed: int) -> int:
        reserve = self.reserve if self.used[who] or needed else 0
        granted = self.pool.lease(
            str(who), self.now, self.limit, used=self.used[who], needed=needed, reserve=reserve
        )
        assert granted >= self.used[who]
        return granted


TestSlotsShared = SlotsShared.TestCase
