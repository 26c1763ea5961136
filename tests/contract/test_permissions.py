"""What the documentation grants is enough, as the suite beside this shows, and no more."""

from __future__ import annotations

import dataclasses
import re
from uuid import uuid4

import pytest

from haproxy.redis_cluster import RedisCluster, RedisNode
from session.model import McpSession
from session.redis.keys import session as session_key
from session.redis.keys import slot_of
from tests.contract.permissions import FOLDER, permitted, rules
from tests.session.redis.asking import answered, question
from tests.session.redis.instances import QUICK, Instance, instances, until

_IN_LUA = re.compile(r"redis\.call\('([A-Z]+)'")
_IN_PYTHON = re.compile(r"(?<=\")[A-Z]{3,}(?=\")")


def test_what_is_granted_is_what_is_used() -> None:
    granted = {word[1:].partition("|")[0].upper() for word in rules() if word[0] == "+"}
    in_lua = {
        command
        for path in FOLDER.glob("lua/*.lua")
        for command in _IN_LUA.findall(path.read_text(encoding="utf-8"))
    }
    in_python = {
        word
        for path in FOLDER.glob("*.py")
        for word in _IN_PYTHON.findall(path.read_text(encoding="utf-8"))
    }
    # How a script is sent, and sent again, is written as bytes of the protocol.
    assert granted - in_lua - in_python == {"EVAL", "EVALSHA"}
    assert in_lua <= granted


@pytest.mark.slow
async def test_a_slot_that_moves_and_replicas_that_must_know_need_no_more(
    redis_cluster: RedisCluster,
) -> None:
    kept = McpSession(str(uuid4()), "acme", "ann", "2025-11-25", 1.0)
    slot = slot_of(session_key(kept.id))
    source = redis_cluster.primary_of(slot)
    target = next(node for node in redis_cluster.primaries if node is not source)
    settings = dataclasses.replace(QUICK, durability="replicated")
    async with instances(permitted(redis_cluster.url, redis_cluster.nodes)) as open_instance:
        one = await open_instance(settings)
        await _live(one)
        redis_cluster.begin_migration(slot, target)
        try:
            await one.store.save_session(kept)
            one.lose_invalidations()
            one.store._sessions.invalidated(None)
            assert await one.store.find_session(kept.id) == kept
        finally:
            redis_cluster.end_migration(slot, target)
            redis_cluster.migrate_slot(slot, source)
        assert one.client.statistics().asked > 1


@pytest.mark.slow
async def test_another_database_needs_no_more(redis_node: RedisNode, redis_url: str) -> None:
    url = permitted(redis_url, [redis_node]).replace("/0", "/3")
    async with instances(url) as open_instance:
        one, other = await open_instance(), await open_instance()
        await _live(one)
        # Whatever was refused would have been noted, also what nobody waits for.
        await until(lambda: bool(other.heard.settled), other.sweep)
    refused = redis_node.command("ACL", "LOG")
    assert [entry for entry in refused if b"gateway" in entry or "gateway" in entry] == []


async def _live(one: Instance) -> None:
    """Take a question through its life."""
    asked = question()
    assert (await one.store.admit(asked)).fresh
    assert await one.store.hold("acme", asked.id) == asked
    await one.store.release(asked)
    assert (await one.store.find("acme", asked.id)) is not None
    settled = await one.store.settle(asked, answered())
    assert settled is not None
    assert settled.won
    assert (await one.store.find("acme", asked.id)) is not None
