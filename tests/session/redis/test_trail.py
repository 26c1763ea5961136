"""A record as the command line reads it, on a real server and on a cluster."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from session import parse_store_address
from session.errors import StoreUnavailableError
from session.redis import keys
from session.redis.trail import RedisTrail
from tests.session.redis.conftest import Servers


@pytest.fixture
def trail(servers: Servers) -> RedisTrail:
    return RedisTrail(parse_store_address(servers.url))


def test_a_record_is_read_whole_however_long(trail: RedisTrail, servers: Servers) -> None:
    assert not trail.exists("acme")
    assert list(trail.entries("acme")) == []
    add = "for at = 1, 2500 do redis.call('XADD', KEYS[1], '*', 'e', at) end"
    servers.do_at(b"audit:acme", "EVAL", add, 1, b"audit:acme")
    assert trail.exists("acme")
    assert [int(entry) for _, entry in trail.entries("acme")] == list(range(1, 2501))


def test_reading_begins_at_a_time(trail: RedisTrail) -> None:
    trail.append("acme", b"1")
    ((position, _),) = trail.entries("acme")
    arrived = int(position.partition("-")[0]) / 1000
    assert len(list(trail.entries("acme", arrived))) == 1
    assert list(trail.entries("acme", arrived + 1)) == []


def test_what_comes_later_is_waited_for(trail: RedisTrail) -> None:
    trail.append("acme", b"1")
    ((first, _),) = trail.entries("acme")
    trail.append("acme", b"2")
    trail.append("acme", b"3")
    assert [entry for _, entry in islice(trail.follow("acme", first), 2)] == [b"2", b"3"]


def test_an_entry_is_replaced_once(trail: RedisTrail, servers: Servers) -> None:
    trail.append("acme", b"secret")
    trail.append("acme", b"other")
    position, _ = next(iter(trail.entries("acme")))
    assert trail.replace("acme", position, b"redacted")
    assert not trail.replace("acme", position, b"redacted")
    assert [entry for _, entry in trail.entries("acme")] == [b"other", b"redacted"]
    assert b"secret" not in str(servers.do("XRANGE", keys.audit("acme"), "-", "+")).encode()


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    away = RedisTrail(parse_store_address("redis://127.0.0.1:1/0"))
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        away.exists("acme")
    assert time.monotonic() - began < 30
