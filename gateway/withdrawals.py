"""Questions, and calls of pages, that are taken back as nobody waits for them any more.

Whoever waited has gone, so nobody can be told that the store is away. What could not be
taken back then is so once the store is back (`gateway.upkeep` looks), and people are shown
it until then. Of more than are remembered, and of those of a process that ends meanwhile,
the deadline is the end, as of every question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeAlias, final

from pool.workers import QueueFullError, Workers
from session.errors import StoreUnavailableError
from session.model import Principal

#: Ends a question of the principal's, by its id, for a reason, by somebody.
Cancel: TypeAlias = Callable[[Principal, str, str, str], Coroutine[Any, Any, object]]

#: How many are remembered: ids and names, not what was asked.
REMEMBERED: Final = 20_000
_PER_SWEEP: Final = 100


class Withdrawal(NamedTuple):
    """What is to be taken back, and how."""

    cancel: Cancel
    principal: Principal
    question_id: str
    reason: str
    by: str


@final
class Withdrawals:
    """Those that are still to be taken back, oldest first."""

    def __init__(self) -> None:
        self.waiting: deque[Withdrawal] = deque()
        #: How many were left to their deadline, as too many waited.
        self.given_up = 0

    def start(self, workers: Workers, withdrawal: Withdrawal) -> None:
        """Take something back: now, or later."""
        try:
            workers.start(withdrawal.principal.tenant, self.take_back(withdrawal))
        except QueueFullError:
            self._later(withdrawal)

    def make_up(self, start: Callable[[str, Coroutine[Any, Any, None]], bool]) -> None:
        """Take back what could not be before, some of it at a time; ``start`` runs a step."""
        for _ in range(min(_PER_SWEEP, len(self.waiting))):
            withdrawal = self.waiting.popleft()
            if not start(withdrawal.principal.tenant, self.take_back(withdrawal)):
                self.waiting.appendleft(withdrawal)
                return

    async def take_back(self, withdrawal: Withdrawal) -> None:
        """Take something back; later, if the store is away."""
        cancel, principal, question_id, reason, by = withdrawal
        try:
            await cancel(principal, question_id, reason, by)
        except StoreUnavailableError:
            self._later(withdrawal)

    def _later(self, withdrawal: Withdrawal) -> None:
        if len(self.waiting) >= REMEMBERED:
            self.given_up += 1
        else:
            self.waiting.append(withdrawal)
