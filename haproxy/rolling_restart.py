"""All gateways are replaced, one after the other, and nobody loses anything.

`make rolling-restart` does it with the local cluster. With gateways on
machines of their own the steps are the same; haproxy/README.md has them as commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from haproxy.balancer import Balancer
from haproxy.gateways import Gateway

# More than all steps of a drain may take (--drain-...).
_DRAIN_SECONDS: Final = 60.0


def replace(balancer: Balancer, gateway: Gateway, command: Sequence[str]) -> float:
    """Replace one gateway; return the seconds that it took.

    Raises:
        RedisServerError: it did not leave, or the new one is not ready. Those that were not
            replaced yet serve on.
    """
    began = time.monotonic()
    # Nothing new from now on; what it has, it keeps until it is told to leave.
    balancer.set_state(gateway.name, "drain")
    gateway.drain()
    gateway.wait(_DRAIN_SECONDS)
    gateway.up(command)
    balancer.set_state(gateway.name, "ready")
    balancer.wait_for(gateway.name, "UP")
    return time.monotonic() - began


def replace_all(
    balancer: Balancer,
    gateways: Sequence[Gateway],
    command: Sequence[str],
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Replace all gateways, one after the other; see `replace`."""
    for gateway in gateways:
        seconds = replace(balancer, gateway, command)
        tell(f"{gateway.name} is replaced, after {seconds:.1f} s.")
