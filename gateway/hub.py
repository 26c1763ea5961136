"""The frontends attached to this process: by tenant, user, group and id.

Pure module: it knows who is here and how busy each one is, and nothing about
sockets or questions. Ids are indexes into one tenant only, so a look-up cannot
cross over to another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final, Protocol, final

from session.model import Audience

_NOBODY: Final[dict[object, None]] = {}


class Frontend(Protocol):
    """What the hub has to know of a frontend; these do not change while it is attached."""

    tenant: str
    frontend_id: str
    user: str
    groups: tuple[str, ...]
    #: Which may be others the next moment: the tools that it offers, with their digests.
    tools: Mapping[str, str]


@final
class _Tenant:
    """One tenant's frontends and the indexes over them."""

    __slots__ = ("by_group", "by_id", "by_user", "everyone", "levels", "load", "lowest")

    def __init__(self) -> None:
        self.everyone: dict[Frontend, None] = {}
        self.by_user: dict[str, dict[Frontend, None]] = {}
        self.by_group: dict[str, dict[Frontend, None]] = {}
        self.by_id: dict[str, dict[Frontend, None]] = {}
        # How many questions each has, and by that number who has so many: the least busy
        # one is found without looking at the others. Nobody has fewer than the lowest.
        self.load: dict[Frontend, int] = {}
        self.levels: list[dict[Frontend, None]] = [{}]
        self.lowest = 0

    def audience(self, audience: Audience) -> dict[Frontend, None]:
        kind = audience.kind
        if kind == "everyone":
            return self.everyone
        if kind == "tool":
            tool, _, frontend_id = audience.name.partition(" ")
            of_id = self.by_id.get(frontend_id)
            return {each: None for each in of_id if tool in each.tools} if of_id else {}
        index = {"user": self.by_user, "group": self.by_group, "frontend": self.by_id}[kind]
        return index.get(audience.name, _NOBODY)  # type: ignore[arg-type]  # empty has no type

    def trim(self) -> None:
        """Forget the levels above the busiest frontend."""
        levels = self.levels
        while len(levels) > 1 and not levels[-1]:
            levels.pop()


@final
class Hub:
    """Who is attached here."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}

    def attach(self, frontend: Frontend) -> None:
        """Add a frontend that is not attached, with nothing to do yet."""
        tenant = self._tenants.get(frontend.tenant)
        if tenant is None:
            tenant = self._tenants[frontend.tenant] = _Tenant()
        if frontend in tenant.load:
            # It would stand in two levels of load, and in one of them when it has gone.
            raise RuntimeError("a frontend is attached once")
        tenant.everyone[frontend] = None
        tenant.load[frontend] = tenant.lowest = 0
        tenant.levels[0][frontend] = None
        for index, name in _entries(tenant, frontend):
            index.setdefault(name, {})[frontend] = None

    def detach(self, frontend: Frontend) -> None:
        """Remove a frontend that is attached."""
        tenant = self._tenants[frontend.tenant]
        del tenant.everyone[frontend]
        del tenant.levels[tenant.load.pop(frontend)][frontend]
        tenant.trim()
        for index, name in _entries(tenant, frontend):
            del index[name][frontend]
            if not index[name]:
                del index[name]
        if not tenant.everyone:
            del self._tenants[frontend.tenant]

    def matching(self, tenant: str, audience: Audience) -> Collection[Frontend]:
        """Return the frontends here that an audience means, longest attached first."""
        found = self._tenants.get(tenant)
        return found.audience(audience) if found is not None else ()

    def matches(self, frontend: Frontend, audience: Audience) -> bool:
        """Whether an audience of its tenant means this frontend, attached or not."""
        kind, name = audience.kind, audience.name
        return (
            kind == "everyone"
            or (kind == "user" and name == frontend.user)
            or (kind == "group" and name in frontend.groups)
            or (kind == "frontend" and name == frontend.frontend_id)
            or (kind == "tool" and _offers(frontend, name))
        )

    def least_busy(
        self, tenant: str, audience: Audience, passed_over: Collection[Frontend] = ()
    ) -> Frontend | None:
        """Return the frontend with the fewest questions; among equals, each in its turn."""
        found = self._tenants.get(tenant)
        if found is None:
            return None
        if audience.kind == "everyone":
            levels = found.levels
            while not levels[found.lowest]:
                found.lowest += 1
            for load in range(found.lowest, len(levels)):
                for frontend in levels[load]:
                    if frontend not in passed_over:
                        return frontend
            return None
        candidates = [f for f in found.audience(audience) if f not in passed_over]
        return min(candidates, key=found.load.__getitem__, default=None)

    def add_load(self, frontend: Frontend, change: int) -> None:
        """Note that an attached frontend has so many questions more, or fewer."""
        tenant = self._tenants[frontend.tenant]
        before = tenant.load[frontend]
        after = tenant.load[frontend] = before + change
        levels = tenant.levels
        del levels[before][frontend]
        while after >= len(levels):
            levels.append({})
        levels[after][frontend] = None
        if after < before:
            tenant.lowest = min(tenant.lowest, after)
            if not levels[-1]:
                tenant.trim()

    def __iter__(self) -> Iterator[Frontend]:
        for tenant in self._tenants.values():
            yield from tenant.everyone

    def __len__(self) -> int:
        return sum(len(tenant.everyone) for tenant in self._tenants.values())


def _offers(frontend: Frontend, name: str) -> bool:
    tool, _, frontend_id = name.partition(" ")
    # Of a frontend elsewhere it is not known here what it offers.
    return frontend.frontend_id == frontend_id and tool in getattr(frontend, "tools", ())


def _entries(
    tenant: _Tenant, frontend: Frontend
) -> Iterator[tuple[dict[str, dict[Frontend, None]], str]]:
    yield tenant.by_id, frontend.frontend_id
    if frontend.user:
        yield tenant.by_user, frontend.user
    for group in frontend.groups:
        yield tenant.by_group, group
