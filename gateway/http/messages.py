"""A request as an endpoint sees it, and the response it may give.

Pure module. `gateway.http.connection` makes a `Request` only after every limit
and every rule about framing, Host and Origin has been met, and hands it over
with a `Responder`, the one way to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, final

from session.model import NOBODY, Principal

if TYPE_CHECKING:
    from pool.connection import Connection, ConnectionProtocol

Headers = Sequence[tuple[bytes, bytes]]


@final
class Head:
    """The request line and the headers; immutable, shared by requests with the same bytes.

    ``headers`` has lower-case names and values without surrounding blanks; a
    field that came several times is joined by ", " (RFC 9110 section 5.3), and
    those that must not repeat were refused before.
    """

    __slots__ = (
        "body_length",
        "data",
        "edition",
        "expects_continue",
        "headers",
        "keep_alive",
        "memo",
        "method",
        "path",
        "query",
    )

    def __init__(  # noqa: PLR0913 - what there is to know of a head
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[bytes, bytes],
        *,
        keep_alive: bool,
        body_length: int | None,
        expects_continue: bool = False,
    ) -> None:
        self.method = method
        #: The path with percent-encoding left as it came; the query without its "?".
        self.path = path
        self.query = query
        self.expects_continue = expects_continue
        self.headers = headers
        self.keep_alive = keep_alive
        #: Bytes of body by Content-Length; ``None`` when it is chunked.
        self.body_length = body_length
        #: What an endpoint concluded from the head alone, kept for the next
        #: request with the very same head. Only the endpoint that serves
        #: ``path`` writes it.
        self.memo: object = None
        #: Its bytes, where it is kept to be known again, and under which rules it is a
        #: verdict; see `gateway.http.head.Heads`.
        self.data = b""
        self.edition = 0


@final
class Request:
    """One request, whole: its head, its body, the address it came from, and whose it is."""

    __slots__ = ("body", "head", "peer", "principal")

    def __init__(self, head: Head, body: bytes, peer: str, principal: Principal = NOBODY) -> None:
        self.head = head
        self.body = body
        self.peer = peer
        #: Nobody until `gateway.auth.guard` knows better, where there are credentials.
        self.principal = principal


class Responder(Protocol):
    """The one way to answer one request. Every method returns at once.

    Calling any of them after the peer has gone, or after the response is
    complete, does nothing: an answer may come late.
    """

    #: Called once when the peer goes away before the response is complete.
    on_disconnect: Callable[[], None] | None
    #: Whether a peer that sends no more counts as gone. Off by default: it may
    #: have closed its half only, and still read (RFC 9112 section 9.6).
    leaves_at_end: bool

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Send a whole response."""

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Send the head of a response whose body follows in pieces."""

    def send_piece(self, data: bytes) -> None:
        """Send a piece of a started stream, at once, or once it is compressed."""

    def end_stream(self) -> None:
        """Finish a started stream."""

    def upgrade(self, response: bytes, make: Callable[[Connection], ConnectionProtocol]) -> None:
        """Send ``response`` (a 101) and hand the connection over to another protocol."""

    def notice_leaving(self) -> None:
        """Have a peer that has left already leave now.

        For who has waited for something before it set the two above: until then nobody
        was told that the peer went away.
        """

    @property
    def is_open(self) -> bool:
        """Whether the peer can still get something."""


Handler = Callable[[Request, Responder], None]
