"""Ids cannot be guessed and never repeat (A7)."""

import re
import uuid

from gateway.ids import Ids


def test_a_million_ids_are_unique_and_have_128_bits() -> None:
    ids = Ids()
    made = [ids.new() for _ in range(1_000_000)]
    assert len(set(made)) == len(made)
    assert re.fullmatch("([0-9a-f]{32} )*", " ".join([*made, ""]))


def test_each_position_takes_every_digit_evenly() -> None:
    """No structure: no clock, counter or version in any position."""
    ids = Ids()
    made = [ids.new() for _ in range(20_000)]
    for position in range(32):
        column = [each[position] for each in made]
        assert all(900 < column.count(digit) < 1600 for digit in "0123456789abcdef")


def test_uuids_are_of_version_4_and_every_free_digit_is_evenly_taken() -> None:
    ids = Ids()
    made = [ids.uuid() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    for each in made[:1000]:
        read = uuid.UUID(each)
        assert (read.version, read.variant, str(read)) == (4, uuid.RFC_4122, each)
    digits = [each.replace("-", "") for each in made]
    for position in set(range(32)) - {12, 16}:
        column = [each[position] for each in digits]
        assert all(900 < column.count(digit) < 1600 for digit in "0123456789abcdef")
    assert {each[16] for each in digits} == set("89ab")
