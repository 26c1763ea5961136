"""Sessions as Go's instances keep them, and the second that anybody may be behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import trio
import trio.testing

from pool.promises import Promise
from session.errors import StoreUnavailableError
from session.model import McpSession
from session.redis import keys
from session.redis.commands import Script
from session.redis.scripts import SAVE_SESSION
from session.redis.sessions import FRESH_SECONDS, KEPT, Sessions, session_bytes, session_of
from tests.passing import passing
from tests.proxy import Proxy
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import QUICK, Open, until

ID = "0b0e7a7c-4b8e-4d1a-9f0e-3f1f5f2f9a10"
# As Go's encoder writes a struct with more than we know.
GO = (
    b'{"id":"0b0e7a7c-4b8e-4d1a-9f0e-3f1f5f2f9a10","user_id":"\\u003cann\\u003e",'
    b'"created_at":"2026-01-02T03:04:05.123456789Z",'
    b'"metadata":{"tags":["a\\u0026b",null],"seen":1767323045123456789,"f":1e+21,"nested":{"x":{}}}}'
)


def session(session_id: str = ID, **more: Any) -> McpSession:
    return McpSession(session_id, "acme", "ann", "2025-11-25", 1_700_000_000.0, **more)


# -- bytes


def test_ours_are_as_gos_encoder_would_write_them() -> None:
    kept = session(client_name="<b>", capabilities={"x": 1.0}, log_level="info")
    assert session_bytes(kept) == (
        b'{"id":"0b0e7a7c-4b8e-4d1a-9f0e-3f1f5f2f9a10","tenant":"acme","subject":"ann",'
        b'"protocol_version":"2025-11-25","created_at":"2023-11-14T22:13:20Z",'
        b'"client_name":"\\u003cb\\u003e","capabilities":{"x":1},"log_level":"info"}'
    )
    assert session_of(ID, session_bytes(kept)) == kept
    assert session_of(ID, session_bytes(session())) == session()


def test_what_go_wrote_is_kept_byte_for_byte() -> None:
    found = session_of(ID, GO)
    assert found is not None
    assert (found.tenant, found.subject, found.revision) == ("default", "anonymous", "2025-11-25")
    assert found.created_at == 1767323045.123456
    again = session_bytes(msgspec.structs.replace(found, log_level="debug"))
    for field in GO[1:-1].split(b",", 1)[1].split(b',"created_at"')[:1]:
        assert field in again
    assert GO[GO.index(b'"created_at"') : -1] in again
    assert b'"log_level":"debug"' in again
    reread = session_of(ID, again)
    assert reread is not None
    assert session_bytes(reread) == again


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"tenant":"a"',
        b"\x1f\x8b\x08",
        b'{"tenant":"a","tenant":"b"}',
        b'{"tenant" : "a", "x": {"y": 1, "y": 2}}',
        b'{"tenant":"a","Tenant":"b"}',
        b'{"\\u017fubject":"a"}',
        b'{ "tenant": "\xff" }',
        b'{"tenant":"\\ud800"}',
    ],
)
def test_what_two_readers_could_understand_differently_is_no_session(data: bytes) -> None:
    assert session_of(ID, data) is None


def test_fields_of_other_types_count_as_absent() -> None:
    found = session_of(ID, b'{"tenant":1,"capabilities":[],"created_at":"soon","log_level":null}')
    assert found is not None
    assert (found.tenant, found.capabilities, found.created_at) == ("default", {}, 0.0)
    assert session_bytes(found).count(b'"created_at"') == 1
    assert session_of(ID, b'{"created_at":7}') is not None


# -- the cache


class Server:
    """What a client of Redis would do, when it is let."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.sent: list[tuple[Any, ...]] = []
        self.is_slow = False
        self.waiting: list[tuple[Promise[Any], Any]] = []

    def execute(self, *words: Any, **_: Any) -> Promise[Any]:
        self.sent.append(words)
        match words:
            case ("DEL", key):
                return self._reply(int(self.values.pop(key, None) is not None))
        return self._reply(1)

    def call(self, script: Script, at: Sequence[bytes], words: Sequence[Any], **_: Any) -> Any:
        assert script is SAVE_SESSION
        self.sent.append(("SET", *at, *words))
        self.values[at[0]] = words[0]
        return self._reply(1)

    def read_tracked(self, key: bytes, **_: Any) -> Promise[Any]:
        self.sent.append(("GET", key))
        return self._reply(self.values.get(key))

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for promise, value in waiting:
            promise.set(value)

    def count(self, command: str) -> int:
        return sum(words[0] == command for words in self.sent)

    def _reply(self, value: Any) -> Promise[Any]:
        promise: Promise[Any] = Promise()
        self.waiting.append((promise, value))
        if not self.is_slow:
            self.answer()
        return promise


class World:
    """Sessions, their server and their clock."""

    def __init__(self) -> None:
        self.server = Server()
        self.now = 1000.0
        self.sessions = Sessions(self.server, lambda: self.now, 80.0, 60)  # type: ignore[arg-type]  # what it uses of a client

    def write(self, kept: McpSession) -> None:
        """As another instance does."""
        self.server.values[keys.session(kept.id)] = session_bytes(kept)


async def test_what_was_read_is_used_for_a_second() -> None:
    world = World()
    world.write(session())
    assert await world.sessions.find(ID) == session()
    world.write(session(log_level="debug"))
    world.now += FRESH_SECONDS * 0.99
    assert await world.sessions.find(ID) == session()
    # No invalidation came: a second is all.
    world.now += FRESH_SECONDS * 0.02
    assert await world.sessions.find(ID) == session(log_level="debug")
    assert (world.sessions.hits, world.sessions.misses) == (1, 2)


@pytest.mark.parametrize("key", [keys.session(ID), None])
async def test_what_has_changed_is_read_again_at_once(key: bytes | None) -> None:
    world = World()
    world.write(session())
    await world.sessions.find(ID)
    world.write(session(log_level="debug"))
    world.sessions.invalidated(b"session:another")
    assert await world.sessions.find(ID) == session()
    world.sessions.invalidated(key)
    assert await world.sessions.find(ID) == session(log_level="debug")


@pytest.mark.parametrize("key", [keys.session(ID), None])
async def test_what_changes_while_it_is_read_is_not_kept(key: bytes | None) -> None:
    world = World()
    world.write(session())
    world.server.is_slow = True
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(world.sessions.find, ID)
        await trio.testing.wait_all_tasks_blocked()
        world.sessions.invalidated(key)
        world.server.answer()
    assert len(world.sessions) == 0
    assert world.sessions._reading == {}


@pytest.mark.parametrize("ends", [True, False])
async def test_what_is_written_here_while_it_is_read_is_not_undone(*, ends: bool) -> None:
    world = World()
    world.write(session())
    world.server.is_slow = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.sessions.find, ID)
        await trio.testing.wait_all_tasks_blocked()
        if ends:
            nursery.start_soon(world.sessions.end, ID)
        else:
            nursery.start_soon(world.sessions.save, session(log_level="debug"))
        await trio.testing.wait_all_tasks_blocked()
        world.server.is_slow = False
        world.server.answer()
    expected = None if ends else session(log_level="debug")
    assert await world.sessions.find(ID) == expected


async def test_a_session_in_use_lives_on_at_the_price_of_a_command_now_and_then() -> None:
    world = World()
    await world.sessions.save(session())
    assert world.server.sent[0][-1] == 80
    for _ in range(100):
        world.now += 0.5
        await world.sessions.find(ID)
    # An eighth of 80 s, with what the sampling of half a second adds.
    assert world.server.count("EXPIRE") == 4
    assert world.server.sent[-1][0] in ("GET", "EXPIRE")
    world.sessions.touch_all({ID, str(uuid4())})
    assert world.server.count("EXPIRE") >= 5
    assert ("EXPIRE", keys.session(ID), 80, "GT") in world.server.sent


async def test_what_cannot_be_an_id_is_not_asked_for() -> None:
    world = World()
    for strange in ("", "s", "x" * 10_000, ID.upper(), ID + "\n", "{" + ID[1:], "\u0660" + ID[1:]):
        assert await world.sessions.find(strange) is None
    assert world.server.sent == []


async def test_what_is_no_session_is_not_kept() -> None:
    world = World()
    world.server.values[keys.session(ID)] = b"[]"
    assert await world.sessions.find(ID) is None
    assert len(world.sessions) == 0


async def test_the_cache_is_bounded_and_the_oldest_go() -> None:
    world = World()
    ids = [str(uuid4()) for _ in range(KEPT + 5)]
    for each in ids:
        await world.sessions.save(session(each))
    assert len(world.sessions) == KEPT
    hits = world.sessions.hits
    await world.sessions.find(ids[-1])
    await world.sessions.find(ids[0])
    assert world.sessions.hits == hits + 1


# -- with a Redis


@pytest.mark.slow
async def test_a_write_elsewhere_is_seen_as_soon_as_redis_says_so(
    open_instance: Open, servers: Servers
) -> None:
    one, other = await open_instance(), await open_instance()
    await one.store.save_session(session())
    assert await other.store.find_session(ID) == session()
    hits = other.store.statistics().session_hits
    assert await other.store.find_session(ID) == session()
    assert other.store.statistics().session_hits == hits + 1
    await one.store.save_session(session(log_level="debug"))
    # Nothing but Redis's word empties it.
    await until(lambda: len(other.store._sessions) == 0)
    assert await other.store.find_session(ID) == session(log_level="debug")
    # A program that knows nothing of us wrote it.
    servers.do("SET", keys.session(ID), GO, "EX", 7200)
    await until(lambda: len(other.store._sessions) == 0)
    found = await other.store.find_session(ID)
    assert found is not None
    assert (found.tenant, found.subject) == ("default", "anonymous")
    # What it meant to live longer does.
    other.store.touch_sessions({ID})
    await other.store.ping()
    assert servers.do("TTL", keys.session(ID)) > 7000
    await other.store.end_session(ID)
    # What is written is kept as well, and not tracked: for a second at most.
    found_here = [await one.store.find_session(ID)]

    async def look() -> None:
        found_here.append(await one.store.find_session(ID))

    async with passing() as seconds:
        await until(lambda: found_here[-1] is None, look)
        assert seconds() < FRESH_SECONDS + 2.0


@pytest.mark.slow
async def test_a_session_that_others_let_live_longer_does_when_it_is_written(
    open_instance: Open, servers: Servers
) -> None:
    one = await open_instance()
    await one.store.save_session(session())
    assert 3500 < servers.do("TTL", keys.session(ID)) <= 3600
    servers.do("EXPIRE", keys.session(ID), 60)
    await one.store.save_session(session())
    assert 3500 < servers.do("TTL", keys.session(ID)) <= 3600
    servers.do("SET", keys.session(ID), GO, "EX", 7200)
    await one.store.save_session(session(log_level="debug"))
    assert servers.do("TTL", keys.session(ID)) > 7000
    servers.do("PERSIST", keys.session(ID))
    await one.store.save_session(session(log_level="info"))
    assert servers.do("TTL", keys.session(ID)) == -1
    other = await open_instance()
    assert await other.store.find_session(ID) == session(log_level="info")


@pytest.mark.slow
async def test_a_write_elsewhere_is_seen_within_a_second_when_redis_is_not_heard(
    open_instance: Open, servers: Servers
) -> None:
    one, other = await open_instance(), await open_instance()
    await one.store.save_session(session())
    other.lose_invalidations()
    assert await other.store.find_session(ID) == session()
    servers.do("SET", keys.session(ID), session_bytes(session(log_level="debug")), "EX", 60)
    levels = []

    async def look() -> None:
        found = await other.store.find_session(ID)
        assert found is not None
        levels.append(found.log_level)

    async with passing() as seconds:
        await until(lambda: levels[-1:] == ["debug"], look)
        # It was the cache that answered meanwhile, and no longer than it may.
        assert levels[0] == ""
        assert seconds() < FRESH_SECONDS + 2.0


@pytest.mark.slow
async def test_who_begins_is_refused_by_a_node_that_is_away_and_who_goes_on_waits_for_it(
    open_on_node: Open, proxy: Proxy
) -> None:
    """An election takes longer than the patience of who can simply try again."""
    settings = dataclasses.replace(QUICK, patience_seconds=0.2)
    one = await open_on_node(settings, url=f"redis://127.0.0.1:{proxy.port}")
    await one.store.save_session(session())
    found: list[McpSession | None] = []

    async def resume() -> None:
        found.append(await one.store.find_session(ID, patient=True))

    proxy.refuse()
    proxy.cut()
    await until(lambda: not one.store.is_usable())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resume)
        waiting = []
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="away"), trio.fail_after(10):
                await one.store.find_session(ID)
            waiting.append(one.client.statistics().waiting)
        # Those who try again take no room from those who wait.
        assert waiting[0] == waiting[-1]
        assert found == []
        proxy.accept()
    assert found == [session()]


@pytest.mark.slow
async def test_a_connection_that_is_lost_takes_what_was_read_with_it(
    open_instance: Open, servers: Servers
) -> None:
    one = await open_instance()
    await one.store.save_session(session())
    assert len(one.store._sessions) == 1
    servers.do_at(keys.session(ID), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: len(one.store._sessions) == 0)
    assert await one.store.find_session(ID) == session()
