"""Who serves which slots of a cluster, as one of its nodes tells it.

Pure module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from session.redis.address import Place

__all__ = ["SLOTS", "SlotRange", "Topology", "key_slot", "parse_info", "parse_redirect"]

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS
_MOVED_WORDS: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots from ``first`` to ``last``, both included, and who serves them."""

    first: int
    last: int
    primary: Place


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    """One node's view of its cluster."""

    ranges: tuple[SlotRange, ...]
    replicas: frozenset[Place] = frozenset()
    #: Whether the node takes the cluster for one that works.
    is_well: bool = True
    #: Grows with every change of who serves what: the later view has the higher one.
    epoch: int = 0

    @classmethod
    def parsed(cls, slots: Sequence[Any], info: bytes, asked: Place) -> Topology:
        """Return what CLUSTER SLOTS and CLUSTER INFO replied, when asked at ``asked``.

        Raises:
            ValueError: the reply is none.
        """
        ranges = []
        replicas: set[Place] = set()
        try:
            for first, last, primary, *others in slots:
                ranges.append(SlotRange(int(first), int(last), _place(primary, asked)))
                replicas.update(_place(each, asked) for each in others)
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"CLUSTER SLOTS replied what cannot be read: {error}") from error
        facts = parse_info(info)
        return cls(
            tuple(ranges),
            frozenset(replicas),
            facts.get("cluster_state") == "ok",
            int(facts.get("cluster_current_epoch", 0)),
        )

    def uncovered(self) -> int:
        """Return how many slots nobody serves."""
        return SLOTS - sum(each.last - each.first + 1 for each in self.ranges)


def parse_info(text: bytes) -> dict[str, str]:
    """Return the ``name:value`` lines of INFO and CLUSTER INFO."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def parse_redirect(text: str, asked: Place) -> tuple[int, Place]:
    """Return the slot and the node of ``MOVED 3999 127.0.0.1:6381``, or of ASK.

    A node that does not know its own name leaves it out: it is where we asked then.

    Raises:
        ValueError: it is no redirection.
    """
    words = text.split(" ")
    if len(words) < _MOVED_WORDS:
        raise ValueError(f"{text!r} is no redirection")
    host, _, port = words[2].rpartition(":")
    return int(words[1]), (host.strip("[]") or asked[0], int(port))


def _place(node: Sequence[Any], asked: Place) -> Place:
    host = node[0]
    if isinstance(host, bytes):
        host = host.decode()
    return (host if host and host != "?" else asked[0]), int(node[1])
