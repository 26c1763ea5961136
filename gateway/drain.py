"""How the process goes away: the times of its steps."""

from __future__ import annotations

import dataclasses

from pool.settings import setting


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
    leave_seconds: float = setting(
        5.0, "How long the last bytes may take to leave.", unit="seconds", minimum=0.0
    )
