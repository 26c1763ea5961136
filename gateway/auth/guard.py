"""What stands before a port: every request is somebody's, or is refused.

A path needs a credential, may have one, or needs none; whoever is known goes straight on,
the rest is a job. It fails closed: without a verdict nothing is handed over. On no path,
also where none is needed, a credential may be in the URL, and be it beside a good one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, final

from gateway.auth.keys import name_of
from gateway.auth.refusals import Denial
from gateway.auth.tickets import Tickets, ticket_in
from gateway.errors import CredentialError, CredentialsUnavailableError
from pool.workers import QueueFullError
from session.model import NOBODY

if TYPE_CHECKING:
    from gateway.auth.authenticator import Authenticator
    from gateway.auth.refusals import Challenges
    from gateway.http.messages import Handler, Request, Responder
    from pool.rate_limit import RateLimit
    from pool.workers import Workers
    from session.model import Principal

# In the workers' queue those whom nobody knows yet are one tenant among others.
_STRANGERS: Final = "(unauthenticated)"
_IN_QUERY: Final = re.compile(r"(?:^|&)(?:access_token|token|api_key|ticket)=")
_SECONDS: Final = 1.0
_BUSY: Final = "This gateway is busy."


class Need(enum.Enum):
    """Whether a path is for anybody."""

    CREDENTIAL = "credential"
    #: Who shows none says later who they are.
    OPTIONAL = "optional"


@final
class Guard:
    """Hands requests over to a handler once their principal is known.

    Args:
        needs: what each path needs; those that are not in it need nothing.
        scope: what the port is for, named to those who are refused.
        failures: how often an address may be wrong.
        denied: told of each refusal.
    """

    __slots__ = (
        "_auth",
        "_challenges",
        "_denied",
        "_failures",
        "_handler",
        "_needs",
        "_now",
        "_scope",
        "_tickets",
        "_workers",
    )

    def __init__(  # noqa: PLR0913 - the composition root hands over what it needs
        self,
        handler: Handler,
        *,
        needs: Mapping[str, Need],
        scope: str,
        auth: Authenticator,
        tickets: Tickets,
        challenges: Challenges,
        failures: RateLimit,
        workers: Workers,
        now: Callable[[], float],
        denied: Callable[[Denial], None],
    ) -> None:
        self._handler = handler
        self._needs = needs
        self._scope = scope
        self._auth = auth
        self._tickets = tickets
        self._challenges = challenges
        self._failures = failures
        self._workers = workers
        self._now = now
        self._denied = denied

    def handle(self, request: Request, responder: Responder) -> None:
        """Find out whose a request is, and hand it over or refuse it."""
        head = request.head
        # First: who is known, and a page that is for everybody, would hide where it was shown.
        if head.query and _IN_QUERY.search(head.query):
            self._deny("in_url", 401, request)
            self._challenges.in_url(head, responder, self._scope)
            return
        need = self._needs.get(head.path)
        if need is None:
            self._handler(request, responder)
            return
        header = head.headers.get(b"authorization")
        if header is not None:
            is_judged = False
            try:
                principal = self._auth.known(header)
                is_judged = True
            finally:
                if not is_judged:
                    # What judges is broken: who sent this hears so before the connection ends.
                    self._challenges.later(head, responder, 503, _BUSY, _SECONDS)
            if principal is not None:
                request.principal = principal
                self._handler(request, responder)
                return
        self._stranger(request, responder, need, header)

    def _stranger(
        self, request: Request, responder: Responder, need: Need, header: bytes | None
    ) -> None:
        head = request.head
        if header is not None:
            self._judge(request, responder, self._auth.verify(header))
        elif head.method == "OPTIONS":
            # A browser asks what it may send, and shows no credential.
            if head.path == "/ticket":
                self._tickets.preflight(head, responder)
            else:
                self._handler(request, responder)
        elif need is Need.OPTIONAL and (ticket := ticket_in(head)):
            self._judge(request, responder, self._tickets.redeem(ticket))
        elif need is Need.OPTIONAL:
            self._handler(request, responder)
        else:
            self._deny("missing", 401, request)
            self._challenges.missing(head, responder, self._scope)

    def _judge(
        self, request: Request, responder: Responder, verdict: Coroutine[Any, Any, Principal]
    ) -> None:
        try:
            self._workers.start(_STRANGERS, self._finish(request, responder, verdict))
        except QueueFullError:
            self._challenges.later(request.head, responder, 503, _BUSY, _SECONDS)

    async def _finish(
        self, request: Request, responder: Responder, verdict: Coroutine[Any, Any, Principal]
    ) -> None:
        is_judged = False
        try:
            request.principal = await verdict
            is_judged = True
        except CredentialError as error:
            is_judged = True
            self._wrong(request, responder, str(error))
        except CredentialsUnavailableError as unavailable:
            is_judged = True
            self._challenges.later(request.head, responder, 503, str(unavailable), _SECONDS)
        except GeneratorExit:
            # There was no room for it, or will be none any more.
            is_judged = True
            self._challenges.later(request.head, responder, 503, _BUSY, _SECONDS)
            raise
        finally:
            if not is_judged:
                self._challenges.later(request.head, responder, 503, _BUSY, _SECONDS)
        # Whoever left meanwhile would never be heard to leave.
        if request.principal is not NOBODY and responder.is_open:
            self._handler(request, responder)
            responder.notice_leaving()

    def _wrong(self, request: Request, responder: Responder, why: str) -> None:
        """Refuse a credential; who shows many such is told so, and costs others nothing.

        Only those: others may come from the same address, as all do behind a proxy.
        """
        if self._failures.take(request.peer, self._now()):
            self._deny("too_many", 429, request)
            words = "Too many wrong credentials from here."
            self._challenges.later(request.head, responder, 429, words, 10.0)
        else:
            self._deny("wrong", 401, request)
            self._challenges.wrong(request.head, responder, self._scope, why)

    def _deny(self, why: str, status: int, request: Request) -> None:
        header = request.head.headers.get(b"authorization", b"")
        credential = name_of(header.partition(b" ")[2].strip().decode("latin-1"))
        self._denied(Denial(why, status, request.peer, credential=credential))
