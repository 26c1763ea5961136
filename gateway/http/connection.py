"""HTTP/1.1 as a protocol object: bytes in, requests out, responses back in order.

One request of a connection is served at a time; what the peer pipelines behind
it waits, bounded, and then TCP carries the pressure back. A request is handed
over only when it is whole and within every limit.

It refuses to know any path: what a request means is its handler's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from gateway.http.chunked import BodyTooLongError, ChunkedBody, ChunkError
from gateway.http.head import RefusedError, check_unfinished
from gateway.http.messages import Head, Request
from gateway.http.response import STATUS_LINE, Response, Site
from pool.connection import Callback, Connection, ConnectionProtocol
from pool.timers import Timer
from session import gojson

_END_OF_HEAD: Final = b"\r\n\r\n"
# What may wait behind the request being served before reading pauses.
_PIPELINE_BYTES: Final = 64 * 1024
# What the connection is in the midst of; each has its own deadline.
_NEW, _IDLE, _HEAD, _BODY = range(4)


@final
class HttpConnection:
    """One peer's requests, one after the other."""

    __slots__ = (
        "_active",
        "_body",
        "_body_size",
        "_buffer",
        "_connection",
        "_deadline",
        "_decoder",
        "_head",
        "_last",
        "_phase",
        "_proxied",
        "_response",
        "_site",
        "at_end",
    )

    def __init__(self, site: Site, connection: Connection) -> None:
        self._site = site
        self._connection = connection
        self._buffer = b""
        self._head: Head | None = None
        self._last: Head | None = None
        self._body = bytearray()
        self._body_size = 0
        self._decoder: ChunkedBody | None = None
        self._response: Response | None = None
        self._active = False
        #: Whether its peer sends no more.
        self.at_end = False
        #: Whether its peer is a proxy of ours, who says with each request whose it is.
        self._proxied = site.proxies.trusts(connection.peer)
        self._phase = _NEW
        connection.is_idle = True
        self._deadline: Timer[Callback] | None = site.timers.arm(
            site.limits.header_seconds, self._first_byte_missing
        )

    # -- from pool.connections

    def data_received(self, data: bytes) -> None:
        """Take bytes; see `ConnectionProtocol`."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if self._response is not None:
            self._hold(data)
        elif not self._take_whole(data):
            self._advance(data)

    def _take_whole(self, data: bytes) -> bool:
        """Serve a read that is one whole request with a head seen before.

        Callers that keep their connection send nothing else, request after
        request. Returns whether it was one; everything else is `_advance`'s.
        """
        heads, head = self._site.heads, self._last
        if head is not None and head.edition == heads.edition and data.startswith(head.data):
            end = len(head.data)
        else:
            end = data.find(_END_OF_HEAD) + 4
            head = self._last = heads.recent.get(data[:end])
        if head is None or self._head is not None or head.body_length != len(data) - end:
            return False
        self._serve(head, data[end:])
        return True

    def eof_received(self) -> bool:
        """Stay open while a response is under way: its peer may only have finished sending."""
        self.at_end = True
        response = self._response
        return response is not None and not response.leaves_at_end

    def drained(self) -> None:
        """A response that had to wait has left; the next request may be read."""

    def connection_lost(self) -> None:
        """Tell whoever works on a response that nobody waits for it any more."""
        self._disarm()
        self._buffer = b""
        response, self._response = self._response, None
        if response is not None:
            response.lost()

    # -- requests

    def _hold(self, data: bytes) -> None:
        self._buffer = data
        if len(data) >= _PIPELINE_BYTES:
            self._connection.pause_reading()

    def _advance(self, data: bytes) -> None:
        """Serve the requests in ``data`` until one has to wait for its response."""
        try:
            while data and self._response is None and self._is_ours():
                data = self._step(data)
        except RefusedError as refused:
            self._refuse(refused)
            return
        if data and self._connection.is_open:
            if self._connection.protocol is not self:
                # One of the requests was an upgrade: what follows is not HTTP.
                self._connection.protocol.data_received(data)
            elif self._response is not None:
                self._hold(data)
            else:
                self._buffer = data

    def _is_ours(self) -> bool:
        return self._connection.is_open and self._connection.protocol is self

    def _step(self, data: bytes) -> bytes:
        """Take one head, or a piece of a body, from ``data``; return the rest.

        An unfinished head is kept in the buffer and nothing is left over.
        """
        if self._head is not None:
            return self._take_body(self._head, data)
        end = data.find(_END_OF_HEAD)
        if end < 0:
            self._wait_for_head(data)
            return b""
        end += 4
        site = self._site
        if end > site.limits.header_bytes or data.startswith(b"\r\n"):
            return self._odd_start(data)
        head = site.heads.judge(data[:end])
        if head.body_length == 0:
            self._serve(head, b"")
            return data[end:]
        if head.body_length is not None:
            whole = end + head.body_length
            if len(data) >= whole:
                self._serve(head, data[end:whole])
                return data[whole:]
        self._start_body(head)
        return data[end:]

    def _odd_start(self, data: bytes) -> bytes:
        # A robust server ignores an empty line before the request line
        # (RFC 9112 section 2.2): some peers send one after a body.
        if data.startswith(b"\r\n") and not data.startswith(_END_OF_HEAD):
            return data[2:]
        if data.startswith(_END_OF_HEAD):
            raise RefusedError(400, "There is no request line.")
        limit = self._site.limits.header_bytes
        raise RefusedError(431, f"The headers are longer than {limit} bytes.")

    def _wait_for_head(self, data: bytes) -> None:
        check_unfinished(data, self._site.limits)
        self._buffer = data
        if self._phase != _HEAD:
            self._phase = _HEAD
            self._arm(self._site.limits.header_seconds, self._head_missing)

    def _start_body(self, head: Head) -> None:
        self._head = head
        self._body_size = 0
        if head.body_length is None:
            self._decoder = ChunkedBody(self._site.limits.body_bytes)
        if head.expects_continue:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._phase = _BODY
        self._arm(self._site.limits.body_seconds, self._body_missing)

    def _take_body(self, head: Head, data: bytes) -> bytes:
        if self._decoder is not None:
            complete = self._decode(self._decoder, data)
            if complete is None:
                return b""
            body, rest = complete
        else:
            assert head.body_length is not None
            missing = head.body_length - self._body_size
            self._body += data[:missing]
            self._body_size += len(data)
            if self._body_size < head.body_length:
                return b""
            body, rest = bytes(self._body), data[missing:]
        self._head = self._decoder = None
        self._body = bytearray()
        self._serve(head, body)
        return rest

    def _decode(self, decoder: ChunkedBody, data: bytes) -> tuple[bytes, bytes] | None:
        try:
            return decoder.feed(data)
        except BodyTooLongError:
            limit = self._site.limits.body_bytes
            raise RefusedError(413, f"The body is longer than {limit} bytes.") from None
        except ChunkError as error:
            raise RefusedError(400, f"The chunked body is malformed: {error}.") from None

    def _serve(self, head: Head, body: bytes) -> None:
        if self._phase != _IDLE:
            # Nothing is half-way any more. A request that comes in one piece
            # arms no timer: one lazy timer a connection watches for idleness.
            self._phase = _IDLE
            self._arm(self._site.limits.idle_seconds, self._maybe_idle)
        self._active = True
        site, connection = self._site, self._connection
        peer = connection.peer
        if self._proxied:
            peer = site.proxies.client(peer, head.headers)
            # What is upgraded is one client's from then on, and no longer the proxy's.
            if b"upgrade" in head.headers and not connection.name_peer(peer):
                self._refuse(RefusedError(503, "Too many connections from this address."))
                return
        connection.is_idle = False
        response = Response(self, connection, site, head)
        self._response = response
        site.handler(Request(head, body, peer, site.principal), response)

    def response_finished(self, *, keep_alive: bool) -> None:
        """The response is complete: close, or serve what waits."""
        self._response = None
        if not keep_alive:
            self._connection.close()
            return
        self._connection.is_idle = True
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._connection.resume_reading()
            self._advance(data)

    def hand_over(self, make: Callable[[Connection], ConnectionProtocol]) -> None:
        """Let another protocol have the connection, and the bytes that came early."""
        self._disarm()
        self._response = None
        self._connection.stay()
        early, self._buffer = self._buffer, b""
        self._connection.protocol = protocol = make(self._connection)
        if early:
            self._connection.resume_reading()
            protocol.data_received(early)

    # -- refusals and deadlines

    def _refuse(self, refused: RefusedError) -> None:
        body = gojson.encode({"error": refused.message, "status": refused.status})
        self._connection.write(
            STATUS_LINE[refused.status]
            + self._site.date()
            + b"Content-Type: application/json\r\nConnection: close\r\n"
            + b"Content-Length: %d\r\n\r\n" % len(body)
            + body
        )
        self._site.observe("", "", refused.status, 0.0, len(body))
        self._disarm()
        self._connection.close()

    def _arm(self, seconds: float, callback: Callable[[], None]) -> None:
        self._disarm()
        self._deadline = self._site.timers.arm(seconds, callback)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _first_byte_missing(self) -> None:
        self._connection.close()

    def _head_missing(self) -> None:
        seconds = self._site.limits.header_seconds
        self._refuse(
            RefusedError(408, f"The headers were not complete within {seconds:g} seconds.")
        )

    def _body_missing(self) -> None:
        seconds = self._site.limits.body_seconds
        self._refuse(RefusedError(408, f"The body was not complete within {seconds:g} seconds."))

    def _maybe_idle(self) -> None:
        """Close a connection on which nothing was asked for a whole idle period."""
        if self._active or self._response is not None:
            self._active = False
            self._arm(self._site.limits.idle_seconds, self._maybe_idle)
        else:
            self._connection.close()
