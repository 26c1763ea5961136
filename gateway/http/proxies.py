"""Whose word counts for where a request came from, and what it says.

Pure module. A peer that is one of our proxies names the client, in X-Forwarded-For or in
Forwarded (RFC 7239); what anybody else says there is ignored. Each proxy adds to the end,
so the list is read from there: the first address that is no proxy's is the client's, and
whatever it may have put before that is its own invention. So may be the whole of the header
that our proxy does not write: where there are both, they count if they name the same client.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

# As many as a request may pass; who says more is not heard further.
_HOPS: Final = 32
# Peers whose judgement is kept: proxies are few, and strangers are not kept for long.
_KEPT: Final = 1024
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")
# One pair of a Forwarded element: a token, and a token or a quoted string.
_PAIR: Final = re.compile(
    r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")\s*"""
)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(text: str) -> _Network:
    """Return the network that an address or a network in CIDR names.

    Raises:
        ValueError: it is neither.
    """
    return ipaddress.ip_network(text)


def address(text: str) -> str:
    """Return an address in the one way that it is written here; empty when it is none."""
    text = text.strip(" \t")
    found = _WITH_PORT.fullmatch(text)
    if found is not None:
        text = found[1] or found[2]
    try:
        known = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(known, ipaddress.IPv6Address):
        if known.scope_id is not None:
            # A link's name means something on one machine only.
            return ""
        # An IPv4 client, as a socket for both families names it.
        mapped = known.ipv4_mapped
        return str(known if mapped is None else mapped)
    return str(known)


@final
class Proxies:
    """The proxies in front of us, by the addresses and networks of the settings."""

    __slots__ = ("_known", "_networks", "speaks_proxy_protocol")

    def __init__(self, networks: Sequence[str], *, speaks_proxy_protocol: bool = False) -> None:
        self.become(networks, speaks_proxy_protocol=speaks_proxy_protocol)

    def become(self, networks: Sequence[str], *, speaks_proxy_protocol: bool) -> None:
        """Be those of these settings from now on."""
        #: Whether each of their connections begins with a header that says whose it is.
        self.speaks_proxy_protocol = speaks_proxy_protocol
        self._networks = [network(text) for text in networks]
        self._known: dict[str, bool] = {}

    def trusts(self, peer: str) -> bool:
        """Whether a peer is one of our proxies."""
        if not self._networks:
            return False
        trusted = self._known.get(peer)
        if trusted is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            trusted = self._known[peer] = self._judge(peer)
        return trusted

    def client(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return who a request is from that ``peer``, one of our proxies, passed on.

        Where the list is at its end, or makes no sense, the last proxy it came through
        counts as its client. Where both headers are there and do not agree, ``peer`` does:
        one of them may be the client's own, passed on by a proxy that writes the other.
        """
        listed = headers.get(b"x-forwarded-for")
        elements = headers.get(b"forwarded")
        found = peer
        if listed is not None:
            hops = (address(hop) for hop in reversed(listed.decode("latin-1").split(",")))
            found = self._last(peer, hops)
        if elements is not None:
            named = self._last(peer, reversed(forwarded(elements.decode("latin-1"))))
            if listed is not None and named != found:
                return peer
            found = named
        return found

    def _last(self, peer: str, hops: Iterable[str]) -> str:
        for _, hop in zip(range(_HOPS), hops, strict=False):
            if not hop:
                break
            peer = hop
            if not self.trusts(hop):
                break
        return peer

    def _judge(self, peer: str) -> bool:
        text = address(peer)
        if not text:
            return False
        known = ipaddress.ip_address(text)
        return any(known in each for each in self._networks)


def forwarded(value: str) -> list[str]:
    """Return the address of each element of a Forwarded field; "" where it has none."""
    found: list[str] = []
    current = ""
    position = 0
    while True:
        pair = _PAIR.match(value, position)
        if pair is None:
            # From here on nothing is understood, and what comes later stands nearer to us.
            return [""]
        if pair[1].lower() == "for":
            current = address(_unquoted(pair[2]))
        position = pair.end()
        mark = value[position : position + 1]
        if mark != ";":
            found.append(current)
            current = ""
        if not mark:
            return found
        if mark not in ",;":
            return [""]
        position += 1


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
