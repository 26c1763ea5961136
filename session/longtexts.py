"""JSON with long texts in it, read and written a piece at a time.

Pure module. What comes of it is what `session.gojson` reads and msgspec writes, but nobody
waits for all of it: each function yields after every piece, for whoever drives it
(`gateway.large`) to let others have their turn.

A document is scanned in pieces, with operations that run at C speed. Texts that are longer
than a piece are cut out of it and decoded piece by piece; what is left, the document's
structure, is decoded whole and strictly, as every small document is. So the structure may
have no more bytes than what is done in one go (`WHOLE`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final, final

import msgspec

from session import gojson
from session.gojson import DecodeError
from session.steps import PIECE, WHOLE, Steps

#: How many characters may be written in one go: each may become several bytes.
LONG: Final = WHOLE // 4
_VALUES_PER_STEP: Final = 16 * 1024
# What a value counts for beside its characters, so that looking at many ends soon.
_VALUE: Final = 16
_ESCAPE: Final = 6
_SHORT_ESCAPE: Final = 2
_HIGH_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB]")
# Behind the first byte of a character there are at most so many more (RFC 3629).
_CONTINUATIONS: Final = 3

_parse_text: Final = msgspec.json.Decoder(str).decode
_write: Final = msgspec.json.Encoder().encode


def decoding(
    data: bytes,
    token: str,
    *,
    parse: Callable[[bytes], object] = gojson.decode,
    most: int = WHOLE,
) -> Steps[object]:
    """Return the value of a JSON document, as ``parse`` does.

    ``token`` stands for the long texts while they are away: ASCII that nobody can guess.

    Raises:
        DecodeError: it is none, breaks a limit, has more than ``most`` bytes besides its
            long texts, or one of those is a key.
    """
    scan = _Scan(data, token, most)
    yield from scan.steps()
    texts: list[str] = []
    for bounds in scan.bounds():
        text = yield from _text(data, bounds)
        texts.append(text)
    value = parse(b"".join(scan.structure))
    yield
    if not texts:
        return value
    return (yield from _put_back(value, texts, f"{token}:"))


@final
class _Scan:
    """Cuts a document up: into its structure, and into where its long texts are."""

    __slots__ = ("_data", "_most", "_size", "_start", "_stops", "_texts", "_token", "structure")

    def __init__(self, data: bytes, token: str, most: int) -> None:
        self._data = data
        self._most = most
        self._token = token.encode()
        #: The document, with a word for each long text.
        self.structure: list[bytes] = []
        self._size = 0
        self._texts: list[tuple[int, int]] = []
        # Where pieces end: never inside a character or an escape.
        self._stops: list[int] = []
        # Where the string begins that the scan is in the midst of; negative outside of one.
        self._start = -1

    def steps(self) -> Steps[None]:
        """Scan all of it."""
        at = 0
        while at < len(self._data):
            at = self._take(at)
            self._stops.append(at)
            if self._size > self._most:
                words = f"more than {self._most} bytes besides texts of {PIECE} and longer"
                raise DecodeError(words)
            yield
        if self._start >= 0:
            raise DecodeError("a text does not end")

    def bounds(self) -> list[list[int]]:
        """Return of each long text where it begins, where it may be cut, and where it ends."""
        return [
            [start, *(stop for stop in self._stops if start < stop < end), end]
            for start, end in self._texts
        ]

    def _take(self, at: int) -> int:
        """Scan the next piece; return where it ends."""
        piece = masked = self._data[at : at + PIECE]
        if piece.find(b"\\") >= 0:
            # Pieces begin outside of escapes, so these are whole ones.
            masked = piece.replace(b"\\\\", b"..").replace(b'\\"', b"..")
        stop = len(piece)
        if at + stop < len(self._data):
            stop = _end_of(masked, self._data, at)
        quotes = masked.count(b'"', 0, stop)
        is_inside = self._start >= 0
        if not quotes:
            if not is_inside:
                self._keep(piece[:stop])
            return at + stop
        begin = 0
        if is_inside:
            begin = masked.find(b'"')
            self._end_string(at + begin)
        if is_inside == (quotes % 2 == 0):
            # One begins that does not end here.
            last = masked.rfind(b'"', 0, stop) + 1
            self._keep(piece[begin:last])
            self._start = at + last
        else:
            self._keep(piece[begin:stop])
            self._start = -1
        return at + stop

    def _end_string(self, end: int) -> None:
        if end - self._start < PIECE:
            self._keep(self._data[self._start : end])
        else:
            self._keep(b"%b:%d" % (self._token, len(self._texts)))
            self._texts.append((self._start, end))

    def _keep(self, part: bytes) -> None:
        self.structure.append(part)
        self._size += len(part)


def _end_of(masked: bytes, data: bytes, at: int) -> int:
    """Return how much of a piece there is before what would be cut in two."""
    stop = len(masked)
    begun = masked.rfind(b"\\", stop - _ESCAPE)
    if begun >= 0:
        length = _ESCAPE if masked[begun + 1 : begun + 2] == b"u" else _SHORT_ESCAPE
        if begun + length > stop:
            stop = begun
    least = stop - _CONTINUATIONS
    while stop > least and data[at + stop] & 0xC0 == 0x80:  # noqa: PLR2004 - UTF-8
        stop -= 1
    if _HIGH_SURROGATE.match(masked, stop - _ESCAPE, stop):
        # With the other half, which comes next, it is one character.
        stop -= _ESCAPE
    return stop


def _text(data: bytes, bounds: list[int]) -> Steps[str]:
    """Return a text, decoded piece by piece."""
    pieces = []
    for start, end in pairwise(bounds):
        try:
            pieces.append(_parse_text(b'"%b"' % data[start:end]))
        except UnicodeDecodeError as error:
            raise DecodeError(f"not UTF-8 (byte {start + error.start})") from None
        except msgspec.DecodeError as error:
            raise DecodeError(f"in the text from byte {start - 1} on: {error}") from None
        yield
    text = "".join(pieces)
    yield
    return text


def _put_back(value: object, texts: list[str], mark: str) -> Steps[object]:
    """Return a value with its long texts where marks stand for them."""
    found = count = 0
    whole = [value]
    left: list[Any] = [whole]
    while left and found < len(texts):
        holder = left.pop()
        for key, item in holder.items() if type(holder) is dict else enumerate(holder):
            kind = type(item)
            if kind is dict or kind is list:
                left.append(item)
            elif kind is str and item.startswith(mark):
                holder[key] = texts[int(item[len(mark) :])]
                found += 1
            count += 1
            if count % _VALUES_PER_STEP == 0:
                yield
    if found < len(texts):
        raise DecodeError(f"a key is longer than {PIECE} bytes")
    return whole[0]


def is_long(value: object, most: int = LONG, each: int = _VALUE) -> bool:
    """Whether a JSON value is too long to be written in one go; takes no time to find out.

    Each value in it counts for ``each`` beside its characters.
    """
    size = 0
    left = [value]
    while left and size <= most:
        part = left.pop()
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, (dict, list)):
            size += each * len(part)
            if size <= most:
                left += part.values() if isinstance(part, dict) else part
    return size > most


@final
class Writer:
    """Writes a value as msgspec does, with its long texts piece by piece.

    Args:
        token: stands for the texts while they are away: ASCII that nobody can guess.
    """

    __slots__ = ("_texts", "_token")

    def __init__(self, token: str) -> None:
        self._token = token
        self._texts: dict[int, str] = {}

    def mark(self, text: str) -> str:
        """Return what stands for a text in what is to be written: it, if it is short."""
        if len(text) <= PIECE:
            return text
        self._texts[id(text)] = text
        return f"{self._token}:{id(text)}"

    def marking(self, value: Any) -> Steps[Any]:
        """Return a JSON value, such as a form's fields, with marks for its long texts."""
        whole = [value]
        left: list[Any] = [whole]
        count = 0
        while left:
            holder = left.pop()
            for key, item in holder.items() if type(holder) is dict else enumerate(holder):
                kind = type(item)
                if kind is str:
                    if len(item) > PIECE:
                        holder[key] = self.mark(item)
                elif kind is dict or kind is list:
                    # What is marked is a copy: the value is somebody else's.
                    holder[key] = item.copy()
                    left.append(holder[key])
                count += 1
                if count % _VALUES_PER_STEP == 0:
                    yield
        return whole[0]

    def writing(self, value: object) -> Steps[bytes]:
        """Return a value as JSON, with the texts in place of their marks."""
        return (yield from joining((yield from self.pieces(value))))

    def pieces(self, value: object) -> Steps[list[bytes]]:
        """Return what `writing` does, in pieces, none of which ends within a character."""
        written = {}
        for key, text in self._texts.items():
            written[b"%d" % key] = yield from _written(_cut(text))
        parts = _write(value).split(b'"%b:' % self._token.encode())
        yield
        whole = parts[:1]
        for part in parts[1:]:
            key_json, _, rest = part.partition(b'"')
            whole += [b'"', *written[key_json], b'"', rest]
        return whole


def joining(pieces: Iterable[bytes]) -> Steps[bytes]:
    """Return pieces as one, which is copied a part at a time."""
    parts = list(pieces)
    # Room that nobody else has is written into, and returned without another copy.
    whole = io.BytesIO(bytes(sum(map(len, parts))))
    left = WHOLE
    for part in parts:
        for at in range(0, len(part), WHOLE):
            left -= whole.write(memoryview(part)[at : at + WHOLE])
            if left <= 0:
                left = WHOLE
                yield
    yield
    return whole.getvalue()


def quoting(pieces: Iterable[bytes]) -> Steps[list[bytes]]:
    """Return JSON, which comes in pieces of UTF-8, as a JSON text, in pieces as well."""
    quoted = [b'"']
    for piece in pieces:
        quoted += yield from _written(_cut(piece.decode()))
    quoted.append(b'"')
    return quoted


def _cut(text: str) -> Iterable[str]:
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _written(texts: Iterable[str]) -> Steps[list[bytes]]:
    """Return what is between the quotes of texts as JSON."""
    pieces = []
    for text in texts:
        pieces.append(_write(text)[1:-1])
        yield
    return pieces
