"""One response, and what all responses of a port share.

See `gateway.http.messages.Responder` for what an endpoint may do with one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, final

from gateway.http.head import Heads, Limits
from gateway.http.messages import Handler, Head, Headers
from gateway.http.proxies import Proxies
from pool.connection import Callback, Connection, ConnectionProtocol
from pool.timers import Timers
from pool.workers import QueueFullError
from session.model import NOBODY, Principal
from session.steps import Steps, in_one_go

if TYPE_CHECKING:
    from gateway.http.connection import HttpConnection

STATUS_LINE: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# What is written in parts, not copied into one: everybody waits while it is copied.
_LARGE: Final = 1024 * 1024
# What is compressed in one go: there may be a hundred in one step, as in the reply to a batch.
_COMPRESSED_AT_ONCE: Final = 16 * 1024
# What waits to be compressed is that much longer than what an outbox has of it.
_LONGER: Final = 16
_BODILESS: Final = frozenset((101, 204, 304))

#: Returns a body for who sent an Accept-Encoding, and the headers that go with it.
Pack = Callable[[bytes, bytes | None], tuple[bytes, Headers]]


class PieceCoding(Protocol):
    """Compresses one stream. Each piece can be read when it is there."""

    @property
    def headers(self) -> Headers:
        """What is to be said of it."""

    def piece(self, data: bytes) -> bytes:
        """Return a piece as it is sent."""

    def coding(self, data: bytes) -> Steps[bytes]:
        """Do as `piece` does, step by step: no other piece until it is done."""

    def end(self) -> bytes:
        """Return what ends the stream."""

    def close(self) -> None:
        """Hear that it is of no use any more."""


#: Returns what compresses a stream for who sent an Accept-Encoding, unless there are so many.
PackStream = Callable[[bytes | None, int], PieceCoding | None]

#: Told of every finished response: method and path (empty when the head could not be
#: judged), status, seconds from the request to the end of the response, and its bytes.
Observer = Callable[[str, str, int, float, int], None]


@final
class Site:
    """What all connections of one port share."""

    __slots__ = (
        "_date",
        "_date_until",
        "_encoded",
        "_headers",
        "handler",
        "heads",
        "in_steps",
        "limits",
        "observe",
        "pack",
        "pack_stream",
        "principal",
        "proxies",
        "timers",
    )

    def __init__(  # noqa: PLR0913 - what all connections of a port share
        self,
        handler: Handler,
        heads: Heads,
        limits: Limits,
        timers: Timers[Callback],
        observe: Observer,
        *,
        principal: Principal = NOBODY,
        pack: Pack = lambda body, _accept: (body, ()),
        pack_stream: PackStream = lambda _accept, _most: None,
        in_steps: Callable[[Steps[None]], None] = in_one_go,
        proxies: Proxies | None = None,
    ) -> None:
        self.handler = handler
        #: Compresses a body for who wants that.
        self.pack = pack
        self.pack_stream = pack_stream
        #: Does what takes long while others have their turns; `QueueFullError` if it cannot.
        self.in_steps = in_steps
        #: Whose every request is, unless `gateway.auth.guard` finds out more.
        self.principal = principal
        self.heads = heads
        self.limits = limits
        self.timers = timers
        self.observe = observe
        self.proxies = proxies or Proxies(())
        self._date = b""
        self._date_until = -1.0
        # The header fields that were said last: many replies say the same.
        self._headers: Headers = ()
        self._encoded = b""

    def date(self) -> bytes:
        """Return the Date field (RFC 9110 section 6.6.1), made anew every second."""
        if self.timers.time >= self._date_until:
            self._date = b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
            self._date_until = self.timers.time + 1.0
        return self._date

    def encode(self, headers: Headers) -> bytes:
        """Return header fields as they are sent."""
        if headers is not self._headers:
            self._headers = headers
            self._encoded = b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._encoded


@final
class Response:
    """The answer to one request; see `gateway.http.messages.Responder`."""

    __slots__ = (
        "_coding",
        "_connection",
        "_ending",
        "_head",
        "_http",
        "_site",
        "_size",
        "_started",
        "_status",
        "_streaming",
        "_unsent",
        "_waiting",
        "leaves_at_end",
        "on_disconnect",
    )

    def __init__(
        self, http: HttpConnection, connection: Connection, site: Site, head: Head
    ) -> None:
        # ``None`` once the response is complete, or nobody wants it any more.
        self._http: HttpConnection | None = http
        self._connection = connection
        self._site = site
        self._head = head
        self._started = site.timers.time
        self._streaming = False
        self._coding: PieceCoding | None = None
        # While a large piece is compressed: it, and what comes behind it.
        self._waiting: deque[bytes] | None = None
        self._unsent = 0
        self._ending = False
        self._status = 0
        self._size = 0
        self.on_disconnect: Callable[[], None] | None = None
        self.leaves_at_end = False

    @property
    def is_open(self) -> bool:
        """Whether the peer can still get something."""
        return self._http is not None and self._connection.is_open

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Send a whole response."""
        if self._http is None or self._streaming:
            return
        head = self._head
        if 0 < self._site.limits.compress_bytes <= len(body) and status == 200:  # noqa: PLR2004 - HTTP
            body, headers = self._packed(body, headers)
        more = self._site.encode(headers) if headers else b""
        if not head.keep_alive:
            more += b"Connection: close\r\n"
        if status in _BODILESS:
            body = b""
            out = b"%b%b%b\r\n" % (STATUS_LINE[status], self._site.date(), more)
        else:
            size = len(body)
            if head.method == "HEAD":
                body = b""
            out = b"%b%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
                STATUS_LINE[status],
                self._site.date(),
                content_type,
                size,
                more,
                body if size <= _LARGE else b"",
            )
        if len(body) > _LARGE:
            # With its head it would be a copy more.
            self._connection.write_behind(out, body)
        else:
            self._connection.write(out)
        self._status = status
        self._size = len(body)
        self.finish()

    def _packed(self, body: bytes, headers: Headers) -> tuple[bytes, Headers]:
        if any(name == b"Content-Encoding" for name, _ in headers):
            return body, headers
        packed, said = self._site.pack(body, self._head.headers.get(b"accept-encoding"))
        return packed, (*headers, *said)

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Send the head of a response whose body follows in pieces."""
        if self._http is None or self._streaming:
            return
        self._streaming = True
        self._status = status
        most = self._site.limits.compressed_streams
        if most > 0 and status == 200:  # noqa: PLR2004 - HTTP
            accept = self._head.headers.get(b"accept-encoding")
            self._coding = self._site.pack_stream(accept, most)
            if self._coding is not None:
                headers = (*headers, *self._coding.headers)
        out = STATUS_LINE[status] + self._site.date() + b"Content-Type: %b\r\n" % content_type
        # An HTTP/1.0 peer knows no chunks: its stream ends with the connection.
        out += (
            b"Transfer-Encoding: chunked\r\n" if self._head.keep_alive else b"Connection: close\r\n"
        )
        self._connection.write(out + self._site.encode(headers) + b"\r\n")

    def send_piece(self, data: bytes) -> None:
        """Send a piece of a started stream, at once, or once it is compressed."""
        if self._http is None or not self._streaming or not data:
            return
        if self._coding is not None:
            if self._waiting is not None or len(data) > _COMPRESSED_AT_ONCE:
                self._send_behind(data)
                return
            data = self._coding.piece(data)
        self._send_piece(data)

    def _send_behind(self, data: bytes) -> None:
        """Compress what is large step by step, and what comes meanwhile behind it."""
        waiting = self._waiting
        self._unsent += len(data)
        if waiting is not None:
            waiting.append(data)
            if self._unsent - len(waiting[0]) > _LONGER * self._connection.outbox_limit:
                self._connection.abort()
            return
        self._waiting = deque((data,))
        try:
            self._site.in_steps(self._sending())
        except QueueFullError:
            self._connection.close()

    def _sending(self) -> Steps[None]:
        waiting, coding = self._waiting, self._coding
        while waiting and coding is not None:
            coded = yield from coding.coding(waiting[0])
            if self._http is None:
                return
            self._send_piece(coded)
            self._unsent -= len(waiting.popleft())
        self._waiting = None
        if self._ending:
            self.end_stream()

    def _send_piece(self, data: bytes) -> None:
        size = len(data)
        self._size += size
        if size > _LARGE and self._head.keep_alive:
            self._connection.write(b"%x\r\n" % size)
            self._connection.write(data)
            self._connection.write(b"\r\n")
            return
        if self._head.keep_alive:
            data = b"%x\r\n%b\r\n" % (size, data)
        self._connection.write(data)

    def end_stream(self) -> None:
        """Finish a started stream."""
        if self._http is None or not self._streaming:
            return
        if self._waiting is not None:
            self._ending = True
            return
        if self._coding is not None:
            self._send_piece(self._coding.end())
        if self._head.keep_alive:
            self._connection.write(b"0\r\n\r\n")
        self.finish()

    def upgrade(self, response: bytes, make: Callable[[Connection], ConnectionProtocol]) -> None:
        """Send ``response`` (a 101) and hand the connection over."""
        http, self._http = self._http, None
        if http is None:
            return
        self._connection.write(response)
        self._observe(101)
        http.hand_over(make)

    def notice_leaving(self) -> None:
        """Have a peer that has left already leave now; see `Responder`."""
        http = self._http
        if http is None:
            # Once a response is complete there is nobody to be told.
            self._tell_left()
        elif self.leaves_at_end and http.at_end:
            self._connection.close()

    def lost(self) -> None:
        """The connection is gone before the response was complete."""
        self._http = None
        self._let_go()
        self._observe(499)
        self._tell_left()

    def _tell_left(self) -> None:
        if self.on_disconnect is not None:
            self.on_disconnect()
            self.on_disconnect = None

    def finish(self) -> None:
        """Hand the connection back: it closes, or serves what waits."""
        http, self._http = self._http, None
        self.on_disconnect = None
        self._let_go()
        self._observe(self._status)
        if http is not None:
            http.response_finished(keep_alive=self._head.keep_alive)

    def _let_go(self) -> None:
        if self._coding is not None:
            self._coding.close()
            self._coding = None

    def _observe(self, status: int) -> None:
        site, head = self._site, self._head
        seconds = site.timers.time - self._started
        site.observe(head.method, head.path, status, seconds, self._size)
