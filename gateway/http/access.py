"""Which Host and Origin a port answers to (checklist: DNS rebinding, cross-site use).

Pure module. A name is compared whole after parsing, never by prefix or
wildcard: ``http://127.0.0.1:8080.evil.example`` and
``http://localhost@evil.example`` are other people's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Final

from gateway.http.proxies import network
from pool.settings import setting

_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
# scheme://host[:port] and nothing else (RFC 6454 section 6.2); an IPv6 host in brackets.
_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORT: Final = {"http": "80", "https": "443"}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Whose requests are served, on every port."""

    hosts: tuple[str, ...] = setting(
        (), "Further names (host or host:port) that requests may be addressed to."
    )
    origins: tuple[str, ...] = setting(
        (), "Further origins (scheme://host[:port]) whose pages may connect."
    )
    proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks (10.0.0.0/8) of proxies, whose word for where a request came from "
        "counts: X-Forwarded-For, Forwarded, or the PROXY protocol.",
    )
    proxy_protocol: str = setting(
        "off",
        "Whether those proxies begin each connection with a header of the PROXY protocol (v1 or "
        "v2); one without it is closed.",
        choices=("off", "on"),
    )

    def __post_init__(self) -> None:
        """Refuse what no request could match: it would be a door that never opens."""
        for proxy in self.proxies:
            try:
                network(proxy)
            except ValueError as error:
                raise ValueError(f"access: {error}; write 10.0.1.5 or 10.0.1.0/24") from None
        if self.proxy_protocol == "on" and not self.proxies:
            raise ValueError("access: with proxy_protocol on, proxies names who speaks it")
        for host in self.hosts:
            if not _HOST.fullmatch(host.lower()):
                raise ValueError(f"access: {host!r} is no host; write a name, or name:port")
        for origin in self.origins:
            if _canonical(origin.lower()) is None:
                raise ValueError(
                    f"access: {origin!r} is no origin; write scheme://host or "
                    "scheme://host:port, with no path"
                )


class Allowlist:
    """The hosts and origins that the ports of this process answer to.

    Loopback names with a port of ours are always in: a page that we served
    comes from there.
    """

    def __init__(self, settings: Settings, ports: Iterable[int]) -> None:
        self._own = [f"{name}:{port}" for name in _LOOPBACK for port in ports]
        self._bare = frozenset(_LOOPBACK)
        self.become(settings)

    def become(self, settings: Settings) -> None:
        """Answer to what these settings say from now on."""
        self._hosts = frozenset(self._own) | {host.lower() for host in settings.hosts}
        origins = {_canonical(f"http://{host}") for host in self._own}
        self._origins = origins | {_canonical(origin.lower()) for origin in settings.origins}

    def allows_host(self, value: str) -> bool:
        """Whether a Host field names us: with a port of ours, or a bare loopback name."""
        value = value.lower()
        if not _HOST.fullmatch(value):
            return False
        return value in self._hosts or value in self._bare or value.partition(":")[0] in self._hosts

    def allows_origin(self, value: str) -> bool:
        """Whether an Origin field names a page that may use us; ``null`` never does."""
        origin = _canonical(value.lower())
        return origin is not None and origin in self._origins


def _canonical(origin: str) -> tuple[str, str, str] | None:
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme, host, port = found.groups()
    return scheme, host, port or _DEFAULT_PORT[scheme]
