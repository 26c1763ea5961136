"""Nobody gets more than their bucket, and nobody's bucket costs more than its bound."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pool.rate_limit import RateLimit


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    limit = RateLimit(rate=2, burst=3, keys=10)
    assert [limit.take("a", 100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("a", 100.4) == pytest.approx(0.1)
    assert limit.take("a", 100.5) == 0
    assert limit.take("a", 100.5) == pytest.approx(0.5)


def test_who_waits_as_long_as_told_is_let_in() -> None:
    limit = RateLimit(rate=3, burst=1, keys=10)
    now = 1e9 / 7
    for _ in range(100):
        assert limit.take("a", now) == 0
        now += limit.take("a", now)


def test_a_refusal_takes_nothing() -> None:
    limit = RateLimit(rate=1, burst=5, keys=10)
    assert limit.take("a", 0.0, 3) == 0
    assert limit.take("a", 0.0, 3) == 1
    assert limit.available("a", 0.0) == 2
    assert limit.take("a", 0.0, 2) == 0


def test_keys_do_not_share() -> None:
    limit = RateLimit(rate=1, burst=1, keys=10)
    assert limit.take("a", 0.0) == 0
    assert limit.take("a", 0.0) == 1
    assert limit.take("b", 0.0) == 0


def test_a_bucket_fills_to_its_burst_and_not_beyond() -> None:
    limit = RateLimit(rate=1, burst=2, keys=10)
    limit.take("a", 0.0, 2)
    assert limit.available("a", 1.0) == 1
    assert limit.available("a", 1000.0) == 2
    assert limit.available("stranger", 0.0) == 2


def test_full_buckets_are_forgotten_as_new_ones_come() -> None:
    limit = RateLimit(rate=1, burst=1, keys=1000)
    for number in range(100):
        limit.take(f"old {number}", 0.0)
    assert len(limit) == 100
    for number in range(60):
        limit.take(f"new {number}", 5.0)
    assert len(limit) == 60


def test_a_flood_of_keys_shares_one_bucket_and_spares_the_others() -> None:
    limit = RateLimit(rate=1, burst=2, keys=3)
    for key in "abc":
        assert limit.take(key, 0.0) == 0
    admitted = sum(limit.take(f"flood {number}", 0.0) == 0 for number in range(1000))
    assert admitted == 2
    assert len(limit) == 3
    # Who has a bucket is not touched by the flood.
    assert limit.take("a", 0.0) == 0
    assert limit.take("a", 0.0) == 1


def test_without_keys_all_share_one_bucket() -> None:
    limit = RateLimit(rate=1, burst=1, keys=0)
    assert limit.take("a", 0.0) == 0
    assert limit.take("b", 0.0) == 1


def test_time_that_goes_back_gives_nothing() -> None:
    limit = RateLimit(rate=1, burst=1, keys=10)
    assert limit.take("a", 100.0) == 0
    assert limit.take("a", 90.0) == 11


@pytest.mark.parametrize("amount", [-1, 3.1])
def test_an_amount_that_can_never_be_taken_is_a_mistake(amount: float) -> None:
    limit = RateLimit(rate=1, burst=3, keys=10)
    with pytest.raises(ValueError, match="between 0 and 3"):
        limit.take("a", 0.0, amount)


@pytest.mark.parametrize(("rate", "burst", "keys"), [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_limits_that_make_no_sense_are_refused(rate: float, burst: float, keys: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        RateLimit(rate, burst, keys=keys)


class RateLimitMachine(RuleBasedStateMachine):
    """With room for every key the limit agrees with textbook buckets in exact numbers."""

    RATE = Fraction(3, 2)
    BURST = Fraction(4)
    KEYS = "abcd"

    def __init__(self) -> None:
        super().__init__()
        self.limit = RateLimit(float(self.RATE), float(self.BURST), keys=len(self.KEYS))
        self.now = Fraction(0)
        self.tokens = dict.fromkeys(self.KEYS, self.BURST)

    @rule(quarters=st.integers(0, 12))
    def wait(self, quarters: int) -> None:
        """Let time pass; every bucket fills, up to its burst."""
        self.now += Fraction(quarters, 4)
        for key in self.KEYS:
            self.tokens[key] = min(self.BURST, self.tokens[key] + self.RATE * Fraction(quarters, 4))

    @rule(key=st.sampled_from(KEYS), amount=st.integers(0, 4))
    def take(self, key: str, amount: int) -> None:
        """Take some, if they are there, or hear for how long to wait."""
        wait = self.limit.take(key, float(self.now), amount)
        missing = amount - self.tokens[key]
        if missing <= 0:
            assert wait == 0
            self.tokens[key] -= amount
        else:
            assert wait == pytest.approx(float(missing / self.RATE))

    @invariant()
    def buckets_agree(self) -> None:
        """Every key has what it should, whether its bucket is kept or not."""
        for key in self.KEYS:
            available = self.limit.available(key, float(self.now))
            assert available == pytest.approx(float(self.tokens[key]), abs=1e-6)
        assert len(self.limit) <= len(self.KEYS)


TestRateLimit = RateLimitMachine.TestCase
