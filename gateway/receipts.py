"""Receipts: what a person approved, signed, in a text that a caller carries.

Pure module. Anybody can read one (it is JSON, in base64), and nobody can make or change
one without the key. What it says is the caller's own: who it is, which tool with which
arguments, who approved when, and how long that holds. Whether it was used is the store's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

import msgspec

_VERSION: Final = "approval1."
#: The longest receipt, in characters: who shows a longer one has made it up.
LONGEST: Final = 32 * 1024


class Receipt(msgspec.Struct, frozen=True):
    """What is signed. Times are seconds since the epoch; ``id`` is that of the question."""

    id: str
    tenant: str
    subject: str
    tool: str
    digest: str
    approved_by: tuple[str, ...]
    approved_at: float
    expires_at: float


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Receipt).decode


def signed(receipt: Receipt, key: bytes) -> str:
    """Return a receipt as its caller is given it."""
    body = _armoured(_encode(receipt))
    return f"{_VERSION}{body}.{_armoured(_mac(key, body))}"


def read(text: str, keys: Iterable[bytes]) -> Receipt | None:
    """Return a receipt that one of these keys signed; ``None`` when none did."""
    if len(text) > LONGEST or not text.startswith(_VERSION) or not text.isascii():
        return None
    body, _, shown = text[len(_VERSION) :].partition(".")
    # In its one form: another spelling of the same signature is another text.
    if not any(hmac.compare_digest(_armoured(_mac(key, body)), shown) for key in keys):
        return None
    try:
        return _decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        # An instance of another version signed it.
        return None


def _armoured(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _mac(key: bytes, body: str) -> bytes:
    return hmac.new(key, (_VERSION + body).encode(), hashlib.sha256).digest()
