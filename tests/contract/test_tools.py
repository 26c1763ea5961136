"""What `session.tools.Tools` promises, run against every store there is."""

from __future__ import annotations

import itertools
from typing import Any

import trio

from session import Tools
from session.model import ToolOffer
from tests.contract.conftest import OpenTools

PATIENCE = 20
DEFINITIONS = {"d1": b'{"name":"shop.one"}', "d2": b'{"name":"shop.two"}'}

_numbers = itertools.count(1)


def offer(instance: str, tenant: str = "acme", **tools: str) -> ToolOffer:
    number = next(_numbers)
    named = {name.replace("_", "."): digest for name, digest in tools.items()}
    return ToolOffer(f"c{number}", f"tab-{number}", tenant, "ann", instance, float(number), named)


async def until(tools: Tools, tenant: str, *offers: ToolOffer) -> None:
    """Look until these are offered, oldest first: what an instance hears comes a little later."""
    with trio.fail_after(PATIENCE):
        while (await tools.of(tenant)).offers != offers:  # noqa: ASYNC110 - others change it
            await trio.sleep(0.01)


async def test_what_a_page_offers_is_there_for_its_tenant(open_tools: OpenTools) -> None:
    name, tools = await open_tools()
    assert (await tools.of("acme")).offers == ()
    here = offer(name, shop_one="d1", shop_two="d2")
    assert await tools.offer(here, DEFINITIONS)
    offered = await tools.of("acme")
    assert offered.offers == (here,)
    assert offered.definitions == DEFINITIONS
    assert (await tools.of("other")).offers == ()


async def test_other_instances_hear_of_it_and_of_its_end(open_tools: OpenTools) -> None:
    name, tools = await open_tools()
    _, others = await open_tools()
    assert (await others.of("acme")).offers == ()
    first, second = offer(name, shop_one="d1"), offer(name, shop_one="d1")
    await tools.offer(first, DEFINITIONS)
    await tools.offer(second, DEFINITIONS)
    await until(others, "acme", first, second)
    assert (await others.of("acme")).definitions == {"d1": DEFINITIONS["d1"]}
    assert await tools.withdraw(first)
    await until(others, "acme", second)
    assert await tools.withdraw(second)
    await until(others, "acme")


async def test_nothing_is_read_anew_while_nothing_changes(open_tools: OpenTools) -> None:
    name, tools = await open_tools()
    here = offer(name, shop_one="d1")
    assert await tools.offer(here, DEFINITIONS)
    offered = await tools.of("acme")
    assert await tools.of("acme") is offered
    # Said again, as it is every minute, it is no change.
    assert not await tools.offer(here, DEFINITIONS)
    assert await tools.of("acme") is offered


async def test_a_page_that_offers_others_offers_the_first_ones_no_more(
    open_tools: OpenTools,
) -> None:
    name, tools = await open_tools()
    before = offer(name, shop_one="d1")
    await tools.offer(before, DEFINITIONS)
    after: Any = ToolOffer(**{**_fields(before), "tools": {"shop.two": "d2"}})
    assert await tools.offer(after, DEFINITIONS)
    offered = await tools.of("acme")
    assert offered.offers == (after,)
    assert offered.definitions == {"d2": DEFINITIONS["d2"]}


async def test_only_this_very_connection_is_withdrawn(open_tools: OpenTools) -> None:
    """Of two of one frontend, as when a page comes back before it is missed."""
    name, tools = await open_tools()
    first = offer(name, shop_one="d1")
    again = ToolOffer(**{**_fields(first), "connection_id": "another", "offered_at": 10**6})
    for each in (first, again):
        await tools.offer(each, DEFINITIONS)
    assert await tools.withdraw(first)
    assert not await tools.withdraw(first)
    assert (await tools.of("acme")).offers == (again,)


def _fields(offer: ToolOffer) -> dict[str, Any]:
    return {name: getattr(offer, name) for name in ToolOffer.__struct_fields__}
