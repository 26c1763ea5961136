"""Who is shown which question, at this instance.

Everything here is synchronous and can be made again from the store. It refuses
to settle anything: what a question's end means is the router's.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Final, cast, final

from gateway.hub import Hub
from gateway.offers import Offer, Recipient
from session.model import Audience, Delivery, Outcome, Question

if TYPE_CHECKING:
    from gateway.audit import Audit

_MOVED_PER_SWEEP: Final = 500


@final
class Dispatch:
    """Gives offers to frontends and takes them back.

    Args:
        hub: the frontends attached here; their loads are kept there.
        unseen_seconds: with delivery one, how long an offer may stay unseen.
        audit: told who is shown what, if anybody wants to know.
    """

    __slots__ = ("_audit", "_hub", "_unseen", "_unseen_seconds")

    def __init__(self, hub: Hub, unseen_seconds: float, audit: Audit | None = None) -> None:
        self._audit = audit
        self._hub = hub
        self._unseen_seconds = unseen_seconds
        # Offers of delivery one that nobody looked at, longest unseen first.
        self._unseen: dict[Offer, None] = {}

    def recipients(self, tenant: str, audience: Audience) -> Collection[Recipient]:
        """Return the frontends here that an audience means."""
        return cast("Collection[Recipient]", self._hub.matching(tenant, audience))

    def anybody(self, question: Question) -> bool:
        """Whether somebody is here to whom a question could be shown."""
        return bool(self._hub.matching(question.tenant, question.audience))

    def show(self, offer: Offer, now: float) -> None:
        """Show a question to its audience here, or to the least busy one of it."""
        question = offer.question
        if question.delivery is Delivery.ALL:
            for recipient in self.recipients(question.tenant, question.audience):
                self.give(offer, recipient, now)
            return
        if question.tool:
            self._call(offer, now)
            return
        passed_over = offer.passed_over or ()
        chosen = self._hub.least_busy(question.tenant, question.audience, passed_over)
        if chosen is None and passed_over:
            # Everybody had it once: begin again.
            offer.passed_over = None
            chosen = self._hub.least_busy(question.tenant, question.audience)
        if chosen is not None:
            offer.offered_at = now
            self._unseen[offer] = None
            self.give(offer, cast("Recipient", chosen), now)

    def _call(self, offer: Offer, now: float) -> None:
        """Show a call to the connection that offers its tool: it moves on only when that goes."""
        question = offer.question
        for recipient in self.recipients(question.tenant, question.audience):
            self.give(offer, recipient, now)
            return

    def give(self, offer: Offer, recipient: Recipient, now: float) -> None:
        """Show a question to one frontend, once."""
        if recipient in offer.holders:
            return
        question = offer.question
        offer.holders[recipient] = now
        recipient.offers[question.id] = offer
        if question.delivery is Delivery.ONE:
            self._hub.add_load(recipient, 1)
        recipient.offer(offer)
        if self._audit is not None:
            self._audit.offered(question, recipient)

    def take(self, offer: Offer, recipient: Recipient) -> None:
        """Take a question from one frontend without a word: it has gone, or is told apart."""
        if offer.holders.pop(recipient, None) is None:
            return
        del recipient.offers[offer.question.id]
        if offer.question.delivery is Delivery.ONE:
            self._hub.add_load(recipient, -1)
            self._unseen.pop(offer, None)

    def take_all(self, recipient: Recipient) -> list[Offer]:
        """Take everything from one frontend without a word; return what it had."""
        offers = list(recipient.offers.values())
        for offer in offers:
            self.take(offer, recipient)
        return offers

    def close(self, offer: Offer, outcome: Outcome, by: Recipient | None) -> None:
        """The question is settled: tell everybody who was shown it but ``by``."""
        question = offer.question
        one = question.delivery is Delivery.ONE
        for holder in offer.holders:
            del holder.offers[question.id]
            if one:
                self._hub.add_load(holder, -1)
            if holder is not by:
                holder.withdraw(offer, outcome.state.text, outcome)
        offer.holders.clear()
        if one:
            self._unseen.pop(offer, None)

    def saw(self, recipient: Recipient, question_id: str, now: float) -> Offer | None:
        """A person looks at a question: with delivery one it stays with them."""
        offer = recipient.offers.get(question_id)
        if offer is not None:
            self._unseen.pop(offer, None)
            if offer.seen is None:
                offer.seen = {}
            offer.seen.setdefault(recipient, now)
        return offer

    def pass_on_unseen(self, now: float) -> list[Offer]:
        """With delivery one: what nobody looked at in time is shown to the next one.

        Returns the offers for which there is no next one here; they stay where they are.
        """
        alone = []
        for offer in list(islice(self._unseen, _MOVED_PER_SWEEP)):
            if offer.offered_at + self._unseen_seconds > now:
                break
            if self._unseen.pop(offer, self) is self:
                continue
            (holder,) = offer.holders
            if len(self._hub.matching(holder.tenant, offer.question.audience)) == 1:
                # It may still be seen.
                offer.offered_at = now
                self._unseen[offer] = None
                alone.append(offer)
                continue
            self.take(offer, holder)
            offer.passed_over = (offer.passed_over or set()) | {holder}
            holder.withdraw(offer, "reassigned", None)
            self.show(offer, now)
        return alone

    def is_unseen(self, offer: Offer) -> bool:
        """Whether an offer of delivery one is under way here, and nobody looked at it so far."""
        return offer in self._unseen

    def take_back(self, offer: Offer) -> None:
        """Take a question from everybody here: another instance shows it now."""
        for holder in list(offer.holders):
            self.take(offer, holder)
            holder.withdraw(offer, "reassigned", None)

    @property
    def unseen(self) -> int:
        """How many offers of delivery one nobody looked at so far."""
        return len(self._unseen)
