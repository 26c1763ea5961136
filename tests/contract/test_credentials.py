"""What every store promises about tickets, keys and frontends' ids (`session.credentials`)."""

from __future__ import annotations

import hashlib

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from session.credentials import CLAIM_SECONDS, MemoryCredentials
from session.redis import keys
from session.redis.address import parse_address
from session.redis.keyring import RedisKeyring
from tests.contract.conftest import OpenCredentials, Time


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


async def test_a_ticket_is_returned_once_at_any_instance(open_credentials: OpenCredentials) -> None:
    one, other = await open_credentials(), await open_credentials()
    for taking in (one, other):
        await one.save_ticket(digest("a"), b"whose\0it is\xff", 30)
        assert await taking.take_ticket(digest("a")) == b"whose\0it is\xff"
        assert await one.take_ticket(digest("a")) is None
        assert await other.take_ticket(digest("a")) is None


async def test_of_many_who_take_a_ticket_at_once_one_gets_it(
    open_credentials: OpenCredentials,
) -> None:
    instances = [await open_credentials(), await open_credentials()]
    for number in range(20):
        name = digest(str(number))
        await instances[0].save_ticket(name, b"it", 30)
        got: list[bytes | None] = []

        async def take(which: int, name: str = name, got: list[bytes | None] = got) -> None:
            got.append(await instances[which % 2].take_ticket(name))

        async with trio.open_nursery() as nursery:
            for which in range(10):
                nursery.start_soon(take, which)
        assert got.count(b"it") == 1
        assert got.count(None) == 9


async def test_a_ticket_ends(open_credentials: OpenCredentials, time: Time) -> None:
    credentials = await open_credentials()
    await credentials.save_ticket(digest("short"), b"it", 1)
    await credentials.save_ticket(digest("long"), b"it", 30)
    await time.later(1.1)
    assert await credentials.take_ticket(digest("short")) is None
    assert await credentials.take_ticket(digest("long")) == b"it"


async def test_a_ticket_that_there_is_not_is_none(open_credentials: OpenCredentials) -> None:
    credentials = await open_credentials()
    for name in ("", "a", digest("a"), "*", "{}"):
        assert await credentials.take_ticket(name) is None


async def test_a_frontends_id_is_whose_it_was_first(open_credentials: OpenCredentials) -> None:
    one, other = await open_credentials(), await open_credentials()
    assert await one.claim("acme", "desk", "ann")
    assert await other.claim("acme", "desk", "ann")
    assert not await other.claim("acme", "desk", "bob")
    assert not await one.claim("acme", "desk", "")
    # Each tenant has its own, and so has each name.
    assert await other.claim("other", "desk", "bob")
    assert await other.claim("acme", "desk2", "bob")


@pytest.mark.parametrize(
    "names",
    [
        (("a:b", "c"), ("a", "b:c")),
        (("a", "{b}"), ("a", "b")),
        (("{a}", "b"), ("a", "b")),
        (("a", ""), ("", "a")),
        (("a", "b%"), ("a", "b%25")),
        (("ä", "b"), ("a", "b")),
        (("A", "b"), ("a", "b")),
    ],
)
async def test_no_two_names_are_the_same_id(
    open_credentials: OpenCredentials, names: tuple[tuple[str, str], tuple[str, str]]
) -> None:
    credentials = await open_credentials()
    for number, (tenant, frontend_id) in enumerate(names):
        assert await credentials.claim(tenant, frontend_id, str(number))
    for number, (tenant, frontend_id) in enumerate(names):
        assert await credentials.claim(tenant, frontend_id, str(number))
        assert not await credentials.claim(tenant, frontend_id, "another")


async def test_of_many_who_claim_an_id_at_once_one_has_it(
    open_credentials: OpenCredentials,
) -> None:
    instances = [await open_credentials(), await open_credentials()]
    has: list[str] = []

    async def claim(subject: str) -> None:
        if await instances[int(subject) % 2].claim("acme", "desk", subject):
            has.append(subject)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(claim, str(number))
    assert len(has) == 1
    assert await instances[0].claim("acme", "desk", has[0])


async def test_without_keys_there_is_a_version_of_none(open_credentials: OpenCredentials) -> None:
    credentials = await open_credentials()
    version, records = await credentials.api_keys(None)
    assert list(records or ()) == []
    assert isinstance(version, str)


# -- what only time or the other side shows


async def test_in_memory_an_id_is_free_again_after_a_day() -> None:
    time = Time()
    credentials = MemoryCredentials(time)
    assert await credentials.claim("acme", "desk", "ann")
    await time.later(CLAIM_SECONDS - 1)
    assert await credentials.claim("acme", "desk", "ann")
    await time.later(CLAIM_SECONDS - 1)
    assert not await credentials.claim("acme", "desk", "bob")
    await time.later(1)
    assert await credentials.claim("acme", "desk", "bob")


async def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = MemoryCredentials(Time())
    for number in range(10_002):
        await credentials.save_ticket(str(number), b"it", 30)
    assert len(credentials._tickets) == 10_000
    assert await credentials.take_ticket("1") is None
    assert await credentials.take_ticket("2") == b"it"
    for number in range(100_002):
        await credentials.claim("acme", str(number), "ann")
    assert len(credentials._claims) == 100_000
    # The first are free, those that were used last are not.
    assert await credentials.claim("acme", "1", "bob")
    assert not await credentials.claim("acme", "100001", "bob")


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["redis_url"], indirect=True)
async def test_in_redis_nothing_stays_for_ever_and_no_ticket_is_written(
    open_credentials: OpenCredentials, redis_node: RedisNode
) -> None:
    credentials = await open_credentials()
    await credentials.save_ticket(digest("a"), b"it", 30)
    await credentials.claim("acme", "desk", "ann")
    assert 0 < redis_node.command("TTL", keys.ticket(digest("a"))) <= 30
    assert 0 < redis_node.command("TTL", keys.claim("acme", "desk")) <= CLAIM_SECONDS
    assert b"desk" in keys.claim("acme", "desk")


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["redis_url", "redis_cluster"], indirect=True)
async def test_what_the_command_line_writes_is_what_instances_read(
    open_credentials: OpenCredentials, store_url: str
) -> None:
    credentials = await open_credentials()
    # Whoever makes keys is an operator, who may more than the gateway does.
    ring = RedisKeyring(parse_address(store_url.replace("gateway:secret@", "")))
    version, _ = await credentials.api_keys(None)
    assert ring.put("a" * 16, b'{"1":1}', 10)
    changed, records = await credentials.api_keys(version)
    assert changed != version
    assert list(records or ()) == [b'{"1":1}']
    assert await credentials.api_keys(changed) == (changed, None)
    # The same record written again is a change as well: nobody has to compare.
    assert ring.put("a" * 16, b'{"1":1}', 10)
    assert (await credentials.api_keys(changed))[1] is not None
