"""How the process goes away: the times of its steps, and how frontends are sent elsewhere.

Frontends that are all sent away at once are all back at once, at gateways that are busy
with what they have. So they are sent one after the other, and each is told a random
pause of its own.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from pool.settings import setting

# A handshake takes a gateway a fifth of a millisecond: so many leave it, and those beside
# it, most of their time for other things.
_LEAVING_PER_SECOND: Final = 1000
# The longest pause a frontend is told to make before it comes back.
_PAUSE_MILLISECONDS: Final = 1000
# How often those are sent away whose time has come.
_TICK_SECONDS: Final = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """From SIGTERM to the end."""

    settle_seconds: float = setting(
        1.0,
        "From SIGTERM, which fails /ready, until no connection is accepted: the balancer's "
        "check interval times its fall count.",
        unit="seconds",
        minimum=0.0,
    )
    wait_seconds: float = setting(
        20.0,
        "How long those who wait for a person may go on waiting before they are told to ask again.",
        unit="seconds",
        minimum=0.0,
    )
    spread_seconds: float = setting(
        5.0,
        "The longest time over which frontends are sent elsewhere; up to 1,000 leave a second.",
        unit="seconds",
        minimum=0.0,
    )
    leave_seconds: float = setting(
        5.0, "How long the last bytes may take to leave.", unit="seconds", minimum=0.0
    )


class Leaving(Protocol):
    """Somebody who is sent elsewhere."""

    def restart(self, retry_after_milliseconds: int) -> None:
        """Say to come back, after so long, to another instance."""


async def send_away(everybody: Sequence[Leaving], settings: Settings) -> None:
    """Send everybody elsewhere, evenly over a time that is bounded by the settings."""
    seconds = min(settings.spread_seconds, len(everybody) / _LEAVING_PER_SECOND)
    began = trio.current_time()
    for index, one in enumerate(everybody):
        due = began + seconds * index / len(everybody)
        if due - trio.current_time() > _TICK_SECONDS:
            await trio.sleep_until(due)
        one.restart(secrets.randbelow(_PAUSE_MILLISECONDS))
