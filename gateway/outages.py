"""What is wrong with the store, in the log: once when it begins, and once when it is over.

For who operates the gateway: people and callers are told no more than that the store is
away (`gateway.errors`), so this is where the reason is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

import structlog
import trio

log = structlog.get_logger()

#: Why, by what is wrong and with which node; that is empty where it is no single one.
Troubles = Mapping[tuple[str, str], str]

# What is wrong, and what is logged when it no longer is.
_OVER: Final = {"store_away": "store_back", "store_refuses": "store_refuses_no_more"}
_LOOK_SECONDS: Final = 0.25


@final
class Outages:
    """Logs what begins and ends, however often it is tried again meanwhile.

    Args:
        troubles: returns what is wrong now. There are never more than two for a node, so
            what is remembered of them is bounded as the nodes are.
    """

    def __init__(self, troubles: Callable[[], Troubles]) -> None:
        self._troubles = troubles
        self._since: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look(trio.current_time())
            await trio.sleep(_LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Log what is new since the last look. ``now`` is in seconds, of any clock."""
        troubles = self._troubles()
        for trouble, reason in troubles.items():
            if trouble not in self._since:
                self._since[trouble] = now
                event, node = trouble
                log.error(event, node=node, reason=reason)
        for trouble in [each for each in self._since if each not in troubles]:
            event, node = trouble
            seconds = round(now - self._since.pop(trouble), 1)
            log.info(_OVER[event], node=node, seconds=seconds)
