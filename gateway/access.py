"""Everything about credentials that a process has, made where they are configured.

A part of the composition root: `gateway.app` runs the tasks and guards its ports with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final
from urllib.parse import urlsplit

import structlog

from gateway.auth.authenticator import Authenticator
from gateway.auth.guard import Guard, Need
from gateway.auth.refusals import WELL_KNOWN, Challenges, Denial
from gateway.auth.tickets import Tickets
from gateway.floodgate import Floodgate
from gateway.frontends.doorman import Doorman
from gateway.recheck import Held, Recheck
from pool.rate_limit import RateLimit
from session.model import NOBODY, Principal

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.http.messages import Handler, Request, Responder

log = structlog.get_logger()

# Addresses whose wrong credentials are counted one by one.
_ADDRESSES: Final = 10_000
_MINUTE: Final = 60.0
_MCP: Final = "/mcp"


@final
class Access:
    """Who may come in, and what becomes of those who may not."""

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings.auth
        credentials = gateway.storage.credentials
        self._gateway = gateway
        self._gate = Floodgate(gateway.timers, self._held_back)
        self._challenges = Challenges(settings)
        # At the root, and where a public URL of any path has it (RFC 9728 section 3.1).
        paths = (_MCP, urlsplit(settings.resource).path.rstrip("/"))
        self._metadata = frozenset((WELL_KNOWN, *(WELL_KNOWN + path for path in paths)))
        self._failures = RateLimit(settings.failures / _MINUTE, settings.failures, keys=_ADDRESSES)
        self.authenticator = Authenticator(settings, credentials, gateway.clock, gateway.timers.now)
        self.tickets = Tickets(
            credentials,
            seconds=settings.ticket_seconds,
            ids=gateway.ids,
            workers=gateway.workers,
            challenges=self._challenges,
            confirm=self.authenticator.confirm,
            denied=self.denied,
        )
        self.doorman = Doorman(
            self.authenticator,
            credentials,
            challenges=self._challenges,
            failures=self._failures,
            now=gateway.timers.now,
            seconds=settings.connect_seconds,
            most=settings.unauthenticated,
            most_of_address=settings.unauthenticated_per_address,
            denied=self.denied,
        )
        self.recheck = Recheck(
            self.authenticator,
            self._held,
            settings.refresh_seconds,
            self._ended,
        )

    def guarded_frontends(self, handler: Handler) -> Handler:
        """Return what serves the frontends' port."""

        def with_tickets(request: Request, responder: Responder) -> None:
            if request.head.path == "/ticket":
                self.tickets.handle(request, responder)
            else:
                handler(request, responder)

        needs = {"/ws": Need.OPTIONAL, "/ticket": Need.CREDENTIAL}
        return self._guard(with_tickets, needs, "answer").handle

    def guarded_callers(self, handler: Handler) -> Handler:
        """Return what serves the callers' port."""

        def with_metadata(request: Request, responder: Responder) -> None:
            if request.head.path in self._metadata:
                headers = ((b"Cache-Control", b"max-age=300"),)
                responder.respond(200, self._challenges.metadata(request.head), headers=headers)
            else:
                handler(request, responder)

        return self._guard(with_metadata, {_MCP: Need.CREDENTIAL}, "ask").handle

    def _guard(self, handler: Handler, needs: dict[str, Need], scope: str) -> Guard:
        return Guard(
            handler,
            needs=needs,
            scope=scope,
            auth=self.authenticator,
            tickets=self.tickets,
            challenges=self._challenges,
            failures=self._failures,
            workers=self._gateway.workers,
            now=self._gateway.timers.now,
            denied=self.denied,
        )

    def _held(self) -> Iterator[Held]:
        """Return all that lives longer than a request."""
        gateway = self._gateway
        yield from gateway.frontends.sockets()
        yield from gateway.mcp.listeners()
        yield from gateway.upkeep.waiting()

    # -- refusals

    def denied(self, denial: Denial) -> None:
        """Count, log and record a refusal.

        Strangers bring them about at will: each second only some of them are logged, and
        recorded, and how many were not. Of those who are known all are recorded.
        """
        self._gateway.metrics.denied.labels(denial.reason).inc()
        principal = denial.principal
        passes = self._gate.admits(denial.reason)
        if passes:
            log.warning(
                "denied",
                reason=denial.reason,
                status=denial.status,
                peer=denial.peer,
                tenant=principal.tenant,
                subject=principal.subject,
                credential=principal.credential or denial.credential,
            )
        audit = self._gateway.audit
        if audit is not None and (passes or principal is not NOBODY):
            audit.denied(denial)

    def lacks_scope(self, principal: Principal, _scope: str) -> None:
        """A caller may not use a tool."""
        self.denied(Denial("scope", 403, "", principal))

    def _ended(self, principal: Principal) -> None:
        self.denied(Denial("ended", 401, "", principal))

    def _held_back(self, reason: str, count: int) -> None:
        log.warning("denials_not_logged", reason=reason, count=count)
        if self._gateway.audit is not None:
            self._gateway.audit.denials_not_recorded(reason, count)
