"""What callers are offered, of all that pages offer."""

import json

import trio

from gateway.tool_catalogs import Catalog, Catalogs
from gateway.tool_definitions import definition_of
from session import MemoryTools
from session.model import ToolOffer

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
