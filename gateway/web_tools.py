"""What a process has to do with the tools of web pages: a part of the composition root.

Its own frontends offer some, its callers call those of all, and both hear of the others
through the store and the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, final

from gateway.tool_calls import ToolCalls
from gateway.tool_catalogs import Catalogs
from gateway.tool_offers import ToolOffers

if TYPE_CHECKING:
    from gateway.quotas.allowances import Allowances
    from gateway.router import Router
    from gateway.tool_definitions import Settings
    from session import Bus, Tools

_SAID_PER_SWEEP: Final = 200


@final
class WebTools:
    """Owned by the composition root; `gateway.upkeep` passes on what others do."""

    def __init__(  # noqa: PLR0913 - the composition root hands over what it needs
        self,
        settings: Settings,
        *,
        router: Router,
        store: Tools,
        bus: Bus,
        instance: str,
        quotas: Allowances | None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.catalogs = Catalogs(store)
        self.calls = ToolCalls(router, bus)
        self.offers = ToolOffers(settings, store, router.clock, instance, self.changed, quotas)
        #: Told of each tenant whose tools may be others.
        self.on_changed: Callable[[str], None] = _nobody_hears

    def changed(self, tenant: str) -> None:
        """What a tenant's pages offer may be another than it was."""
        self.on_changed(tenant)

    def make_up(self, start: Callable[[str, Coroutine[Any, Any, None]], bool]) -> None:
        """Say what could not be said before, some of it at a time; ``start`` runs a step."""
        offers = self.offers
        if not offers.unsaid and not offers.goodbyes:
            return
        said, gone = offers.due(_SAID_PER_SWEEP)
        for recipient in said:
            if not start(recipient.tenant, offers.say(recipient)):
                offers.unsaid[recipient] = None
        for offer in gone:
            if not start(offer.tenant, offers.say_goodbye(offer)):
                offers.goodbyes.append(offer)


def _nobody_hears(_tenant: str) -> None:
    """Before callers are served, nobody wants to know."""
