"""Ids cannot be guessed and never repeat (A7)."""

import re

from gateway.ids import Ids


def test_a_hundred_thousand_ids_are_unique_and_have_128_bits() -> None:
    ids = Ids()
    made = [ids.new() for _ in range(100_000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


def test_each_position_takes_every_digit_evenly() -> None:
    """No structure: no clock, counter or version in any position."""
    ids = Ids()
    made = [ids.new() for _ in range(20_000)]
    for position in range(32):
        column = [each[position] for each in made]
        assert all(900 < column.count(digit) < 1600 for digit in "0123456789abcdef")
