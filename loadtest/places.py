"""Where the load goes: the addresses of a gateway's three ports.

Only plain `ws` and `http`: what ends TLS is in front of the gateway and would be
measured instead of it.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

LOOPBACK: Final = "127.0.0.1"
# Whoever was asked too much may drop the first attempts, which are repeated after 1 and 3 seconds.
_PATIENCE_SECONDS: Final = 10.0
_SCHEMES: Final = ("ws", "http", "http")
_PATHS: Final = ("/ws", "/mcp", "")


class Place(NamedTuple):
    """One port, the path there, and the credential that is shown."""

    host: str
    port: int
    path: str
    #: Empty where none is asked for.
    token: str = ""

    @property
    def authority(self) -> str:
        """What a request's Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def socket_address(self) -> tuple[socket.AddressFamily, tuple[str, int]]:
        """Return the family and the numeric address that a socket is connected to."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return family, (str(address[0]), int(address[1]))


class Target(msgspec.Struct, frozen=True):
    """One gateway."""

    ws: Place
    mcp: Place
    #: The address of its monitoring port; empty when nobody is to look there.
    monitoring: str = ""

    def absence(self) -> str:
        """Return which port takes no connection any more, and why; nothing when both do."""
        for place in (self.ws, self.mcp):
            try:
                family, address = place.socket_address()
                with socket.socket(family, socket.SOCK_STREAM) as sock:
                    sock.settimeout(_PATIENCE_SECONDS)
                    sock.connect(address)
            except OSError as error:
                return f"{place.authority} takes no connection any more: {error.strerror or error}"
        return ""

    def __str__(self) -> str:
        return f"ws://{self.ws.authority} and http://{self.mcp.authority}"


def ws_place(port: int) -> Place:
    """Return where frontends of a gateway of this machine connect."""
    return Place(LOOPBACK, port, "/ws")


def mcp_place(port: int) -> Place:
    """Return where callers of a gateway of this machine connect."""
    return Place(LOOPBACK, port, "/mcp")


def parse_target(text: str) -> Target:
    """Read `ws://host:port,http://host:port/mcp[,http://host:port]`.

    Raises:
        ValueError: it is something else; the message says what was expected.
    """
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise ValueError(
            "a target is two or three addresses with commas between them: "
            f"ws://host:8080,http://host:8081/mcp,http://host:8082 and not {text!r}"
        )
    places = [
        _place(part.strip(), scheme, path)
        for part, scheme, path in zip(parts, _SCHEMES, _PATHS, strict=False)
    ]
    monitoring = f"http://{places[2].authority}" if len(places) > 2 else ""  # noqa: PLR2004 - the third
    return Target(places[0], places[1], monitoring)


def _place(text: str, scheme: str, path: str) -> Place:
    parts = urlsplit(text)
    if parts.scheme != scheme or not parts.hostname or parts.port is None:
        raise ValueError(f"{text!r} is not {scheme}://host:port")
    return Place(parts.hostname, parts.port, parts.path.rstrip("/") or path)
