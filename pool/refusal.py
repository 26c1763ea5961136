"""How a connection is refused that is over a limit: with a reason, and without waiting."""

from __future__ import annotations

import socket


def refuse(sock: socket.socket, refusal: bytes) -> None:
    """Say why, as far as the socket takes it at once, and close."""
    try:
        if refusal:
            sock.send(refusal)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    sock.close()
