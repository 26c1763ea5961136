"""Which of our subprotocols a WebSocket speaks (RFC 6455, section 1.9).

Apart from the endpoint, because `websockets` binds what chooses to its protocol, which only
functions that are not compiled can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SUBPROTOCOL: Final = Subprotocol("frontend-router.v1")
#: The same, with binary messages that are zstd frames.
ZSTD_SUBPROTOCOL: Final = Subprotocol("frontend-router.v1.zstd")


def with_zstd(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take one of ours when it is offered; whoever offers others is served without one."""
    return next((each for each in (ZSTD_SUBPROTOCOL, SUBPROTOCOL) if each in offered), None)


def without_zstd(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Do as `with_zstd` does, but for binary messages."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
