"""Whether the code that runs now was called on the spot, outside of any task of its own.

`pool.jobs` says so while a job runs that has no task; what waits (`pool.promises`,
`pool.jobs.to_worker`) asks before it decides how.
"""

from __future__ import annotations

from threading import get_ident
from typing import Final, final


@final
class Spot:
    """Which thread runs a job without a task; 0 when none does."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = 0


SPOT: Final = Spot()


def is_on_the_spot() -> bool:
    """Return whether the caller is part of a job that has no task."""
    return SPOT.thread == get_ident()
