"""Text of others, as a terminal may show it.

Pure module. What an agent asks and a person answers is text to read: control
characters that move the cursor, colour, ring or reverse what is shown are
spelled out instead. It refuses to change anything else.
"""

from __future__ import annotations

import re
from typing import Final

_INDENT: Final = "    "
# C0 and C1 controls but for tab and line feed; marks that reorder what is read
# ("Trojan Source", CVE-2021-42574); lone surrogates, which no terminal can take.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return ``text`` with everything spelled out that would command a terminal."""
    return _UNSAFE.sub(_spelled, text.replace("\r\n", "\n"))


def indented(text: str) -> str:
    """Return ``text`` plain, its later lines indented: none can pass for one of ours."""
    return plain(text).replace("\n", "\n" + _INDENT)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte
