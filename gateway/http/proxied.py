"""The beginning of a connection through a proxy that speaks the PROXY protocol.

Once the header is whole, the connection counts as the client's, and HTTP goes on with
the bytes behind it. A header that is none, does not end in time, or is from a client
that has all the connections it may have, ends the connection.
"""

from __future__ import annotations

from typing import Final, final

from gateway.http.connection import HttpConnection
from gateway.http.proxy_header import ProxyHeaderError, parse
from gateway.http.response import Site
from pool.connection import Callback, Connection, ConnectionProtocol
from pool.timers import Timer

_NO_HEADER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: 54\r\n\r\n"
    b'{"error":"This proxy must send a PROXY header first."}'
)


def opened(site: Site, refusal: bytes, connection: Connection) -> ConnectionProtocol:
    """Return the protocol of a connection that was accepted."""
    if site.proxies.speaks_proxy_protocol and site.proxies.trusts(connection.peer):
        return ProxiedConnection(site, refusal, connection)
    return HttpConnection(site, connection)


@final
class ProxiedConnection:
    """A proxy's connection until it has said whose it is."""

    __slots__ = ("_buffer", "_connection", "_deadline", "_refusal", "_site")

    def __init__(self, site: Site, refusal: bytes, connection: Connection) -> None:
        self._site = site
        self._refusal = refusal
        self._connection = connection
        self._buffer = b""
        connection.is_idle = True
        self._deadline: Timer[Callback] = site.timers.arm(
            site.limits.header_seconds, connection.abort
        )

    def data_received(self, data: bytes) -> None:
        """Take bytes; see `ConnectionProtocol`."""
        # What it grows to is bounded by the header's own limits.
        data = self._buffer + data
        try:
            header = parse(data)
        except ProxyHeaderError:
            self._end(_NO_HEADER)
            return
        if header is None:
            self._buffer = data
            return
        self._buffer = b""
        connection = self._connection
        if header.client and not connection.name_peer(header.client):
            self._end(self._refusal)
            return
        self._deadline.cancel()
        connection.protocol = protocol = HttpConnection(self._site, connection)
        rest = data[header.length :]
        if rest:
            protocol.data_received(rest)

    def eof_received(self) -> bool:
        """Half a header is of no use."""
        return False

    def drained(self) -> None:
        """Nothing was sent."""

    def connection_lost(self) -> None:
        """Wait for nothing more."""
        self._deadline.cancel()
        self._buffer = b""

    def _end(self, words: bytes) -> None:
        self._deadline.cancel()
        self._connection.write(words)
        self._connection.close()
