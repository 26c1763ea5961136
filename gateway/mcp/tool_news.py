"""Who hears that the tools of pages are others: the callers of that tenant, and nobody else.

A change of who offers a tool is none of the list. Many at once are told once; and what
was missed is found as the store finds it, so no caller is left with an old list for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import trio

from gateway.mcp.jsonrpc import notification_bytes
from pool.workers import QueueFullError, Workers, to_worker
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.mcp.listeners import Listeners
    from gateway.mcp.subscriptions import Subscription, Subscriptions
    from gateway.tool_catalogs import Catalogs
    from pool.connection import Callback
    from pool.timers import Timers

CHANGED: Final = "notifications/tools/list_changed"
# Changes that come closer together than this are told together.
_TOGETHER_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 1.0
_TOLD_PER_STEP: Final = 200
#: Of how many tenants it is known what they were told last.
_TENANTS: Final = 2_000


@final
class ToolNews:
    """Owned by the callers' port."""

    def __init__(
        self,
        catalogs: Catalogs,
        subscriptions: Subscriptions,
        listeners: Listeners,
        workers: Workers,
        timers: Timers[Callback],
    ) -> None:
        self._catalogs = catalogs
        self._subscriptions = subscriptions
        self._listeners = listeners
        self._workers = workers
        self._timers = timers
        self._changed: dict[str, None] = {}
        self._last: dict[str, Mapping[str, str]] = {}

    def changed(self, tenant: str) -> None:
        """The tools of a tenant may be others: see, soon, if anybody wants to know."""
        if tenant in self._changed:
            return
        if not self._changed:
            self._timers.arm(_TOGETHER_SECONDS, self._tell)
        self._changed[tenant] = None

    def _tell(self) -> None:
        changed, self._changed = self._changed, {}
        for tenant in changed:
            try:
                self._workers.start(tenant, self._tell_tenant(tenant))
            except QueueFullError:
                self._again(tenant)

    def _again(self, tenant: str) -> None:
        self._timers.arm(_AGAIN_SECONDS, lambda: self.changed(tenant))

    async def _tell_tenant(self, tenant: str) -> None:
        subscriptions = [each for each in self._subscriptions.all() if _hears(each, tenant)]
        sessions = self._listeners.sessions_of(tenant)
        if not subscriptions and not sessions:
            self._last.pop(tenant, None)
            return
        try:
            names = (await self._catalogs.of(tenant)).names
        except (StoreUnavailableError, QueueFullError):
            self._again(tenant)
            return
        if self._last.get(tenant) == names:
            return
        if len(self._last) >= _TENANTS:
            self._last.pop(next(iter(self._last)))
        # Now, and not when all were told: what others tell meanwhile is newer, and stays.
        self._last[tenant] = names
        told = False
        try:
            await self._tell_all(subscriptions, sessions)
            told = True
        except QueueFullError:
            # It was parked before; else it is closed here, and `_tell` hears why.
            self._again(tenant)
        finally:
            if not told and self._last.get(tenant) is names:
                del self._last[tenant]

    async def _tell_all(self, subscriptions: list[Subscription], sessions: list[str]) -> None:
        if len(subscriptions) + len(sessions) >= _TOLD_PER_STEP:
            # Before the first: the next attempt would tell those once more who were told.
            await to_worker()
        payload = notification_bytes(CHANGED, {})
        for number, subscription in enumerate(subscriptions, 1):
            subscription.send(CHANGED, {})
            if number % _TOLD_PER_STEP == 0:
                await trio.lowlevel.checkpoint()
        for number, session_id in enumerate(sessions, 1):
            self._listeners.send(session_id, payload)
            if number % _TOLD_PER_STEP == 0:
                await trio.lowlevel.checkpoint()


def _hears(subscription: Subscription, tenant: str) -> bool:
    principal = subscription.principal
    return (
        principal.tenant == tenant and CHANGED in subscription.lists and "tools" in principal.scopes
    )
