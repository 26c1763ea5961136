"""One response, and what all responses of a port share.

See `gateway.http.messages.Responder` for what an endpoint may do with one.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, final

from gateway.http.head import Heads, Limits
from gateway.http.messages import Handler, Head, Headers
from pool.connection import Callback, Connection, ConnectionProtocol
from pool.timers import Timers

if TYPE_CHECKING:
    from gateway.http.connection import HttpConnection

STATUS_LINE: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS: Final = frozenset((101, 204, 304))

#: Told of every finished response: method and path (empty when the head could not be
#: judged), status, seconds from the request to the end of the response, and its bytes.
Observer = Callable[[str, str, int, float, int], None]


@final
class Site:
    """What all connections of one port share."""

    __slots__ = ("_date", "_date_until", "handler", "heads", "limits", "observe", "timers")

    def __init__(
        self,
        handler: Handler,
        heads: Heads,
        limits: Limits,
        timers: Timers[Callback],
        observe: Observer,
    ) -> None:
        self.handler = handler
        self.heads = heads
        self.limits = limits
        self.timers = timers
        self.observe = observe
        self._date = b""
        self._date_until = -1.0

    def date(self) -> bytes:
        """Return the Date field (RFC 9110 section 6.6.1), made anew every second."""
        if self.timers.time >= self._date_until:
            self._date = b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
            self._date_until = self.timers.time + 1.0
        return self._date


@final
class Response:
    """The answer to one request; see `gateway.http.messages.Responder`."""

    __slots__ = (
        "_connection",
        "_head",
        "_http",
        "_site",
        "_size",
        "_started",
        "_status",
        "_streaming",
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
        more = _encode_headers(headers) if headers else b""
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
                body,
            )
        self._connection.write(out)
        self._status = status
        self._size = len(body)
        self.finish()

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Send the head of a response whose body follows in pieces."""
        if self._http is None or self._streaming:
            return
        self._streaming = True
        self._status = status
        out = STATUS_LINE[status] + self._site.date() + b"Content-Type: %b\r\n" % content_type
        # An HTTP/1.0 peer knows no chunks: its stream ends with the connection.
        out += (
            b"Transfer-Encoding: chunked\r\n" if self._head.keep_alive else b"Connection: close\r\n"
        )
        self._connection.write(out + _encode_headers(headers) + b"\r\n")

    def send_piece(self, data: bytes) -> None:
        """Send a piece of a started stream, at once."""
        if self._http is None or not self._streaming or not data:
            return
        self._size += len(data)
        if self._head.keep_alive:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._connection.write(data)

    def end_stream(self) -> None:
        """Finish a started stream."""
        if self._http is None or not self._streaming:
            return
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

    def lost(self) -> None:
        """The connection is gone before the response was complete."""
        self._http = None
        self._observe(499)
        if self.on_disconnect is not None:
            self.on_disconnect()
            self.on_disconnect = None

    def finish(self) -> None:
        """Hand the connection back: it closes, or serves what waits."""
        http, self._http = self._http, None
        self.on_disconnect = None
        self._observe(self._status)
        if http is not None:
            http.response_finished(keep_alive=self._head.keep_alive)

    def _observe(self, status: int) -> None:
        site, head = self._site, self._head
        seconds = site.timers.time - self._started
        site.observe(head.method, head.path, status, seconds, self._size)


def _encode_headers(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
