"""Ids that nobody can guess: 128 bits of the system's CSPRNG in hex."""

from __future__ import annotations

import os
from typing import Final, final

_BYTES: Final = 16
_BATCH: Final = 256
# The first two bits of this digit are 1 and 0 (RFC 9562, section 4.1).
_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


@final
class Ids:
    """Hands out ids; asks the system for many at a time, as each request costs a call."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: list[str] = []

    def new(self) -> str:
        """Return an id of 32 characters that never came before."""
        if not self._left:
            pool = os.urandom(_BYTES * _BATCH).hex()
            width = _BYTES * 2
            self._left = [pool[at : at + width] for at in range(0, len(pool), width)]
        return self._left.pop()

    def uuid(self) -> str:
        """Return a UUID, version 4, as Go's programs write theirs: of 128 bits, 6 are given."""
        digits = self.new()
        variant = _VARIANTS[digits[16]]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )
