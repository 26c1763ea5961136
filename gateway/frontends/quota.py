"""What frontends use of quotas: how many there are, and the bytes that they send.

Whoever is over a quota is told so, and when to come back; nothing is dropped in silence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.errors import OverQuotaError
from gateway.frontends import wire
from gateway.quotas.standing import retry_after
from session import gojson
from session.errors import StoreUnavailableError
from session.model import NOBODY, Principal

if TYPE_CHECKING:
    from gateway.frontends.socket import FrontendSocket
    from gateway.http.messages import Responder
    from gateway.quotas.allowances import Allowances
    from gateway.quotas.standing import Standing

#: What a frontend hears that is over a quota.
OVER_QUOTA: Final = "over_quota"


def passes(socket: FrontendSocket, quotas: Allowances, message: wire.Message, size: int) -> bool:
    """Return whether a message may be taken now; if not, it is taken or refused later."""
    if socket.principal is NOBODY:
        return True
    standing = quotas.of(socket.principal)
    if standing is None or quotas.tries(standing.bytes, size):
        return True
    socket.start(_take_later(socket, quotas, standing, message, size))
    return False


async def _take_later(
    socket: FrontendSocket,
    quotas: Allowances,
    standing: Standing,
    message: wire.Message,
    size: int,
) -> None:
    try:
        await quotas.claim(socket.principal, standing.bytes, size)
    except OverQuotaError as error:
        complain(socket, error, getattr(message, "request_id", ""))
        return
    except StoreUnavailableError:
        # What people say is taken while the store is away, as always.
        pass
    socket.take(message, size)


def complain(socket: FrontendSocket, error: OverQuotaError, request_id: str = "") -> None:
    """Tell a frontend that a quota is used up, and when to come back."""
    # To the next millisecond, so that it is not too early.
    seconds = math.ceil(error.retry_after * 1000) / 1000
    socket.complain(
        OVER_QUOTA, str(error), retryable=True, request_id=request_id, retry_after=seconds
    )


def refuse(responder: Responder, error: OverQuotaError) -> None:
    """Refuse a handshake for now."""
    body = gojson.encode({"error": str(error), "status": 429, "quota": error.quota})
    responder.respond(429, body, headers=(retry_after(error), (b"Cache-Control", b"no-store")))


async def count(socket: FrontendSocket, quotas: Allowances, principal: Principal) -> bool:
    """Have a frontend that said late whose it is count; return whether it may stay."""
    standing = quotas.of(principal)
    if standing is None or socket.held:
        return True
    try:
        await quotas.claim(principal, (), 0, standing.frontends, lenient=True)
    except OverQuotaError as error:
        complain(socket, error)
        socket.close(errors.CLOSE_OVER_QUOTA)
        return False
    socket.held = standing.frontends
    if not socket.connection.is_open:
        # Gone while it was asked whether it may stay.
        let_go(socket)
    return True


def let_go(socket: FrontendSocket) -> None:
    """Have a frontend use nothing of quotas any more."""
    for slots in socket.held:
        slots.take_back()
    socket.held = ()
