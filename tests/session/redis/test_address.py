"""What URLs say, and what is said of those that say nothing."""

from __future__ import annotations

import re

import pytest

from session.redis.address import Address, Tls, name_of, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", Address((("host", 6379),))),
        ("redis://host:7000/2", Address((("host", 7000),), db=2)),
        ("redis://:p%40ss@host/", Address((("host", 6379),), password="p@ss")),
        ("redis://me@host", Address((("host", 6379),), user="me")),
        ("redis://me:secret@[::1]:1", Address((("::1", 1),), user="me", password="secret")),
        ("redis://[::1]", Address((("::1", 6379),))),
        ("rediss://host", Address((("host", 6379),), tls=Tls())),
        (
            "rediss://host?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k",
            Address((("host", 6379),), tls=Tls("/ca", "/c", "/k")),
        ),
        (
            "rediss://host?ssl_cert_reqs=none",
            Address((("host", 6379),), tls=Tls(check_hostname=False, verify=False)),
        ),
        (
            "rediss://host?ssl_check_hostname=false",
            Address((("host", 6379),), tls=Tls(check_hostname=False)),
        ),
        ("redis+cluster://a:1,b:2", Address((("a", 1), ("b", 2)), cluster=True)),
        (
            "rediss+cluster://u:p@a,b:2/0",
            Address((("a", 6379), ("b", 2)), cluster=True, tls=Tls(), user="u", password="p"),
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("host:6379", "this is no URL"),
        ("http://host", "'http' is no kind of Redis URL"),
        ("redis://", "'' is no host"),
        ("redis://:1", "':1' is no host"),
        ("redis://[::1", "is no host"),
        ("redis://[::1]1", "is no host"),
        ("redis://::1", "is no host"),
        ("redis://host:port", "'port' is no port"),
        ("redis://host:0", "'0' is no port"),
        ("redis://host:65536", "'65536' is no port"),
        ("redis://host/x", "'x' is no database"),
        ("redis://a,b", "several hosts are a cluster"),
        ("redis://me:sec/ret@host", "as %2F and %3F"),
        ("redis+cluster://host/1", "database 0 only"),
        ("redis://host?timeout=1", "unknown option 'timeout'"),
        ("redis://host?ssl_ca_certs=/ca", "need rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "either required or none"),
        ("rediss://host?ssl_check_hostname=maybe", "either true or false"),
    ],
)
def test_a_url_that_says_nothing(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_address(url)


def test_nobody_sees_the_password() -> None:
    address = parse_address("rediss+cluster://me:secret@a:1,[::1]:2")
    assert str(address) == "rediss+cluster://me@a:1,[::1]:2/0"
    assert "secret" not in repr(address)
    with pytest.raises(ValueError, match="port") as caught:
        parse_address("redis://me:secret@host:x")
    assert "secret" not in str(caught.value)


def test_a_place_as_people_write_it() -> None:
    assert name_of(("host", 1)) == "host:1"
    assert name_of(("::1", 1)) == "[::1]:1"
