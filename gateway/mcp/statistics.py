"""What the callers' port says of itself."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class McpStatistics:
    """A moment of the endpoint, for metrics and tests."""

    active: int
    sessions: int
    listeners: int
    #: Resources, each for one session, that are watched here.
    watched: int
    impatient: int
    beating: int
