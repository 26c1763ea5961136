"""One response, and what all responses of a port share.

See `gateway.http.messages.Responder` for what an endpoint may do with one.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, final

import msgspec

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

#: Told of every finished response: head (None when it could not be judged),
#: status, seconds from the request to the end of the response, and its bytes.
Observer = Callable[[Head | None, int, float, int], None]


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
class Response(msgspec.Struct, eq=False):
    """The answer to one request; see `gateway.http.messages.Responder`.

    A struct for its speed: one is made for every request.
    """

    #: ``None`` once the response is complete, or nobody wants it any more.
    http: HttpConnection | None
    connection: Connection
    site: Site
    head: Head
    started: float
    on_disconnect: Callable[[], None] | None = None
    leaves_at_end: bool = False
    streaming: bool = False
    status: int = 0
    size: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the peer can still get something."""
        return self.http is not None and self.connection.is_open

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Send a whole response."""
        if self.http is None or self.streaming:
            return
        head = self.head
        more = _encode_headers(headers) if headers else b""
        if not head.keep_alive:
            more += b"Connection: close\r\n"
        if status in _BODILESS:
            body = b""
            out = b"%b%b%b\r\n" % (STATUS_LINE[status], self.site.date(), more)
        else:
            size = len(body)
            if head.method == "HEAD":
                body = b""
            out = b"%b%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
                STATUS_LINE[status],
                self.site.date(),
                content_type,
                size,
                more,
                body,
            )
        self.connection.write(out)
        self.status = status
        self.size = len(body)
        self.finish()

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Send the head of a response whose body follows in pieces."""
        if self.http is None or self.streaming:
            return
        self.streaming = True
        self.status = status
        out = STATUS_LINE[status] + self.site.date() + b"Content-Type: %b\r\n" % content_type
        # An HTTP/1.0 peer knows no chunks: its stream ends with the connection.
        out += (
            b"Transfer-Encoding: chunked\r\n" if self.head.keep_alive else b"Connection: close\r\n"
        )
        self.connection.write(out + _encode_headers(headers) + b"\r\n")

    def send_piece(self, data: bytes) -> None:
        """Send a piece of a started stream, at once."""
        if self.http is None or not self.streaming or not data:
            return
        self.size += len(data)
        if self.head.keep_alive:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.connection.write(data)

    def end_stream(self) -> None:
        """Finish a started stream."""
        if self.http is None or not self.streaming:
            return
        if self.head.keep_alive:
            self.connection.write(b"0\r\n\r\n")
        self.finish()

    def upgrade(self, response: bytes, make: Callable[[Connection], ConnectionProtocol]) -> None:
        """Send ``response`` (a 101) and hand the connection over."""
        http, self.http = self.http, None
        if http is None:
            return
        self.connection.write(response)
        self.site.observe(self.head, 101, 0.0, 0)
        http.hand_over(make)

    def lost(self) -> None:
        """The connection is gone before the response was complete."""
        self.http = None
        self.site.observe(self.head, 499, self.site.timers.time - self.started, self.size)
        if self.on_disconnect is not None:
            self.on_disconnect()
            self.on_disconnect = None

    def finish(self) -> None:
        """Hand the connection back: it closes, or serves what waits."""
        http, self.http = self.http, None
        self.on_disconnect = None
        self.site.observe(self.head, self.status, self.site.timers.time - self.started, self.size)
        if http is not None:
            http.response_finished(keep_alive=self.head.keep_alive)


def _encode_headers(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
