"""Responses to requests that never become calls.

A request that is refused here was not acted upon. The words tell its sender what
to do differently, or when to try again.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gateway.mcp import jsonrpc
from gateway.mcp.heads import unsupported_data
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.revisions.family import STATUSES
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.http.messages import Responder

#: What a caller is told when there is no room for its request.
OVERLOADED: Final = "This gateway is busy; ask again in a second."


def refuse(responder: Responder, error: RpcError, id_json: bytes | None = None) -> None:
    """Refuse a request."""
    responder.respond(
        error.status or STATUSES.get(error.code, 200),
        jsonrpc.error_bytes(id_json, error.code, error.message, error.data),
        headers=jsonrpc.RETRY if error.code == jsonrpc.BUSY else (),
    )


def unsupported(version: str) -> RpcError:
    """Return the error for a revision that is not served."""
    return RpcError(
        jsonrpc.UNSUPPORTED_VERSION, "Unsupported protocol version", unsupported_data(version)
    )


async def guarded(job: Coroutine[Any, Any, None], responder: Responder) -> None:
    """Do a step that answers for itself; its sender is answered also when it fails."""
    answered = False
    try:
        await job
        answered = True
    except StoreUnavailableError as error:
        refuse(responder, RpcError(jsonrpc.BUSY, str(error)))
        answered = True
    except GeneratorExit:
        answered = True
        raise
    finally:
        if not answered:
            refuse(responder, RpcError(jsonrpc.INTERNAL_ERROR, "Internal error", status=500))
