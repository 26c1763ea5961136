"""What callers are offered, of all that pages offer."""

import json
from typing import cast

import trio

from gateway.tool_catalogs import Catalog, Catalogs
from gateway.tool_definitions import definition_of
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session import MemoryTools, Offered, Tools
from session.errors import StoreUnavailableError
from session.model import ToolOffer
from tests.gateway.routing import fail_loudly

A = definition_of("shop", {"name": "a", "description": "first"}, 9_999)
A2 = definition_of("shop", {"name": "a", "description": "second"}, 9_999)
B = definition_of("shop", {"name": "b", "description": "other"}, 9_999)
DATA = {each.digest: each.data for each in (A, A2, B)}


def offer(number: int, **tools: str) -> ToolOffer:
    named = {f"shop.{name}": digest for name, digest in tools.items()}
    return ToolOffer(f"c{number}", f"tab-{number}", "acme", "", "here", float(number), named)


async def catalog_of(*offers: ToolOffer) -> Catalog:
    tools = MemoryTools()
    for each in offers:
        await tools.offer(each, DATA)
    return await Catalogs(tools).of("acme")


async def test_a_tool_is_there_once_however_many_pages_offer_it() -> None:
    catalog = await catalog_of(offer(1, a=A.digest), offer(2, a=A.digest, b=B.digest))
    assert catalog.names == {"shop.a": A.digest, "shop.b": B.digest}
    # Whoever came last is first.
    assert [each.connection_id for each in catalog.tools["shop.a"].offers] == ["c2", "c1"]


async def test_the_newest_definition_of_a_name_is_believed_and_its_pages_are_called() -> None:
    """Also when a page with the older one comes back later: others have it still."""
    pages = (offer(1, a=A.digest), offer(2, a=A2.digest), offer(3, a=A.digest))
    catalog = await catalog_of(*pages)
    tool = catalog.tools["shop.a"]
    assert json.loads(tool.described.listing)["description"] == "second"
    assert [each.connection_id for each in tool.offers] == ["c2"]
    assert (await catalog_of(pages[2])).tools["shop.a"].described.digest == A.digest


async def test_a_definition_that_is_missing_for_a_moment_is_not_offered() -> None:
    tools = MemoryTools()
    await tools.offer(offer(1, a=A.digest), {A.digest: A.data})
    offered = await tools.of("acme")
    offered.definitions.clear()
    assert (await Catalogs(tools).of("acme")).tools == {}


async def test_a_catalog_is_made_anew_only_when_something_has_changed() -> None:
    tools = MemoryTools()
    catalogs = Catalogs(tools)
    await tools.offer(offer(1, a=A.digest), DATA)
    first = await catalogs.of("acme")
    assert await catalogs.of("acme") is first
    await tools.offer(offer(2, b=B.digest), DATA)
    second = await catalogs.of("acme")
    # What is prepared of a definition is used again.
    assert second.tools["shop.a"].described is first.tools["shop.a"].described
    assert second.names.keys() == {"shop.a", "shop.b"}


async def test_of_so_many_tenants_one_is_kept() -> None:
    catalogs = Catalogs(MemoryTools(), tenants=3)
    for number in range(10):
        await catalogs.of(f"tenant-{number}")
    assert len(catalogs) == 3


async def test_a_long_list_is_made_in_steps() -> None:
    tools = MemoryTools()
    many = [definition_of("shop", {"name": f"t{n}", "description": "x"}, 999) for n in range(2_600)]
    await tools.offer(
        ToolOffer("c", "tab", "acme", "", "here", 1.0, {each.name: each.digest for each in many}),
        {each.digest: each.data for each in many},
    )
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert len((await Catalogs(tools).of("acme")).names) == 2_600
        nursery.cancel_scope.cancel()
    assert turns >= 3


async def test_without_a_worker_a_long_list_is_not_made_and_who_asked_may_ask_again() -> None:
    """As when the store is away: who wants to hear of changes, say, looks again later."""
    many = [definition_of("shop", {"name": f"t{n}", "description": "x"}, 999) for n in range(600)]
    named = {each.name: each.digest for each in many}
    workers = Workers(WorkerSettings(queue=1, queue_per_lane=1), on_failure=fail_loudly)
    read: Promise[None] = Promise()
    refused: list[str] = []

    class Slow:
        async def of(self, tenant: str) -> Offered:
            await read
            return Offered(
                (ToolOffer("c", "tab", tenant, "", "here", 1.0, named),),
                {each.digest: each.data for each in many},
            )

    async def look() -> None:
        try:
            await Catalogs(cast("Tools", Slow())).of("acme")
        except StoreUnavailableError as error:
            refused.append(str(error))

    workers.start("acme", look())
    workers.start("other", to_worker())
    read.set(None)
    assert refused == ["no worker is free to prepare the tools"]
