"""A command on its way: what is sent, what it waits for, and what was tried.

A command is the promise of its own reply: that is one object instead of two on the
path that everything takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, final

from hiredis import pack_command

from pool.promises import Promise

Argument = bytes | str | int | float

#: A command as it is sent. (hiredis says that it takes one argument only.)
pack: Final = cast("Callable[[Sequence[Argument]], bytes]", pack_command)

# What stands before values of these lengths, behind another one.
_SHORT: Final = 1024
_LENGTHS: Final[tuple[bytes, ...]] = tuple(b"\r\n$%d\r\n" % size for size in range(_SHORT))

#: What becomes of the reply.
ROUTED: Final = 0
INTERNAL: Final = 1
PUBLICATION: Final = 2
SUBSCRIBE: Final = 3
UNSUBSCRIBE: Final = 4
WAIT: Final = 5
SKIPPED: Final = 6
TRACKED: Final = 7
REPLICATED: Final = 8
#: As TRACKED, sent to where the server does not remember it.
UNTRACKED: Final = 9

#: Has the reply to the next GET remembered, so that the server tells when it changes.
CACHING: Final[bytes] = pack((b"CLIENT", b"CACHING", b"YES"))
#: Has a node that a slot moves to do the next command.
ASKING: Final[bytes] = pack((b"ASKING",))


@final
class Parts:
    """Parts of calls that are always the same, packed once; `Script.packed` takes them as one."""

    __slots__ = ("count", "packed")

    def __init__(self, *values: Argument) -> None:
        parts: list[bytes] = []
        self.count = _add(parts, values)
        self.packed = b"".join(parts)


#: A key or an argument of a script, or several of them.
Value = Argument | Parts


@final
class Script:
    """A script that servers keep by its hash."""

    __slots__ = ("_args", "_header", "_keys", "_start", "_whole", "name", "sha1", "source")

    def __init__(self, name: str, source: str | bytes) -> None:
        #: What it is called, for people.
        self.name = name
        self.source = source.encode() if isinstance(source, str) else source
        #: What servers call it.
        self.sha1 = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()
        # How a call begins, after the count of its parts: by hash, and with its source.
        self._header = b"$7\r\nEVALSHA\r\n$40\r\n" + self.sha1
        self._whole = b"$4\r\nEVAL\r\n$%d\r\n%b" % (len(self.source), self.source)
        # How the last call began, and how many keys and arguments it had: as the next one.
        self._start = b""
        self._keys = self._args = -1

    def packed(self, keys: tuple[Value, ...], args: tuple[Value, ...]) -> bytes:
        """Return a call as it is sent.

        Not by hiredis, which formats the length of each part: that took a quarter of all that
        a question costs two gateways.
        """
        parts = [b""]
        key_count, arg_count = _add(parts, keys), _add(parts, args)
        parts.append(b"\r\n")
        if key_count != self._keys or arg_count != self._args:
            self._begin_with(key_count, arg_count)
        parts[0] = self._start
        return b"".join(parts)

    def _begin_with(self, keys: int, args: int) -> None:
        start = [b"*%d\r\n%b" % (3 + keys + args, self._header)]
        _add(start, (keys,))
        self._start = b"".join(start)
        self._keys, self._args = keys, args

    def with_source(self, packed: bytes) -> bytes:
        """Return the same call for a server that does not know the script; it learns it."""
        return packed.replace(self._header, self._whole, 1)


def _add(parts: list[bytes], values: tuple[Value, ...]) -> int:
    """Add values as they are sent; return how many that are."""
    count = len(values)
    for value in values:
        if isinstance(value, bytes):
            written = value
        elif isinstance(value, Parts):
            parts.append(value.packed)
            count += value.count - 1
            continue
        else:
            written = value.encode() if isinstance(value, str) else str(value).encode()
        size = len(written)
        parts.append(_LENGTHS[size] if size < _SHORT else b"\r\n$%d\r\n" % size)
        parts.append(written)
    return count


class Command(Promise[Any]):
    """One command, and the promise of its reply."""

    __slots__ = (
        "attempts",
        "deadline",
        "kind",
        "link",
        "packed",
        "redirects",
        "replicas",
        "reply",
        "script",
        "sent_at",
        "size",
        "slot",
    )

    def __init__(self, kind: int, packed: bytes, slot: int, deadline: float) -> None:
        super().__init__()
        self.kind = kind
        self.packed = packed
        self.size = len(packed)
        self.slot = slot
        #: When it is given up, on Trio's clock.
        self.deadline = deadline
        self.sent_at = 0.0
        #: How often it was refused for a while, and how often it was sent elsewhere.
        self.attempts = 0
        self.redirects = 0
        self.script: Script | None = None
        #: How many replicas must have it before its reply counts, the reply meanwhile,
        #: and on which link it came. (For other kinds, ``reply`` is the key or channel.)
        self.replicas = 0
        self.reply: Any = None
        self.link: object = None


@final
class Wait(Command):
    """Asks how many replicas have what was written before it, for several commands."""

    __slots__ = ("group",)

    def __init__(self, group: list[Command], replicas: int, seconds: float) -> None:
        milliseconds = max(1, int(seconds * 1000))
        super().__init__(WAIT, pack((b"WAIT", replicas, milliseconds)), -1, 0.0)
        self.group = group


#: Stands for a reply that nobody wants.
SKIP: Final = Command(SKIPPED, b"", -1, 0.0)
