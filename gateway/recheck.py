"""Ends what somebody opened with a credential that is not good any more.

A request shows its credential each time; a WebSocket, an event stream or a call that waits
for a person lives longer than that. They are looked at as soon as other keys count, and
every few seconds, as credentials expire by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, final

import trio

from session.model import NOBODY

if TYPE_CHECKING:
    from gateway.auth.authenticator import Authenticator
    from session.model import Principal

_PER_STEP: Final = 500


class Held(Protocol):
    """Something that stays open for one principal."""

    @property
    def principal(self) -> Principal:
        """Whose it is."""

    def cut_off(self) -> None:
        """End it, so that its owner knows why."""


@final
class Recheck:
    """Owned by the composition root.

    Args:
        held: return what is open now.
        seconds: between two looks at everything, at most.
        ended: told whose credential was found to be good no more, once for all they held.
    """

    def __init__(
        self,
        auth: Authenticator,
        held: Callable[[], Iterable[Held]],
        seconds: float,
        ended: Callable[[Principal], None] = lambda _principal: None,
    ) -> None:
        self._auth = auth
        self._held = held
        self._seconds = seconds
        self._ended = ended
        self.cut_off = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at everything again and again, until cancelled."""
        task_status.started()
        while True:
            # Of before the look: what changes meanwhile is looked at again.
            changed = self._auth.changed
            await self._look_at(list(self._held()))
            with trio.move_on_after(self._seconds):
                await changed.wait()

    async def _look_at(self, held: list[Held]) -> None:
        is_good = self._auth.is_good
        ended: set[Principal] = set()
        for number, each in enumerate(held, 1):
            principal = each.principal
            if principal is not NOBODY and not is_good(principal):
                self.cut_off += 1
                each.cut_off()
                if principal not in ended:
                    ended.add(principal)
                    self._ended(principal)
            if number % _PER_STEP == 0:
                # Many are looked at in slices: others have their turn between.
                await trio.lowlevel.checkpoint()
