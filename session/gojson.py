"""JSON whose bytes are a contract: decoded strictly, encoded as Go writes it.

Pure module. `decode` refuses what two readers could understand differently
(repeated keys, numbers that a float64 would round, lone surrogates, a byte
order mark, NaN) and what could stall us (deep nesting, too many containers).
It refuses before or right after msgspec has parsed, only with operations that
run at C speed, so that a hostile megabyte costs milliseconds, as a friendly one
does. `encode` gives the bytes of Go's encoding/json. Neither judges what a
document means.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final

import msgspec

_parse: Final = msgspec.json.Decoder().decode
_write: Final = msgspec.json.Encoder().encode

# The same number to every reader that keeps numbers as float64 (RFC 8259
# section 6). The bound has 16 digits: a shorter number need not be looked at.
_LARGEST: Final = 2**53 - 1
_LONG: Final = b"0" * 16
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"0" * 9)
_SHAPE: Final = bytes.maketrans(b"123456789[", b"0" * 9 + b"{")

# 100,000 empty lists take msgspec and the collector 10 ms, a million 250 ms.
_MAX_CONTAINERS: Final = 65_536

_MAX_DEPTH: Final = 64
_TOO_DEEP: Final = f"nested more than {_MAX_DEPTH} levels deep"
_TOO_LARGE: Final = "an integer is beyond 2^53-1 and would be rounded; send it as text"

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
# As signed bytes: one level down, one level up.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")

# Below, find() >= 0 stands where "in" would be clearer: for bytes it costs half as much.
_SPACE: Final = b" \t\r\n"
_BACKSLASH: Final = ord("\\")
_LESS, _GREATER, _AMPERSAND = b"<>&"
# How U+2028 and U+2029 begin in UTF-8.
_LINE_SEPARATOR: Final = 0xE2

_NUMBER: Final = re.compile(rb"[-+.0-9eE]{16,}")
_STRING_OR_FLOAT: Final = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+(?:e-?[0-9]+)?|e-?[0-9]+)'
)
# Go leaves floats in this range without an exponent, as JavaScript does.
_PLAIN_FROM: Final = 1e-6
_PLAIN_BELOW: Final = 1e21

_SHOWN: Final = 64
# What has few values, so that looking at each of them costs less than writing them again.
_SHORT: Final = 4096


class DecodeError(ValueError):
    """The bytes are not one JSON value that every reader understands alike."""


def decode(data: bytes) -> object:
    """Return the value of a JSON document.

    Raises:
        DecodeError: it is not one, or breaks a limit; the message says what and,
            where it can, at which byte.
    """
    is_short = len(data) <= _SHORT
    if not is_short:
        shape = data.translate(_SHAPE)
        # As many brackets as that can be nested to the limit, not beyond.
        if shape.count(b"{") > _MAX_DEPTH or shape.find(_LONG) >= 0:
            _check_shape(data)
    try:
        value = _parse(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(_explained(error, data)) from None
    # Each key has a colon. If there are no more of them than keys, then none was lost.
    if is_short and data.count(b":") == _keys_of(value):
        return value
    # Most programs write JSON as msgspec does. If writing the value again gives
    # the same bytes, then nothing was lost on the way, no repeated key either.
    written = _write(value)
    if written != data and _count_keys(written) != _count_keys(data):
        raise DecodeError(f"a key is repeated{_repeated_key(data)}")
    return value


def refuse_lookalikes(mapping: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse a key that differs from a known one by case only, at this level.

    Go would take "Name", or "name" with U+212A or U+017F in it, for "name", and
    whoever decides by one of them must not be followed by who acts on the other.

    Raises:
        DecodeError: there is such a key.
    """
    if mapping.keys() <= known:
        return
    names = _folded(known)
    for key in mapping.keys() - known:
        name = names.get(key.casefold())
        if name is not None:
            raise DecodeError(f"the key {_shown(key)} can be mistaken for {_shown(name)}")


def encode(value: Any) -> bytes:
    """Return ``value`` as Go's encoding/json writes it.

    A dict stands for a Go struct and keeps its order; bytes are base64. Integers
    are written exactly, whatever their size.

    Raises:
        ValueError: NaN, an infinity or a lone surrogate is in it.
        TypeError: JSON has nothing for a type in it.
    """
    written = _write(value)
    shape = written.translate(_DIGITS_ALIKE)
    if shape.find(b"0.") >= 0 or shape.find(b"0e") >= 0:
        written = _STRING_OR_FLOAT.sub(_respelled, written)
    if written.find(b"null") >= 0:
        _refuse_not_a_number(value)
    if _LESS in written:
        written = written.replace(b"<", b"\\u003c")
    if _GREATER in written:
        written = written.replace(b">", b"\\u003e")
    if _AMPERSAND in written:
        written = written.replace(b"&", b"\\u0026")
    if _LINE_SEPARATOR in written:
        written = written.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return written


def _check_shape(data: bytes) -> None:
    """Refuse what is too deep, has too many containers or rounds an integer.

    Exact for valid JSON. Of anything else it may say the wrong thing, or nothing;
    the parser refuses that.
    """
    text = data
    if _BACKSLASH in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Now every quote begins or ends a string: every second part is outside of one.
    outside = b'"'.join(text.split(b'"')[::2])
    if outside.count(b"[") + outside.count(b"{") > _MAX_CONTAINERS:
        raise DecodeError(f"more than {_MAX_CONTAINERS} objects and arrays")
    steps = memoryview(outside.translate(_STEPS, _NOT_BRACKETS)).cast("b")
    if max(accumulate(steps), default=0) > _MAX_DEPTH:
        raise DecodeError(_TOO_DEEP)
    for number in _NUMBER.findall(outside):
        digits = number.lstrip(b"-")
        if digits.isdigit() and (len(digits) > len(_LONG) or int(digits) > _LARGEST):
            raise DecodeError(_TOO_LARGE)


def _keys_of(value: object, levels: int = _MAX_DEPTH) -> int:
    """Count the keys in a value that was parsed; refuse what `_check_shape` does."""
    if isinstance(value, dict):
        count = len(value)
        # Compiled, a list is looked through for half of what the values of a dict cost.
        members: list[object] = list(value.values())
    elif isinstance(value, list):
        count, members = 0, value
    else:
        if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            raise DecodeError(_TOO_LARGE)
        return 0
    if not levels:
        raise DecodeError(_TOO_DEEP)
    for each in members:
        # A call for each integer would cost more than all the rest.
        is_large = isinstance(each, int) and not -_LARGEST <= each <= _LARGEST
        if is_large or isinstance(each, (dict, list)):
            count += _keys_of(each, levels - 1)
    return count


def _count_keys(data: bytes) -> int:
    """Count the keys in valid JSON, and the strings that begin with a colon.

    The latter are counted alike in a document and in what msgspec makes of it, so
    that the counts differ if and only if a key, with all it held, was dropped.
    """
    if _BACKSLASH in data:
        # Once the pairs of backslashes are gone, every other one begins an escape.
        data = data.replace(b"\\\\", b".").replace(b'\\"', b".")
        if data.find(b"\\u") >= 0:
            data = data.replace(b"\\u003a", b":").replace(b"\\u003A", b":")
            data = data.replace(b"\\u0020", b" ")
    return data.translate(None, _SPACE).count(b'":')


def _repeated_key(data: bytes) -> str:
    """Name the key for people; it takes too long in a large document."""
    if len(data) > 1 << 16:
        return ""
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    json.loads(data, object_pairs_hook=look)
    return f": {_shown(repeated[0])}"


def _explained(error: Exception, data: bytes) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if data.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark (byte 0)"
    if isinstance(error, UnicodeDecodeError):
        try:
            data.decode()
        except UnicodeDecodeError as whole:
            return f"not UTF-8 (byte {whole.start})"
    return str(error)


def _shown(key: str) -> str:
    return ascii(key if len(key) <= _SHOWN else key[:_SHOWN] + "...")


@functools.lru_cache(maxsize=64)
def _folded(known: frozenset[str]) -> dict[str, str]:
    return {name.casefold(): name for name in known}


def _respelled(match: re.Match[bytes]) -> bytes:
    """Write a float as Go does; a string stays as it is."""
    text = match[0]
    if text[0] == ord('"'):
        return text
    number = float(text)
    if number == 0:
        return b"-0" if text[0] == ord("-") else b"0"
    if _PLAIN_FROM <= abs(number) < _PLAIN_BELOW:
        return format(Decimal(repr(number)), "f").removesuffix(".0").encode()
    return repr(number).replace("e-0", "e-").encode()


def _refuse_not_a_number(value: Any) -> None:
    """Find what msgspec wrote as null although it is none."""
    left: list[Any] = [msgspec.to_builtins(value)]
    while left:
        part = left.pop()
        if isinstance(part, float):
            if not math.isfinite(part):
                raise ValueError(f"JSON has no number {part}")
        elif isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, Iterable) and not isinstance(part, str):
            left.extend(part)
