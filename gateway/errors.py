"""What can go wrong, and what each wire says then.

Pure module. Errors are translated at each package's border; this catalogue
alone knows the codes of the wires: JSON-RPC, HTTP, WebSocket.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class GatewayError(Exception):
    """Anything the gateway refuses on purpose; the message tells what to do next."""


class InvalidAskError(GatewayError):
    """An ask breaks a limit or contradicts itself."""


class NobodyConnectedError(GatewayError):
    """The caller would rather fail than wait, and no frontend is connected."""

    def __init__(self) -> None:
        super().__init__(
            "Nobody is connected who could answer (0 frontends online). Ask again later, or "
            'with "if_absent": "wait" to keep the question until somebody comes.'
        )


class CloseCode(NamedTuple):
    """Why a WebSocket ends, and whether its frontend should come back."""

    code: int
    reason: str
    reconnect: bool


#: The frontend said goodbye.
CLOSE_NORMAL: Final = CloseCode(1000, "bye", reconnect=False)
#: The message cannot be used whatever the protocol says (RFC 6455 section 7.4.1).
CLOSE_UNSUPPORTED: Final = CloseCode(1003, "this subprotocol has text messages", reconnect=False)
CLOSE_INVALID_TEXT: Final = CloseCode(1007, "the text is not UTF-8", reconnect=False)
CLOSE_POLICY: Final = CloseCode(1008, "too many messages that could not be used", reconnect=False)
CLOSE_ENDLESS: Final = CloseCode(1008, "a message took too long to end", reconnect=False)
CLOSE_RESTART: Final = CloseCode(1012, "this gateway restarts; come back", reconnect=True)
# 3000-3499 and 4000-4499: come back; 3500-3999 and 4500-4999: do not.
CLOSE_NO_PONG: Final = CloseCode(3012, "no pong came; come back", reconnect=True)
