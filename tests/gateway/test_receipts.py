"""Receipts: signed, and read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway import receipts
from gateway.receipts import LONGEST, Receipt

KEY = bytes(range(32))
RECEIPT = Receipt("q1", "acme", "agent", "db.drop", "d" * 64, ("ann",), 1.0, 301.0)


def test_what_was_signed_is_read_with_its_key() -> None:
    text = receipts.signed(RECEIPT, KEY)
    assert receipts.read(text, [KEY]) == RECEIPT
    assert receipts.read(text, [bytes(32), KEY]) == RECEIPT
    assert receipts.read(text, [bytes(32)]) is None
    assert receipts.read(text, []) is None
    assert text.isascii()
    # It goes into arguments, headers and shells as it is.
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_the_longest_names_make_a_receipt_that_can_be_read() -> None:
    longest = replace(
        RECEIPT,
        tenant="t" * 128,
        subject="s" * 256,
        tool="n" * 128,
        approved_by=("\x01" * 128,) * 20,
    )
    text = receipts.signed(longest, KEY)
    assert len(text) <= LONGEST
    assert receipts.read(text, [KEY]) == longest


@given(at=st.integers(0, 10_000), letter=st.sampled_from("Aa0-_.="))
def test_no_letter_of_it_can_be_another(at: int, letter: str) -> None:
    text = receipts.signed(RECEIPT, KEY)
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    assert changed == text or receipts.read(changed, [KEY]) is None


@given(text=st.text(max_size=100))
def test_what_is_made_up_is_none(text: str) -> None:
    for prefix in ("", "approval1.", "approval1.e30."):
        assert receipts.read(prefix + text, [KEY]) is None
