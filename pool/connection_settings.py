"""What connections may use; `pool.connections` keeps to it."""

from __future__ import annotations

import dataclasses

from pool.settings import setting


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Limits on connections, for all ports together."""

    maximum: int = setting(
        16_384,
        "Open connections in all; more displace those that ask for nothing, or get 503.",
        unit="connections",
        minimum=1,
    )
    per_address: int = setting(
        16_384,
        "Open connections from one peer address; more displace its own, or get 503.",
        unit="connections",
        minimum=1,
    )
    outbox_bytes: int = setting(
        4 * 1024 * 1024,
        "Bytes waiting for a peer that does not read, besides the longest message; past it the "
        "connection is closed.",
        unit="bytes",
        minimum=64 * 1024,
    )
    send_seconds: float = setting(
        10.0, "How long a peer may take nothing of what waits for it.", unit="seconds", minimum=0.1
    )
    accept_pause_seconds: float = setting(
        0.5,
        "How long no connection is accepted after the process ran out of file descriptors.",
        unit="seconds",
        minimum=0.01,
    )
