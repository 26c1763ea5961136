"""Tickets: what a browser shows instead of a credential when it opens a WebSocket.

A browser can put no header on a WebSocket, and a credential in a URL ends in logs. So a
page gets a ticket with its credential (``POST /ticket``) and offers it as a subprotocol:
good once, for some seconds, at any instance.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.auth.refusals import Challenges, Denial, cors
from gateway.errors import STORE_AWAY, CredentialError, CredentialsUnavailableError
from pool.workers import QueueFullError
from session import gojson
from session.errors import StoreUnavailableError
from session.model import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.http.messages import Head, Request, Responder
    from gateway.ids import Ids
    from pool.workers import Workers
    from session import Credentials

#: How a subprotocol begins that is a ticket.
SUBPROTOCOL: Final = "frontend-router.ticket."
_ALLOW: Final = b"POST, OPTIONS"
_SCOPE: Final = "answer"
_read: Final = msgspec.msgpack.Decoder(
    tuple[str, str, tuple[str, ...], tuple[str, ...], str, float]
)


@final
class Tickets:
    """Makes tickets and takes them back."""

    def __init__(  # noqa: PLR0913 - made once, by the composition root
        self,
        credentials: Credentials,
        *,
        seconds: int,
        ids: Ids,
        workers: Workers,
        challenges: Challenges,
        confirm: Callable[[Principal], bool],
        denied: Callable[[Denial], None],
    ) -> None:
        self._credentials = credentials
        self._seconds = seconds
        self._ids = ids
        self._workers = workers
        self._challenges = challenges
        self._confirm = confirm
        self._denied = denied

    def handle(self, request: Request, responder: Responder) -> None:
        """Serve ``/ticket``; who asks is known."""
        head, principal = request.head, request.principal
        if head.method != "POST":
            responder.respond(
                405,
                gojson.encode({"error": "Tickets are made by POST."}),
                headers=((b"Allow", _ALLOW), *cors(head)),
            )
        elif _SCOPE not in principal.scopes:
            self._denied(Denial("scope", 403, request.peer, principal))
            self._challenges.forbidden(head, responder, _SCOPE)
        else:
            try:
                self._workers.start(principal.tenant, self._make(head, principal, responder))
            except QueueFullError:
                self._challenges.later(head, responder, 503, "This gateway is busy.", 1.0)

    @staticmethod
    def preflight(head: Head, responder: Responder) -> None:
        """Answer what a browser asks before a page of another origin gets a ticket."""
        allowed = (
            (b"Access-Control-Allow-Methods", _ALLOW),
            (b"Access-Control-Allow-Headers", b"authorization"),
            (b"Access-Control-Max-Age", b"600"),
        )
        responder.respond(204, headers=((b"Allow", _ALLOW), *cors(head), *allowed))

    async def redeem(self, ticket: str) -> Principal:
        """Return whose ticket this is; it is good no more.

        Raises:
            CredentialError: it is not good.
            CredentialsUnavailableError: the store is away.
        """
        try:
            kept = await self._credentials.take_ticket(_digest(ticket))
        except StoreUnavailableError:
            raise CredentialsUnavailableError from None
        principal = None if kept is None else _principal(kept)
        if principal is None or not self._confirm(principal):
            raise CredentialError("This ticket is used or too old: get another one.")
        return principal

    async def _make(self, head: Head, principal: Principal, responder: Responder) -> None:
        ticket = self._ids.new() + self._ids.new()
        try:
            await self._credentials.save_ticket(_digest(ticket), _bytes(principal), self._seconds)
        except StoreUnavailableError:
            self._challenges.later(head, responder, 503, STORE_AWAY, 1.0)
            return
        body = {
            "ticket": ticket,
            "subprotocol": SUBPROTOCOL + ticket,
            "expires_in": self._seconds,
        }
        headers = ((b"Cache-Control", b"no-store"), *cors(head))
        responder.respond(200, gojson.encode(body), headers=headers)


def ticket_in(head: Head) -> str:
    """Return the ticket that a WebSocket's handshake offers, or an empty text."""
    offered = head.headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
    for name in offered.split(","):
        if name.strip().startswith(SUBPROTOCOL):
            return name.strip()[len(SUBPROTOCOL) :]
    return ""


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


def _bytes(principal: Principal) -> bytes:
    fields: tuple[Any, ...] = (
        principal.tenant,
        principal.subject,
        principal.groups,
        sorted(principal.scopes),
        principal.credential,
        principal.expires_at,
    )
    return msgspec.msgpack.encode(fields)


def _principal(kept: bytes) -> Principal | None:
    try:
        tenant, subject, groups, scopes, credential, expires_at = _read.decode(kept)
    except msgspec.DecodeError:
        # An instance of another version made it.
        return None
    return Principal(tenant, subject, groups, frozenset(scopes), credential, expires_at)
