"""What the client counts.

Pure module.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One node now. Times are Trio's.

    ``is_away``: for longer than who waits for it has patience. ``trouble`` is why it is down,
    when it is, else ``refusal``: what it refused in the last minute, for a person to mend.
    """

    name: str
    up_since: float | None
    down_since: float | None
    in_flight: int
    waiting: int
    reconnects: int
    is_away: bool
    trouble: str
    refusal: str


@dataclasses.dataclass(frozen=True, slots=True)
class RedisStatistics:
    """The client now, and what became of commands so far."""

    commands: int
    batches: int
    moved: int
    asked: int
    retries: int
    reconnects: int
    refreshes: int
    in_flight: int
    waiting: int
    waiting_bytes: int
    retrying: int
    refused: int
    expired: int
    dropped: int
    pushes: int
    messages: int
    subscriptions: int
    subscribed: int
    probes: int
    probes_lost: int
    scripts_reloaded: int
    cut: int
    #: Why there are slots that nobody serves; empty when there are none.
    trouble: str
    nodes: tuple[NodeStatistics, ...]
