"""What the connections count.

Pure module.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """A moment of the one task, for metrics and tests."""

    open: int
    #: Those that we made, which ``open`` leaves out.
    ours: int
    accepted: int
    refused: int
    #: Those that were closed, with nothing under way, for others that came.
    made_room: int
    slow_consumers: int
    failures: int
    outbox_bytes: int
    blocked: int
    accepting: bool
    turns: int
    reads: int
    sends: int
    timers: int
    lag: float
    #: The longest lag in the last quarter or half of a minute.
    stall: float
