"""Who is shown which question, at this instance.

Everything here is synchronous and can be made again from the store. It refuses
to settle anything: what a question's end means is the router's.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final, cast, final

from gateway.hub import Hub
from gateway.offers import Offer, Recipient
from session.model import Audience, Delivery, Outcome

_MOVED_PER_SWEEP: Final = 500


@final
class Dispatch:
    """Gives offers to frontends and takes them back.

    Args:
        hub: the frontends attached here; their loads are kept there.
        unseen_seconds: with delivery one, how long an offer may stay unseen.
    """

    __slots__ = ("_hub", "_unseen", "_unseen_seconds")

    def __init__(self, hub: Hub, unseen_seconds: float) -> None:
        self._hub = hub
        self._unseen_seconds = unseen_seconds
        # Offers of delivery one that nobody looked at, longest unseen first.
        self._unseen: dict[Offer, None] = {}

    def recipients(self, tenant: str, audience: Audience) -> Collection[Recipient]:
        """Return the frontends here that an audience means."""
        return cast("Collection[Recipient]", self._hub.matching(tenant, audience))

    def show(self, offer: Offer, now: float) -> None:
        """Show a question to its audience here, or to the least busy one of it."""
        question = offer.question
        if question.delivery is Delivery.ALL:
            for recipient in self.recipients(question.tenant, question.audience):
                self.give(offer, recipient)
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
            self.give(offer, cast("Recipient", chosen))

    def give(self, offer: Offer, recipient: Recipient) -> None:
        """Show a question to one frontend, once."""
        if recipient in offer.holders:
            return
        question = offer.question
        offer.holders[recipient] = None
        recipient.offers[question.id] = offer
        if question.delivery is Delivery.ONE:
            self._hub.add_load(recipient, 1)
        recipient.offer(offer)

    def take(self, offer: Offer, recipient: Recipient) -> None:
        """Take a question from one frontend without a word: it has gone, or is told apart."""
        if offer.holders.pop(recipient, self) is self:
            return
        del recipient.offers[offer.question.id]
        if offer.question.delivery is Delivery.ONE:
            self._hub.add_load(recipient, -1)
            self._unseen.pop(offer, None)

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

    def saw(self, recipient: Recipient, question_id: str) -> None:
        """A person looks at a question: with delivery one it stays with them."""
        offer = recipient.offers.get(question_id)
        if offer is not None:
            self._unseen.pop(offer, None)

    def pass_on_unseen(self, now: float) -> None:
        """With delivery one: what nobody looked at in time is shown to the next one."""
        for offer in list(islice(self._unseen, _MOVED_PER_SWEEP)):
            if offer.offered_at + self._unseen_seconds > now:
                return
            if self._unseen.pop(offer, self) is self:
                continue
            (holder,) = offer.holders
            if len(self._hub.matching(holder.tenant, offer.question.audience)) == 1:
                # There is no next one yet; it may still be seen.
                offer.offered_at = now
                self._unseen[offer] = None
                continue
            self.take(offer, holder)
            offer.passed_over = (offer.passed_over or set()) | {holder}
            holder.withdraw(offer, "reassigned", None)
            self.show(offer, now)

    @property
    def unseen(self) -> int:
        """How many offers of delivery one nobody looked at so far."""
        return len(self._unseen)
