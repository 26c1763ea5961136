"""What a node of a Redis Cluster says of all its nodes, and whether they agree.

No input or output: text in, judgement out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

SLOTS: Final = 16_384
_TROUBLE: Final = frozenset({"fail", "fail?", "handshake", "noaddr"})


class Member(NamedTuple):
    """A line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    #: Whom it replicates; empty for a primary.
    primary: str
    epoch: int
    #: As ``0-5460`` and ``7``, in order.
    slots: tuple[str, ...]
    #: The slots on their way out of it or into it.
    moving: tuple[int, ...]

    @property
    def is_primary(self) -> bool:
        """Whether slots can be its own."""
        return "master" in self.flags

    def owns(self, slot: int) -> bool:
        """Return whether it serves the slot."""
        return any(int(first) <= slot <= int(last or first) for first, last in self._ranges())

    def _ranges(self) -> Iterable[tuple[str, str]]:
        for words in self.slots:
            first, _, last = words.partition("-")
            yield first, last


def parse(text: str) -> list[Member]:
    """Return the members that the reply to CLUSTER NODES names."""
    return [_member(line.split()) for line in text.splitlines() if line]


def myself(members: Iterable[Member]) -> Member:
    """Return the one who said all this."""
    return next(member for member in members if "myself" in member.flags)


def shares(primaries: int) -> list[tuple[int, int]]:
    """Return the first and last slot of each primary, fairly shared."""
    bounds = [round(SLOTS * index / primaries) for index in range(primaries + 1)]
    return [(first, last - 1) for first, last in itertools.pairwise(bounds)]


def disagreement(views: Mapping[int, Sequence[Member]], primaries: int, replicas: int) -> str:
    """Return what is wrong with the views that the nodes have, by port; empty when nothing is."""
    maps = {}
    for port, view in views.items():
        if len(view) != len(views):
            return f"node {port} knows {len(view)} of {len(views)} nodes"
        for member in view:
            if trouble := _TROUBLE & member.flags:
                return f"node {port} says {member.port} is {'/'.join(sorted(trouble))}"
        maps[port] = {each.id: (each.is_primary, each.primary, each.slots) for each in view}
    first, *others = maps.values()
    if any(other != first for other in others):
        return "the nodes do not agree on who serves what"
    serving = {name for name, (is_primary, _, slots) in first.items() if is_primary and slots}
    replicating = Counter(name for _, name, _ in first.values() if name)
    if len(serving) != primaries:
        return f"{len(serving)} of {primaries} primaries serve slots"
    if any(replicating[name] != replicas for name in serving):
        return f"not every primary has {replicas} of its replicas"
    return ""


def _member(words: Sequence[str]) -> Member:
    name, address, flags, primary, _, _, epoch, _, *slots = words
    return Member(
        id=name,
        port=int(address.partition("@")[0].rpartition(":")[2]),
        flags=frozenset(flags.split(",")),
        primary="" if primary == "-" else primary,
        epoch=int(epoch),
        slots=tuple(each for each in slots if not each.startswith("[")),
        moving=tuple(int(each[1:].partition("-")[0]) for each in slots if each.startswith("[")),
    )
