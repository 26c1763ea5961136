"""Calls of pages' tools, between their callers and their pages.

A call is a question of delivery one for one frontend: the store keeps it, offers it again
to a page that reloads, ends it in time and lets one result win. Here is what a question
has not: a page is chosen for it, it tells how far it is, and what it returns is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import msgspec

from gateway.offers import ACCEPTED, Ack, lost_to, refused
from gateway.ownership import is_own
from gateway.tool_definitions import result_of
from session.model import Audience, Outcome, Principal, Question, State

if TYPE_CHECKING:
    from gateway.offers import Recipient
    from gateway.router import Router
    from gateway.tool_catalogs import PageTool
    from gateway.tool_definitions import Target
    from session import Bus
    from session.model import ToolOffer

# More often than this a page's progress is of use to nobody.
_PROGRESS_SECONDS: Final = 0.05
_MESSAGE: Final = 1_000
_UNKNOWN: Final = "There is no such call for this frontend."
_decode: Final = msgspec.json.Decoder(tuple[float, float | None, str]).decode
_encode: Final = msgspec.json.Encoder().encode


class PageProgress(NamedTuple):
    """How far a page says that it is."""

    done: float
    total: float | None = None
    message: str = ""


@final
class ToolCalls:
    """Owned by the composition root."""

    def __init__(self, router: Router, bus: Bus) -> None:
        self._router = router
        self._bus = bus
        #: Who here wants to know how far a call is; it is in it while it waits.
        self.listeners: dict[str, Callable[[PageProgress], None]] = {}

    # -- from pages

    async def finish(
        self, recipient: Recipient, call_id: str, said: Mapping[str, Any], size: int = 0
    ) -> Ack:
        """End a call with what its page returned in so many bytes.

        What cannot be passed on ends it, too.
        """
        router = self._router
        offer = recipient.offers.get(call_id)
        if offer is None:
            found = await router.store.find(recipient.tenant, call_id)
            if found is None or not self._is_of(found.question, recipient):
                return Ack("unknown", _UNKNOWN)
            if found.outcome is not None:
                return lost_to(found.outcome)
            question = found.question
        else:
            question = offer.question
        if not question.tool:
            return Ack("unknown", _UNKNOWN)
        result, wrong = result_of(question, said, router.settings.answer_bytes, size)
        who, user = recipient.frontend_id, recipient.user
        outcome = Outcome(State.ANSWERED, router.clock(), result, None, who, user)
        settled = await router.settle(question, outcome, recipient)
        if settled is None or not settled.won:
            return refused(settled)
        return Ack("invalid", wrong, State.ANSWERED) if wrong else ACCEPTED

    def progress(self, recipient: Recipient, call_id: str, progress: PageProgress) -> None:
        """Pass on how far a call is that is this page's."""
        offer = recipient.offers.get(call_id)
        if offer is None or not offer.question.tool:
            return
        now = self._router.clock()
        # With delivery one this is when it was offered; nobody looks at that for a call.
        if now - offer.offered_at < _PROGRESS_SECONDS:
            return
        offer.offered_at = now
        progress = PageProgress(progress.done, progress.total, progress.message[:_MESSAGE])
        listener = self.listeners.get(call_id)
        if listener is not None:
            listener(progress)
        elif self._router.shared:
            self._bus.progress(recipient.tenant, call_id, _encode(tuple(progress)))

    # -- from other instances

    def progressed(self, tenant: str, call_id: str, progress: bytes) -> None:
        """Hear how far a call is whose page is elsewhere."""
        listener = self.listeners.get(call_id)
        offer = self._router.offers.get(call_id)
        if listener is None or offer is None or offer.question.tenant != tenant:
            return
        try:
            listener(PageProgress(*_decode(progress)))
        except msgspec.DecodeError:
            # An instance of another version.
            return

    # -- for callers

    async def cancel(self, principal: Principal, call_id: str, reason: str, by: str) -> None:
        """End a call of the caller's that nobody waits for, or that no page can end."""
        router = self._router
        found = await router.store.find(principal.tenant, call_id)
        if found is None or found.outcome is not None:
            return
        question = found.question
        if is_own(principal, question) and question.tool:
            outcome = Outcome(State.CANCELLED, router.clock(), by=by, reason=reason)
            await router.settle(question, outcome, None, principal)

    @staticmethod
    def _is_of(question: Question, recipient: Recipient) -> bool:
        """Whether a call is this frontend's, which may not offer the tool again yet."""
        return bool(question.tool) and page_of(question) == recipient.frontend_id


def audience_of(tool: str, frontend_id: str) -> Audience:
    """Return for whom a call is."""
    return Audience("tool", f"{tool} {frontend_id}")


def page_of(question: Question) -> str:
    """Return the id of the frontend for which a call is."""
    return question.audience.name.partition(" ")[2]


def chosen(tool: PageTool, target: Target, subject: str) -> ToolOffer | None:
    """Return the page that a call is for: who is meant; else the caller's own, or the newest."""
    meant = [
        offer
        for offer in tool.offers
        if (not target.user or offer.user == target.user)
        and (not target.frontend_id or offer.frontend_id == target.frontend_id)
    ]
    own = (offer for offer in meant if offer.user == subject)
    return next(own, meant[0] if meant else None)
