"""TLS between a link and its connection, without a socket of its own.

It refuses to wait: what TLS has to say is written, what it understands is returned.
"""

from __future__ import annotations

import ssl
from typing import Final, final

from pool.connection import Connection
from pool.connections import Connections
from session.redis.address import Tls

_READ_BYTES: Final = 256 * 1024


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return what all links of a client share. It reads files.

    Raises:
        OSError: a file is missing, or is no certificate; the message says which one.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_certs or None)
    except OSError as error:
        # It does not name the file.
        raise OSError(f"ssl_ca_certs={tls.ca_certs} is no certificate: {error}") from error
    context.check_hostname = tls.check_hostname
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.certfile:
        try:
            context.load_cert_chain(tls.certfile, tls.keyfile or None)
        except OSError as error:
            files = f"ssl_certfile={tls.certfile}, ssl_keyfile={tls.keyfile}"
            raise OSError(f"{files} are no certificate with its key: {error}") from error
    return context


@final
class TlsSession:
    """What is encrypted of one connection. What it raises is `ssl.SSLError`."""

    def __init__(
        self, context: ssl.SSLContext, host: str, connection: Connection, connections: Connections
    ) -> None:
        self._connection = connection
        self._connections = connections
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._established = False
        self._plain: list[bytes] = []

    def begin(self) -> None:
        """Say hello."""
        self._shake_hands()

    def write(self, data: bytes) -> None:
        """Send, encrypted together with everything else that this turn writes."""
        self._plain.append(data)
        if len(self._plain) == 1:
            self._connections.before_flush(self._encrypt)

    def received(self, data: bytes) -> bytes:
        """Return what the peer's bytes mean; nothing, when they are not enough."""
        self._incoming.write(data)
        if not self._established:
            self._shake_hands()
            if not self._established:
                return b""
        pieces = []
        try:
            while piece := self._ssl.read(_READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        self._send()
        return b"".join(pieces)

    def _shake_hands(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self._established = True
            self._encrypt()
        finally:
            # An alert too, when it fails.
            self._send()

    def _encrypt(self) -> None:
        if self._established and self._plain:
            plain, self._plain = self._plain, []
            self._ssl.write(b"".join(plain))
            self._send()

    def _send(self) -> None:
        encrypted = self._outgoing.read()
        if encrypted:
            self._connection.write(encrypted)
