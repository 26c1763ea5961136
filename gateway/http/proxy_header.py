"""The header of the PROXY protocol, versions 1 and 2, which a proxy sends before all else.

Pure module: bytes in, who the client is out. It refuses to guess: who is to send the
header and does not is not served, as otherwise a client could send one of its own.

The protocol: haproxy.org, doc/proxy-protocol.txt.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from gateway.http.proxies import address

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_1: Final = b"PROXY "
# The longest line that version 1 has, with its CRLF.
_LINE_BYTES: Final = 107
# Version 2's fixed part; behind it come the addresses and whatever else a proxy tells.
_FIXED_BYTES: Final = 16
_LONGEST: Final = 4096
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
# Family and transport: their addresses' length in the header, and of one of them.
_INET: Final = {0x11: (12, 4), 0x21: (36, 16)}
_LARGEST_PORT: Final = 65_535
_FIELDS: Final = 6


class ProxyHeaderError(ValueError):
    """What came is no header of the PROXY protocol, or one that is not for us."""


class ProxyHeader(NamedTuple):
    """Who the client is: empty when the proxy speaks for itself; and the bytes it took."""

    client: str
    length: int


def parse(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with; ``None`` when more has to come.

    Raises:
        ProxyHeaderError: it can become none, however it goes on.
    """
    if data.startswith(_SIGNATURE[: len(data)]):
        return _version_2(data)
    if data.startswith(_VERSION_1[: len(data)]):
        return _version_1(data)
    raise ProxyHeaderError("there is no PROXY header")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _LINE_BYTES)
    if end < 0:
        if len(data) >= _LINE_BYTES:
            raise ProxyHeaderError("the line does not end")
        return None
    fields = data[:end].split(b" ")
    if fields[1] == b"UNKNOWN":
        return ProxyHeader("", end + 2)
    if len(fields) != _FIELDS or fields[1] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderError("the line is not one of the protocol")
    version = 4 if fields[1] == b"TCP4" else 6
    for port in fields[4:]:
        if not port.isdigit() or int(port[:6]) > _LARGEST_PORT:
            raise ProxyHeaderError("a port is none")
    for text in fields[2:4]:
        try:
            known = ipaddress.ip_address(text.decode("ascii"))
        except ValueError:
            raise ProxyHeaderError("an address is none") from None
        if known.version != version or b"%" in text:
            raise ProxyHeaderError("an address is of another family")
    return ProxyHeader(address(fields[2].decode("ascii")), end + 2)


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED_BYTES:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("the version or the command is unknown")
    if length > _LONGEST:
        raise ProxyHeaderError("it is too long")
    whole = _FIXED_BYTES + length
    if len(data) < whole:
        return None
    if command == _LOCAL:
        # The proxy's own, as its checks are.
        return ProxyHeader("", whole)
    if family not in _INET:
        raise ProxyHeaderError("it is not about TCP")
    wanted, size = _INET[family]
    if length < wanted:
        raise ProxyHeaderError("the addresses are cut off")
    packed = data[_FIXED_BYTES : _FIXED_BYTES + size]
    return ProxyHeader(address(str(ipaddress.ip_address(packed))), whole)
