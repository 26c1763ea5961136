"""The tools of each tenant's pages as its callers are offered them.

Made of what the store has, and kept until that is another. Of two pages that mean
different things by one name the one that came with the newer definition is believed: so a
web app that is deployed anew replaces its tools, page by page, without anybody's leave.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import msgspec
import trio

from gateway.tool_definitions import listing_of
from pool.workers import QueueFullError, to_worker
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from session import Offered, Tools
    from session.model import ToolOffer

_TENANTS: Final = 500
# A new definition takes some 20 us to prepare: so many, and others have their turn.
_PER_STEP: Final = 500


@final
class Described:
    """A definition, prepared: with what callers are shown of it."""

    __slots__ = ("definition", "digest", "listing")

    def __init__(self, digest: str, data: bytes) -> None:
        self.digest = digest
        self.definition: dict[str, Any] = msgspec.json.decode(data)
        #: What callers are shown, as JSON.
        self.listing = listing_of(self.definition)


class PageTool(NamedTuple):
    """One tool, and who offers it: whoever came last is first."""

    name: str
    described: Described
    offers: tuple[ToolOffer, ...]


@final
class Catalog:
    """What the pages of one tenant offer."""

    __slots__ = ("listing", "names", "source", "tools")

    def __init__(self, source: Offered, tools: dict[str, PageTool]) -> None:
        self.source = source
        self.tools = tools
        #: What tells this list from another one: who offers a tool does not matter to it.
        self.names = {name: tools[name].described.digest for name in sorted(tools)}
        #: What the callers' port made of it.
        self.listing: Any = None


@final
class Catalogs:
    """The catalogs of tenants that somebody asked for.

    Args:
        tenants: of how many one is kept; those asked for longest ago go first.
    """

    def __init__(self, store: Tools, tenants: int = _TENANTS) -> None:
        self._store = store
        self._most = tenants
        self._catalogs: OrderedDict[str, Catalog] = OrderedDict()

    async def of(self, tenant: str) -> Catalog:
        """Return the catalog of a tenant.

        Raises:
            StoreUnavailableError: it cannot be read now, or too much waits for a worker.
        """
        source = await self._store.of(tenant)
        catalog = self._catalogs.get(tenant)
        if catalog is None or catalog.source is not source:
            catalog = await _made(source, {} if catalog is None else catalog.tools)
            self._catalogs[tenant] = catalog
            if len(self._catalogs) > self._most:
                self._catalogs.popitem(last=False)
        self._catalogs.move_to_end(tenant)
        return catalog

    def __len__(self) -> int:
        return len(self._catalogs)


async def _made(source: Offered, before: Mapping[str, PageTool]) -> Catalog:
    believed: dict[str, str] = {}
    offers: dict[tuple[str, str], list[ToolOffer]] = {}
    # Oldest first: what is met last for the first time is the newest definition.
    for offer in source.offers:
        for name, digest in offer.tools.items():
            if digest not in source.definitions:
                continue
            offering = offers.get((name, digest))
            if offering is None:
                offering = offers[name, digest] = []
                believed[name] = digest
            offering.append(offer)
    tools: dict[str, PageTool] = {}
    fresh = 0
    for name, digest in believed.items():
        tool = before.get(name)
        if tool is not None and tool.described.digest == digest:
            described = tool.described
        else:
            described = Described(digest, source.definitions[digest])
            fresh += 1
            if fresh % _PER_STEP == 0:
                await _to_worker()
                await trio.lowlevel.checkpoint()
        tools[name] = PageTool(name, described, tuple(reversed(offers[name, digest])))
    return Catalog(source, tools)


async def _to_worker() -> None:
    try:
        await to_worker()
    except QueueFullError:
        # As much a matter of trying again: whoever waits for the tools does so, or is told.
        raise StoreUnavailableError("no worker is free to prepare the tools") from None
