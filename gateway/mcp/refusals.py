"""Responses to requests that never become calls.

A request that is refused here was not acted upon. The words tell its sender what
to do differently, or when to try again.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gateway.auth import refusals
from gateway.errors import OverQuotaError, told_of
from gateway.mcp import jsonrpc
from gateway.mcp.heads import unsupported_data
from gateway.mcp.jsonrpc import RETRY, MalformedError, RpcError
from gateway.mcp.results import text
from gateway.mcp.revisions.family import STATUSES
from gateway.quotas.standing import retry_after
from session.codec import CodingError, TooLongError
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.http.messages import Responder
    from gateway.mcp.call import Call

#: What a caller is told when a stream is gone, and when there is no room for its request.
NOT_RESUMABLE: Final = (
    "This stream cannot be resumed any more: use collect_answer, or ask again with the same "
    "idempotency_key."
)
# The same as RETRY in HTTP, for who has only the reply. It is not changed.
_UNAVAILABLE: Final = {"code": "unavailable", "retryable": True, "retry_after": 1}
OVERLOADED: Final = "This gateway is busy; ask again in a second."


def refuse(responder: Responder, error: RpcError, id_json: bytes | None = None) -> None:
    """Refuse a request."""
    responder.respond(
        error.status or STATUSES.get(error.code, 200),
        jsonrpc.error_bytes(id_json, error.code, error.message, error.data),
        headers=error.headers,
    )


def unreadable(responder: Responder, error: MalformedError | CodingError) -> None:
    """Refuse a body that is no message, or not what its coding says."""
    if isinstance(error, MalformedError):
        responder.respond(400, jsonrpc.malformed_bytes(error))
        return
    status = 413 if isinstance(error, TooLongError) else 400
    words = f"The compressed body cannot be used: {error}."
    refuse(responder, RpcError(jsonrpc.INVALID_REQUEST, words, status=status))


def unsupported(version: str) -> RpcError:
    """Return the error for a revision that is not served."""
    return RpcError(
        jsonrpc.UNSUPPORTED_VERSION, "Unsupported protocol version", unsupported_data(version)
    )


def forbidden(scope: str, resource: str = "") -> RpcError:
    """Return the error for a credential that does not allow something (RFC 6750 section 3.1).

    ``resource`` is the public URL, for those who can get themselves another credential.
    """
    why = refusals.forbidden(scope)
    challenge = f'Bearer error="insufficient_scope", error_description="{why}", scope="{scope}"'
    if resource:
        challenge += f', resource_metadata="{refusals.metadata_url(resource)}"'
    return RpcError(
        jsonrpc.FORBIDDEN,
        why,
        {"scope": scope},
        status=403,
        headers=((b"WWW-Authenticate", challenge.encode()),),
    )


def ended() -> RpcError:
    """Return the error for somebody whose credential ended while they waited."""
    why = "The credential of this request is not good any more; come back with another one."
    challenge = f'Bearer error="invalid_token", error_description="{why}"'
    return RpcError(
        jsonrpc.FORBIDDEN, why, status=401, headers=((b"WWW-Authenticate", challenge.encode()),)
    )


def over_quota(error: OverQuotaError) -> RpcError:
    """Return the error for a quota that is used up."""
    data = {
        "quota": error.quota,
        "limit": error.limit,
        "retry_after": round(error.retry_after, 3),
    }
    return RpcError(jsonrpc.OVER_QUOTA, str(error), data, status=429, headers=(retry_after(error),))


def unavailable(error: StoreUnavailableError) -> RpcError:
    """Return the error for what cannot be done while the store is away."""
    return RpcError(jsonrpc.BUSY, told_of(error), _UNAVAILABLE)


def put_off(call: Call, error: StoreUnavailableError) -> None:
    """Answer a call that cannot be done while the store is away: later, and when.

    A tool says it in its result, with status 200: that is what clients of every revision hand
    to the model, which can ask again. Of a 503 many make a failure of the transport, and its
    body, Retry-After and all, is shown to nobody. Other methods have no model to tell.
    """
    if call.method != "tools/call":
        call.refuse(unavailable(error))
        return
    exchange = call.exchange
    if RETRY[0] not in exchange.headers:
        exchange.headers = (*exchange.headers, *RETRY)
    call.finish(text(told_of(error), _UNAVAILABLE, is_error=True), "error")


async def guarded(
    job: Coroutine[Any, Any, None], responder: Responder, id_json: bytes | None = None
) -> None:
    """Do a step that answers for itself; its sender is answered also when it fails.

    Whoever leaves before the step is done has left what the step began.

    ``id_json``: what the request is called, if that is known by now.
    """
    answered = False
    try:
        await job
        answered = True
        # It may have waited before it listened for that.
        responder.notice_leaving()
    except StoreUnavailableError as error:
        refuse(responder, unavailable(error), id_json)
        answered = True
    except OverQuotaError as over:
        refuse(responder, over_quota(over), id_json)
        answered = True
    except GeneratorExit:
        answered = True
        raise
    finally:
        if not answered:
            failure = RpcError(jsonrpc.INTERNAL_ERROR, "Internal error", status=500)
            refuse(responder, failure, id_json)
