"""What a process holds of a limit follows the limit, and says when there is something to tell."""

from __future__ import annotations

import pytest

from pool.portions import Account, Slots, Tokens

ACCOUNT = Account("pending", "acme", "")


def test_a_reserve_is_a_holders_share_of_a_tenth() -> None:
    tokens = Tokens(ACCOUNT, "asks")
    tokens.set_limit(1_000, 1_000, 1_000, 4)
    assert (tokens.reserve, tokens.low) == (25.0, 12.5)
    tokens.set_limit(10, 10, 10, 4)
    assert (tokens.reserve, tokens.low) == (0.0, 0.0)


def test_what_is_held_shrinks_with_the_share() -> None:
    tokens = Tokens(ACCOUNT, "asks")
    tokens.set_limit(1_000, 1_000, 1_000, 1)
    tokens.held = 90.0
    tokens.set_limit(1_000, 1_000, 1_000, 2)
    assert tokens.held == 50.0


@pytest.mark.parametrize(("seconds", "remaining"), [(0.0, 30), (0.5, 80), (60.0, 100)])
def test_what_remains_is_what_was_left_and_what_came_since(seconds: float, remaining: int) -> None:
    tokens = Tokens(ACCOUNT, "asks")
    tokens.set_limit(100, 100, 100, 1)
    tokens.held, tokens.left, tokens.left_at = 10.0, 20.0, 5.0
    assert tokens.remaining(5.0 + seconds) == remaining


def test_another_limit_is_asked_for_before_it_is_used() -> None:
    slots = Slots(ACCOUNT, "pending", [])
    slots.set_limit(100, 2, shared=True)
    slots.granted, slots.used, slots.full_until = 20, 15, 99.0
    slots.set_limit(100, 1, shared=True)
    assert (slots.granted, slots.reserve, slots.low, slots.full_until) == (20, 10, 5, 99.0)
    slots.set_limit(50, 1, shared=True)
    assert (slots.granted, slots.reserve, slots.full_until) == (15, 5, 0.0)


def test_who_is_alone_has_all_of_a_limit_and_asks_for_nothing_in_advance() -> None:
    slots = Slots(ACCOUNT, "pending", [])
    slots.set_limit(100, 1, shared=False)
    assert (slots.reserve, slots.low) == (100, 0)


def test_what_is_given_back_is_told_when_it_is_much_or_all() -> None:
    board: list[Slots] = []
    slots = Slots(ACCOUNT, "pending", board)
    slots.set_limit(100, 2, shared=True)
    slots.grant(20)
    slots.used = 20
    for _ in range(10):
        slots.take_back()
    assert board == []
    slots.take_back()
    slots.take_back()
    assert board == [slots]
    slots.is_listed = False
    board.clear()
    slots.grant(9)
    for _ in range(8):
        slots.take_back()
    assert (slots.used, board) == (0, [slots])
