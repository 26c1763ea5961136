"""What the process needs of the system: bound ports, and files enough to use them."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Final

import structlog

log = structlog.get_logger()

# Descriptors for everything that is not a connection.
_SPARE_DESCRIPTORS: Final = 64


def port_of(sock: socket.socket) -> int:
    """Return the port a socket is bound to."""
    port: int = sock.getsockname()[1]
    return port


def url_host(host: str) -> str:
    """Return a host as it stands in a URL (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def bound(host: str, port: int, flag: str, *, shared: bool = False) -> Iterator[socket.socket]:
    """Bind a port, or say which setting to change; ``shared`` is with processes of our own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot listen on {host}:{port} ({error.strerror}); "
                f"stop what uses it or choose another port with {flag}",
            ) from None
        yield sock


def allowed_connections(wanted: int) -> int:
    """Have the system allow as many open files as the connections need; return what it allows.

    A cap below the system's turns people away with a reason. Above it the process
    would run out of descriptors, and the monitoring port with it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= files:
        return wanted
    granted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    allowed = max(1, granted - _SPARE_DESCRIPTORS)
    if allowed < wanted:
        log.warning(
            "descriptors_are_few",
            wanted=wanted,
            allowed=allowed,
            advice="raise the hard limit of open files (ulimit -Hn) or lower --connections-maximum",
        )
    return allowed
