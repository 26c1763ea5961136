"""What is in Redis of a record: as much as said, where it is said, at little cost."""

from __future__ import annotations

import pytest

from session.errors import StoreUnavailableError
from session.redis.audit import RedisAudit
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import Open


async def test_many_entries_are_one_command(open_instance: Open, servers: Servers) -> None:
    instance = await open_instance()
    trail = RedisAudit(instance.client, instance=instance.name, length=10_000)
    before = instance.client.statistics().commands
    await trail.append("acme", 1, [b"{}"] * 500)
    # The first time a server learns the script.
    assert instance.client.statistics().commands - before <= 2
    assert servers.do("XLEN", b"audit:acme") == 500


async def test_what_is_remembered_of_a_batch_ends(open_instance: Open, servers: Servers) -> None:
    instance = await open_instance()
    trail = RedisAudit(instance.client, instance="i", length=100)
    await trail.append("acme", 41, [b"{}"])
    assert servers.do_at(b"audit:acme", "GET", b"{audit:acme}:i") == "41"
    assert 0 < servers.do_at(b"audit:acme", "TTL", b"{audit:acme}:i") <= 86_400
    assert servers.do("TTL", b"audit:acme") == -1


async def test_what_is_no_record_is_left_alone_and_said(
    open_instance: Open, servers: Servers
) -> None:
    servers.do("SET", b"audit:acme", b"mine")
    instance = await open_instance()
    trail = RedisAudit(instance.client, instance="i", length=100)
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await trail.append("acme", 1, [b"{}"])
    assert servers.do("GET", b"audit:acme") == "mine"
