"""JSON in the one form that is hashed, and in the one that people are shown.

Pure module. Both are of the same value: members are in the order of their names, a number
without a fraction has none, and what a person cannot see in a text (controls, directions,
blanks that are none) is written as an escape, which JSON has for every character. Nothing
is left out and nothing shortened: what is too much to be looked at is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any, Final

import msgspec

from session import longtexts

#: The most that a person can be expected to look through, as canonical JSON.
MOST_BYTES: Final = 32 * 1024
#: And a member to a line.
MOST_SHOWN: Final = 64 * 1024
_DEPTH: Final = 32
# Beyond it not every program means the same number.
_LARGEST_EXACT: Final = 2**53
# Of the others each is looked at; these can be seen.
_NOT_PLAIN: Final = re.compile(r"[^ -~]")
#: Control, format, surrogate, private, unassigned; separators of lines, paragraphs, words.
_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
# Of other categories, and all the same nothing to see: joiners, fillers, variation selectors.
_BLANK: Final = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class UnshowableError(ValueError):
    """This cannot be shown to a person whole; the message says why."""


def canonical(value: dict[str, Any]) -> str:
    """Return an object as it is hashed: equal values give equal texts.

    Raises:
        UnshowableError: it is too large or too deep.
    """
    # Each value has a byte at least, so that this refuses nothing else, only sooner.
    if longtexts.is_long(value, MOST_BYTES, 1) or len(_encode(value)) > MOST_BYTES:
        raise UnshowableError(f"they are longer than {MOST_BYTES} bytes")
    text = _encode(_plain(value, 0)).decode()
    if len(shown(text)) > MOST_SHOWN:
        raise UnshowableError(f"a member to a line, they are longer than {MOST_SHOWN} characters")
    return text


def digest_of(tool: str, arguments: str) -> str:
    """Return what names a tool with its canonical arguments: a SHA-256 in hex."""
    return hashlib.sha256(_encode((tool, arguments))).hexdigest()


def shown(text: str) -> str:
    """Return canonical JSON for people: a member to a line, all that is in it to be seen."""
    return visible(json.dumps(json.loads(text), indent=2, ensure_ascii=False), lines="\n")


def visible(text: str, *, lines: str = "\n\t") -> str:
    """Return a text in which nothing is hidden; ``lines`` are the controls that may stay."""
    return _NOT_PLAIN.sub(
        lambda found: (
            found[0] if found[0] in lines or not _is_hidden(found[0]) else _escaped(found[0])
        ),
        text,
    )


def _is_hidden(letter: str) -> bool:
    return ord(letter) in _BLANK or unicodedata.category(letter) in _HIDDEN


def _escaped(letter: str) -> str:
    # As JSON writes it, so that what is shown is still the value.
    return json.dumps(letter)[1:-1] if ord(letter) != 0x7F else "\\u007f"  # noqa: PLR2004 - DEL, which json leaves as it is


def _plain(value: Any, depth: int) -> Any:
    """Return a value with each number in its one form."""
    if depth > _DEPTH:
        raise UnshowableError(f"they are nested more than {_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT:
        return int(value)
    return value
