"""Only our proxies say where a request came from, and only the last that is none of them counts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.proxies import Proxies, address, forwarded

OURS = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
ADDRESSES = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("", False),
        ("nobody", False),
    ],
)
def test_a_proxy_is_known_by_its_address(peer: str, trusted: bool) -> None:
    assert OURS.trusts(peer) is trusted
    # And is told the same when it was asked before.
    assert OURS.trusts(peer) is trusted


def test_nobody_is_trusted_by_default() -> None:
    assert not Proxies(()).trusts("127.0.0.1")


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    for number in range(5_000):
        assert not proxies.trusts(str(ipaddress.ip_address(0x0B00_0000 + number)))
    assert len(proxies._known) <= 1024
    assert proxies.trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"1.2.3.4", "1.2.3.4"),
        (b" 1.2.3.4 ", "1.2.3.4"),
        # What a client invents stands before what our proxies add.
        (b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (b"10.0.0.9, 1.2.3.4, 10.0.0.2, 192.0.2.7", "1.2.3.4"),
        (b"evil, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        # All are ours: whoever began is meant.
        (b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (b"1.2.3.4:5678", "1.2.3.4"),
        (b"[2001:db9::1]:5678", "2001:db9::1"),
        (b"2001:DB9:0::1", "2001:db9::1"),
        (b"::ffff:1.2.3.4", "1.2.3.4"),
        # What makes no sense ends it: the last proxy that is known counts.
        (b"", "10.0.0.1"),
        (b"unknown", "10.0.0.1"),
        (b"1.2.3.4, ", "10.0.0.1"),
        (b"1.2.3.4, 010.0.0.2", "10.0.0.1"),
        (b"1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"),
        (b"1.2.3.4, fe80::1%eth0", "10.0.0.1"),
        (b"1.2.3.4, \xff", "10.0.0.1"),
        (b", ".join([b"1.2.3.4"] + [b"10.0.0.5"] * 100), "10.0.0.5"),
    ],
)
def test_the_last_address_that_is_no_proxys_is_the_clients(value: bytes, client: str) -> None:
    assert OURS.client("10.0.0.1", {b"x-forwarded-for": value}) == client


def test_without_a_word_the_proxy_is_its_own_client() -> None:
    assert OURS.client("10.0.0.1", {b"host": b"a"}) == "10.0.0.1"


@pytest.mark.parametrize(
    ("value", "hops"),
    [
        ("for=1.2.3.4", ["1.2.3.4"]),
        ("For=1.2.3.4;proto=https;by=10.0.0.1", ["1.2.3.4"]),
        ('for="[2001:db9::1]:99";proto=https, for=10.0.0.2', ["2001:db9::1", "10.0.0.2"]),
        ('for="1.2.3.4:99" , proto=http', ["1.2.3.4", ""]),
        ("for=unknown", [""]),
        ("for=_hidden, for=1.2.3.4", ["", "1.2.3.4"]),
        # A comma within quotes separates nothing.
        ('host="a, for=6.6.6.6", for=1.2.3.4', ["", "1.2.3.4"]),
        (r'for="1.2\.3.4"', ["1.2.3.4"]),
        ("", [""]),
        ("for=", [""]),
        ('for="1.2.3.4', [""]),
        ("for=6.6.6.6, for=1.2.3.4 for=2", [""]),
    ],
)
def test_forwarded_is_read_element_by_element(value: str, hops: list[str]) -> None:
    assert forwarded(value) == hops


def test_forwarded_names_the_client_where_there_is_nothing_else() -> None:
    alone = {b"forwarded": b"for=6.6.6.6, for=1.2.3.4, for=10.0.0.2"}
    assert OURS.client("10.0.0.1", alone) == "1.2.3.4"


@pytest.mark.parametrize(
    ("listed", "elements", "client"),
    [
        (b"1.2.3.4", b"for=1.2.3.4", "1.2.3.4"),
        (b"2001:DB9:0::1", b'for="[2001:db9::1]:99";proto=https', "2001:db9::1"),
        (b"6.6.6.6, 1.2.3.4", b"for=7.7.7.7, for=1.2.3.4", "1.2.3.4"),
        # One of our proxies writes only one of the two.
        (b"1.2.3.4, 10.0.0.2", b"for=1.2.3.4", "1.2.3.4"),
        (b"10.0.0.2", b"for=10.0.0.2", "10.0.0.2"),
        # One is what a client says that comes through a proxy that writes the other.
        (b"6.6.6.6", b"for=1.2.3.4", "10.0.0.1"),
        (b"1.2.3.4", b"for=6.6.6.6", "10.0.0.1"),
        (b"6.6.6.6, 10.0.0.2", b"for=1.2.3.4, for=10.0.0.2", "10.0.0.1"),
        (b"10.0.0.2", b"for=1.2.3.4", "10.0.0.1"),
        (b"6.6.6.6", b"for=unknown", "10.0.0.1"),
        (b"6.6.6.6", b"proto=https", "10.0.0.1"),
        (b"", b"for=6.6.6.6", "10.0.0.1"),
        (b"1.2.3.4", b'for="', "10.0.0.1"),
    ],
)
def test_where_two_headers_do_not_name_the_same_client_neither_counts(
    listed: bytes, elements: bytes, client: str
) -> None:
    """A client could name any address in the one that its proxy does not write."""
    both = {b"x-forwarded-for": listed, b"forwarded": elements}
    assert OURS.client("10.0.0.1", both) == client


@given(ADDRESSES)
def test_an_address_has_one_form(text: str) -> None:
    known = address(text)
    assert address(known) == known
    bracketed = f"[{text}]:80" if ":" in text else f"{text}:80"
    assert address(bracketed) == known


@given(st.binary(max_size=300), st.lists(ADDRESSES, max_size=4))
def test_whatever_a_client_invents_does_not_change_who_it_is(
    invented: bytes, proxies: list[str]
) -> None:
    proxies = [each for each in proxies if OURS.trusts(each)]
    path = b", ".join([b"1.2.3.4", *(each.encode() for each in proxies)])
    value = invented.replace(b"\r", b"").replace(b"\n", b"") + b", " + path
    assert OURS.client("10.0.0.1", {b"x-forwarded-for": value}) == "1.2.3.4"


@given(
    st.text(st.characters(max_codepoint=255), max_size=300)
    | st.text('for=",;[]:.1\\ ', max_size=60)
)
def test_nothing_in_forwarded_is_a_failure(value: str) -> None:
    assert all(not hop or address(hop) == hop for hop in forwarded(value))
    client = OURS.client("10.0.0.1", {b"forwarded": value.encode("latin-1")})
    assert address(client) == client
