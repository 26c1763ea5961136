"""The PROXY protocol's header: what it says, what is none, and what is not there yet."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.proxy_header import ProxyHeader, ProxyHeaderError, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version_2(client: str, command: int = 0x21, more: bytes = b"") -> bytes:
    known = ipaddress.ip_address(client)
    addresses = known.packed * 2 + struct.pack("!HH", 1234, 80) + more
    family = 0x11 if known.version == 4 else 0x21
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


def raw_2(command: int, family: int, body: bytes, length: int = -1) -> bytes:
    return (
        SIGNATURE + struct.pack("!BBH", command, family, len(body) if length < 0 else length) + body
    )


@pytest.mark.parametrize(
    ("data", "client"),
    [
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 80\r\n", "1.2.3.4"),
        (b"PROXY TCP6 2001:DB8::1 ::1 5678 80\r\n", "2001:db8::1"),
        (b"PROXY TCP6 ::ffff:1.2.3.4 ::1 5678 80\r\n", "1.2.3.4"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN whatever it is\r\n", ""),
        (version_2("1.2.3.4"), "1.2.3.4"),
        (version_2("2001:db8::1"), "2001:db8::1"),
        (version_2("::ffff:1.2.3.4"), "1.2.3.4"),
        (version_2("1.2.3.4", more=b"\x03\x00\x04abcd"), "1.2.3.4"),
        # Its own checks: it is the client.
        (version_2("1.2.3.4", 0x20), ""),
        (raw_2(0x20, 0x00, b""), ""),
    ],
)
def test_a_header_says_who_the_client_is(data: bytes, client: str) -> None:
    assert parse(data) == ProxyHeader(client, len(data))
    assert parse(data + b"GET / HTTP/1.1\r\n") == ProxyHeader(client, len(data))
    # Piece by piece it is the same.
    assert [parse(data[:end]) for end in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXX",
        b"\r\n\r\n\x01",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 80 9\r\n",
        b"PROXY TCP4  1.2.3.4 10.0.0.1 5678 80\r\n",
        b"PROXY TCP5 1.2.3.4 10.0.0.1 5678 80\r\n",
        b"PROXY TCP4 1.2.3.400 10.0.0.1 5678 80\r\n",
        b"PROXY TCP4 ::1 ::1 5678 80\r\n",
        b"PROXY TCP6 1.2.3.4 10.0.0.1 5678 80\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 5678 80\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 -1 80\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 65536\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 999999999999999999999\r\n",
        b"PROXY TCP4 \xff 10.0.0.1 5678 80\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 200,
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        raw_2(0x22, 0x11, bytes(12)),
        raw_2(0x11, 0x11, bytes(12)),
        # UDP and UNIX.
        raw_2(0x21, 0x12, bytes(12)),
        raw_2(0x21, 0x31, bytes(216)),
        raw_2(0x21, 0x11, bytes(11)),
        raw_2(0x21, 0x21, bytes(35)),
        raw_2(0x21, 0x11, b"", 5000),
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse(data)


@given(
    st.binary(max_size=64).map(lambda tail: SIGNATURE + tail)
    | st.binary(max_size=200)
    | st.binary(max_size=120).map(lambda tail: b"PROXY " + tail)
)
def test_any_bytes_are_a_header_or_refused_or_unfinished(data: bytes) -> None:
    try:
        header = parse(data)
    except ProxyHeaderError:
        return
    if header is None:
        # It waits for more, but not for ever: neither is longer than what may be kept.
        assert len(data) < 16 + 4096 + 1
        return
    assert 0 < header.length <= len(data)
    assert not header.client or str(ipaddress.ip_address(header.client)) == header.client


@given(st.ip_addresses(), st.binary(max_size=100), st.integers(1, 40))
def test_however_it_is_cut_it_says_the_same(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address, more: bytes, step: int
) -> None:
    data = version_2(str(client), more=more)
    received = b""
    for at in range(0, len(data), step):
        assert parse(received) is None
        received += data[at : at + step]
    header = parse(received)
    assert header is not None
    assert header.length == len(data)
    mapped = getattr(client, "ipv4_mapped", None)
    assert header.client == str(mapped or client)
