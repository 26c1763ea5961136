"""What can go wrong, and what each wire says then.

Pure module. Errors are translated at each package's border; this catalogue
alone knows the codes of the wires: JSON-RPC, HTTP, WebSocket.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from session.errors import NoReplyError, StoreFullError, StoreUnavailableError


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


class UnusableError(GatewayError):
    """The process cannot start with what it was given; the message says what to mend."""


class CredentialError(GatewayError):
    """A credential is not good; the message says what its owner can do, and no part of it."""


class ForbiddenError(CredentialError):
    """A credential is good, and may not do this."""


class UnknownKeyError(CredentialError):
    """The token names a key that is not known: it may be newer than what is known."""

    def __init__(self) -> None:
        super().__init__("This access token is signed with a key that is not known here.")


class CredentialsUnavailableError(GatewayError):
    """Whether a credential is good cannot be found out now; asking again later may do."""

    def __init__(self) -> None:
        super().__init__("Who you are cannot be checked at the moment; try again in a second.")


class OverQuotaError(GatewayError):
    """Somebody has used up a quota for now: ``retry_after`` seconds later there may be room."""

    def __init__(self, quota: str, whose: str, limit: float, retry_after: float) -> None:
        super().__init__(
            f"The quota {quota} of this {whose} is used up ({limit:,.15g}); "
            f"try again in {_whole_seconds(retry_after)}."
        )
        self.quota = quota
        self.whose = whose
        self.limit = limit
        self.retry_after = retry_after


def _whole_seconds(seconds: float) -> str:
    """Return how long to wait, for people and models: rather too long than too short."""
    count = max(1, math.ceil(seconds))
    return "1 second" if count == 1 else f"{count:,} seconds"


#: What people and callers hear of a store that is away. Where it is and what it said is the
#: log's: they are of any tenant, and can do nothing about it.
STORE_AWAY: Final = "The gateway cannot reach its store just now; try again in a moment."
_STORE_SILENT: Final = (
    "The gateway's store did not answer in time, so the outcome is unknown; try again in a "
    "moment, with the same idempotency_key if there was one."
)


def told_of(error: StoreUnavailableError) -> str:
    """Return what a caller is told of an error of the store."""
    if isinstance(error, StoreFullError):
        return str(error)
    return _STORE_SILENT if isinstance(error, NoReplyError) else STORE_AWAY


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
CLOSE_NOT_DEFLATED: Final = CloseCode(1002, "the message is damaged", reconnect=False)
CLOSE_NOT_ZSTD: Final = CloseCode(1007, "the message is no zstd frame", reconnect=False)
CLOSE_UNKNOWN_DICTIONARY: Final = CloseCode(
    1007, "the message needs a zstd dictionary that is not known here", reconnect=False
)
CLOSE_TOO_LONG: Final = CloseCode(1009, "the message is too long", reconnect=False)
CLOSE_POLICY: Final = CloseCode(1008, "too many messages that could not be used", reconnect=False)
CLOSE_ENDLESS: Final = CloseCode(1008, "a message took too long to end", reconnect=False)
#: The IANA registry of close codes: "Try again later".
CLOSE_OVER_QUOTA: Final = CloseCode(1013, "too many frontends; come back later", reconnect=True)
#: The IANA registry of close codes: "Unauthorized". Come back with a credential that is good.
CLOSE_UNAUTHENTICATED: Final = CloseCode(3000, "no good credential came; sign in", reconnect=True)
CLOSE_EXPIRED: Final = CloseCode(3000, "the credential has ended; sign in again", reconnect=True)
#: What the registry calls "Forbidden" is 3003; ours says by its number not to come back.
CLOSE_FORBIDDEN: Final = CloseCode(3503, "this credential may not answer", reconnect=False)
# 3000-3499 and 4000-4499: come back; 3500-3999 and 4500-4999: do not.
CLOSE_NO_PONG: Final = CloseCode(3012, "no pong came; come back", reconnect=True)


def restarts(retry_after_milliseconds: int) -> CloseCode:
    """Return the close of a frontend that is to come back elsewhere, with its pause."""
    reason = f"this gateway restarts; come back; retry_after_ms={retry_after_milliseconds}"
    return CloseCode(1012, reason, reconnect=True)
