"""Who a frontend is, where frontends need a credential.

A handshake may have brought one (`gateway.auth.guard`); else the first ``connect`` has to,
soon, and there are only so many who have not said who they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, final

from gateway.auth.keys import name_of
from gateway.auth.refusals import Denial
from gateway.errors import CredentialError, CredentialsUnavailableError, ForbiddenError
from pool.anteroom import Anteroom
from session.errors import StoreUnavailableError
from session.model import NOBODY, Principal

if TYPE_CHECKING:
    from gateway.auth.authenticator import Authenticator
    from gateway.auth.refusals import Challenges
    from gateway.frontends import wire
    from gateway.frontends.socket import FrontendSocket
    from gateway.http.messages import Request, Responder
    from pool.rate_limit import RateLimit
    from session import Credentials

#: What a frontend's credential must allow.
SCOPE: Final = "answer"
# How many are looked at to find one that has sent nothing; then it is the last of them.
_LOOKS: Final = 16
_TOO_MANY: Final = "Too many wrong credentials from here; come back in a minute."


class Recognized(NamedTuple):
    """Who a frontend is."""

    principal: Principal
    #: The id it asked for, if it is the principal's.
    frontend_id: str
    #: What it has to hear beside being let in, or an empty text.
    notice: str


@final
class Doorman:
    """Lets frontends in.

    Args:
        seconds: how long a frontend may take to show a credential.
        most: how many may be about to; one more displaces who has been about to for longest.
        most_of_address: the same, of those from one address.
        denied: told of each refusal.
    """

    def __init__(  # noqa: PLR0913 - made once, by the composition root
        self,
        auth: Authenticator,
        credentials: Credentials,
        *,
        challenges: Challenges,
        failures: RateLimit,
        now: Callable[[], float],
        seconds: float,
        most: int,
        most_of_address: int,
        denied: Callable[[Denial], None],
    ) -> None:
        self.seconds = seconds
        self._auth = auth
        self._credentials = credentials
        self._challenges = challenges
        self._failures = failures
        self._now = now
        self._most = most
        self._most_of_address = most_of_address
        self._denied = denied
        self._strangers: Anteroom[FrontendSocket] = Anteroom()

    @property
    def strangers(self) -> int:
        """How many have not said who they are."""
        return len(self._strangers)

    def admits(self, request: Request, responder: Responder) -> bool:
        """Return whether a handshake may go on; if not it is refused."""
        principal = request.principal
        if principal is NOBODY or SCOPE in principal.scopes:
            return True
        self._denied(Denial("scope", 403, request.peer, principal))
        self._challenges.forbidden(request.head, responder, SCOPE)
        return False

    def expect(self, socket: FrontendSocket) -> None:
        """A frontend has yet to say who it is; who has had longest for it may have to go.

        To refuse the newcomer would let whoever says nothing keep out everybody who would.
        """
        peer = socket.connection.peer
        if self._strangers.count(peer) >= self._most_of_address:
            self._displace(peer)
        elif len(self._strangers) >= self._most:
            self._displace(None)
        self._strangers.enter(socket, peer)

    def gone(self, socket: FrontendSocket) -> None:
        """A frontend has said who it is, or left."""
        self._strangers.leave(socket)

    async def recognize(
        self, socket: FrontendSocket, message: wire.Connect, peer: str
    ) -> Recognized:
        """Return who a frontend is, by what it said or what its handshake had.

        Raises:
            CredentialError: it is nobody's.
            ForbiddenError: it may not answer.
            CredentialsUnavailableError: that cannot be found out now.
        """
        principal = socket.principal
        if message.token:
            fresh = await self._verify(message.token, peer)
            before = (principal.tenant, principal.subject)
            if principal is not NOBODY and before != (fresh.tenant, fresh.subject):
                raise CredentialError("This connection is somebody else's; open another one.")
            principal = fresh
        if principal is NOBODY:
            raise CredentialError("Say who you are: connect with a token, or bring a ticket.")
        mine = True
        if message.frontend_id:
            try:
                mine = await self._credentials.claim(
                    principal.tenant, message.frontend_id, principal.subject
                )
            except StoreUnavailableError:
                raise CredentialsUnavailableError from None
        return Recognized(
            principal,
            message.frontend_id if mine else "",
            "" if mine else "This frontend_id is somebody else's; you have another one.",
        )

    def _displace(self, peer: str | None) -> None:
        for _ in range(_LOOKS):
            stranger = self._strangers.turn(peer)
            if stranger is not None and not stranger.connection.has_unread():
                break
        if stranger is not None:
            self._denied(Denial("strangers", 503, stranger.connection.peer))
            # Without a word: it would be one to a peer that may never read.
            stranger.connection.abort()

    async def _verify(self, token: str, peer: str) -> Principal:
        # What is no ASCII is no credential, and is refused as such.
        header = b"Bearer " + token.encode()
        try:
            principal = self._auth.known(header) or await self._auth.verify(header)
        except CredentialError:
            if self._failures.take(peer, self._now()):
                self._denied(Denial("too_many", 429, peer, credential=name_of(token)))
                raise CredentialError(_TOO_MANY) from None
            self._denied(Denial("wrong", 401, peer, credential=name_of(token)))
            raise
        if SCOPE not in principal.scopes:
            self._denied(Denial("scope", 403, peer, principal))
            raise ForbiddenError(
                f"This credential does not have the scope {SCOPE}; ask for one that has."
            )
        return principal
