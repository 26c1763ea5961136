"""Defects, in the log: what ended a connection or a job that should not have.

A peer that finds one can bring it about as often as it likes, so only some are logged
each second, and how many were not (`gateway.floodgate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import structlog

from gateway.floodgate import Floodgate

if TYPE_CHECKING:
    from pool.connection import Callback, Connection
    from pool.timers import Timers

log = structlog.get_logger()


@final
class Failures:
    """Hears of them from `pool.connections` and `pool.workers`."""

    def __init__(self, timers: Timers[Callback]) -> None:
        self._gate = Floodgate(timers, _held_back)

    def connection(self, connection: Connection | None, error: Exception) -> None:
        """A connection was ended by an exception; or, without one, a timer's callback."""
        if self._gate.admits(f"connection_failed {type(error).__name__}"):
            peer = connection.peer if connection else ""
            log.error("connection_failed", peer=peer, exc_info=error)

    def job(self, lane: str, error: BaseException) -> None:
        """A job ended with an exception."""
        if self._gate.admits(f"job_failed {type(error).__name__}"):
            log.error("job_failed", tenant=lane, exc_info=error)


def _held_back(kind: str, count: int) -> None:
    event, _, error = kind.partition(" ")
    log.error("failures_not_logged", of=event, error=error, count=count)
