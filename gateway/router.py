"""From a question to the frontends of its audience; from an answer to its caller.

The only place that knows both sides. A step that touches the store is a
coroutine for `pool.workers.Workers.start`; nothing here waits for a person. The
store decides every race; what is kept here, the offers of this process, can be
lost and made again from the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import trio

from gateway import texts
from gateway.answers import refusal
from gateway.approvals import Approvals
from gateway.audit import Audit
from gateway.chronicle import NOTED_AFTER, Chronicle
from gateway.decisions import Decisions, has_answered
from gateway.dispatch import Dispatch
from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.families import Count
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.offers import (
    ACCEPTED,
    Ack,
    Ask,
    Offer,
    Recipient,
    RouterStatistics,
    Settings,
    ack_of,
    check_ask,
    lost_to,
    question_of,
    refused,
)
from gateway.ownership import Rule, is_own, taken_back_by
from gateway.people import People
from gateway.releases import Releases
from gateway.waiters import Waiter
from gateway.withdrawals import Withdrawals
from pool.workers import QueueFullError, to_worker
from session import Admission, Bus, Found, Listed, Settlement, Store
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import Delivery, Outcome, Principal, Question, State

_OFFERS_PER_STEP: Final = 500


@final
class Router:
    """Asks, offers, settles. Owned by the composition root."""

    def __init__(  # noqa: PLR0913 - the composition root hands over what it needs
        self,
        settings: Settings,
        *,
        store: Store,
        bus: Bus,
        hub: Hub,
        ids: Ids,
        clock: Callable[[], float],
        instance: str,
        delivery: Delivery = Delivery.ALL,
        on_settled: Callable[[str, float], None] = lambda _state, _seconds: None,
        audit: Audit | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.hub = hub
        #: Whether other instances have the same questions.
        self.shared = store.shared
        self._ids = ids
        self._delivery = delivery
        self._on_settled = on_settled
        self.audit = audit
        self.approvals = approvals
        self.chronicle = Chronicle()
        self.decisions = Decisions(self)
        #: The questions that somebody here waits for or is shown, by id.
        self.offers: dict[str, Offer] = {}
        #: What is done once the store is back: frontends not shown what waits for them, questions
        #: that nobody here is shown any more, and those that nobody waits for.
        self.behind: dict[Recipient, None] = {}
        self.releases = Releases(self)
        self.withdrawals = Withdrawals()
        self.dispatch = Dispatch(hub, settings.unseen_seconds, audit)
        self.people = People(store, bus, hub, ids, clock, instance, audit)
        #: Told of each question that ends, if somebody counts them.
        self.on_ended: Callable[[str], None] | None = None
        self._outcomes: dict[str, Count] = {state.text: Count() for state in State}
        #: Set while the process is going away: nothing new is asked.
        self.draining = False

    # -- for callers

    async def ask(self, principal: Principal, ask: Ask, waiter: Waiter | None) -> Admission:
        """Store a question and offer it; ``waiter`` hears how it ends.

        An ask that repeats an idempotency key joins the earlier question; if
        that is settled its outcome is in the result and the waiter is not kept.

        Raises:
            InvalidAskError: the ask breaks a limit; the message says which.
            NobodyConnectedError: the caller would rather fail, and nobody is there.
            TooManyPendingError: a cap on open questions is reached.
        """
        if self.draining:
            raise InvalidAskError("This gateway is shutting down; ask again in a moment.")
        check_ask(ask, self.settings)
        if ask.if_absent == "fail" and not await self.people.online(principal.tenant, ask.audience):
            raise NobodyConnectedError
        question = question_of(
            ask, principal, self.settings, self._ids.new(), self.clock(), self._delivery
        )
        one = question.delivery is Delivery.ONE
        holds = self.shared and one and self.dispatch.anybody(question)
        admitted = await self.store.admit(question, hold=holds)
        question = admitted.question
        if admitted.outcome is not None:
            return admitted
        offer = self.offer_of(question)
        if waiter is not None:
            offer.waiters.append(waiter)
        if admitted.fresh:
            self._outcomes["open"].value += 1
            if self.audit is not None:
                self.audit.asked(principal, question)
            if not self.shared or question.delivery is Delivery.ALL:
                self.dispatch.show(offer, self.clock())
            elif holds:
                await self.show_held(offer)
            elif self.dispatch.anybody(question):
                # Somebody has come since. Whatever comes of it: the question is asked.
                await self.consider_soon(question)
        return admitted

    def forget(self, question_id: str, waiter: Waiter) -> None:
        """The caller left: ``waiter`` hears nothing more; the question stays."""
        offer = self.offers.get(question_id)
        if offer is not None and waiter in offer.waiters:
            offer.waiters.remove(waiter)

    async def collect(
        self, principal: Principal, question_id: str, waiter: Waiter | None, rule: Rule = is_own
    ) -> Found | None:
        """Look a question up that the caller may have; while it is open ``waiter`` joins it.

        Returns ``None`` for a question that is unknown, or not the caller's by ``rule``.
        """
        found = await self.store.find(principal.tenant, question_id)
        if found is None or not rule(principal, found.question) or found.question.tool:
            return None
        if found.outcome is None and waiter is not None:
            self.offer_of(found.question).waiters.append(waiter)
        return found

    async def cancel(
        self, principal: Principal, question_id: str, reason: str, by: str, rule: Rule = is_own
    ) -> Settlement | None:
        """Take back a question that is the caller's by ``rule``; see who was first."""
        found = await self.store.find(principal.tenant, question_id)
        if found is None or not rule(principal, found.question) or found.question.tool:
            return None
        by = taken_back_by(principal, found.question, by)
        outcome = Outcome(State.CANCELLED, at=self.clock(), by=by, reason=reason)
        return await self.settle(found.question, outcome, None, principal)

    # -- for frontends

    async def attach(self, recipient: Recipient) -> None:
        """A frontend is there: it is offered what waits for it, oldest first."""
        self.hub.attach(recipient)
        self.people.enter(recipient)
        recipient.attached = True
        await self.catch_up(recipient)

    async def catch_up(self, recipient: Recipient) -> None:
        """Say that a frontend is here, and show it what waits; later, if that cannot be now."""
        try:
            await self.people.arrive(recipient)
            await self._show_inbox(recipient)
        except (StoreUnavailableError, QueueFullError, GeneratorExit) as error:
            if recipient.attached:
                self.behind[recipient] = None
            if isinstance(error, GeneratorExit):
                # Without a worker for what was not parked yet, this ends here.
                raise

    async def _show_inbox(self, recipient: Recipient) -> None:
        waiting = await self.store.inbox(recipient.tenant)
        if len(waiting) >= _OFFERS_PER_STEP:
            await to_worker()
        for count, listed in enumerate(waiting, 1):
            if count % _OFFERS_PER_STEP == 0:
                # A long inbox is shown in slices: others have their turn between.
                await trio.lowlevel.checkpoint()
            if not recipient.attached:
                return
            if self.hub.matches(recipient, listed.audience):
                await self.consider(listed, recipient)

    async def consider(self, listed: Listed, newcomer: Recipient | None) -> None:
        """Show an open question to whom it is for and who has not got it.

        That is the ``newcomer``, or everybody here of its audience.
        """
        offer = self.offers.get(listed.id)
        question = None if offer is None else offer.question
        if listed.delivery is Delivery.ONE:
            if offer is not None and offer.holders:
                return
            question = await self.store.hold(listed.tenant, listed.id)
        elif question is None or (newcomer is not None and question.quorum):
            found = await self.store.find(listed.tenant, listed.id)
            if found is None or found.outcome or has_answered(newcomer, found.answers):
                return
            question = found.question
        if question is None:
            return
        if self.offers.get(listed.id) is not offer:
            # It has ended meanwhile, or others have seen to it: what was found is too old.
            await self.consider(listed, newcomer)
            return
        offer = self.offer_of(question)
        if listed.delivery is Delivery.ONE:
            await self.show_held(offer)
        elif newcomer is None:
            self.dispatch.show(offer, self.clock())
        elif newcomer.attached and self.hub.matches(newcomer, listed.audience):
            self.dispatch.give(offer, newcomer, self.clock())
            self.chronicle.more(offer)

    async def consider_soon(self, listed: Listed) -> None:
        """Show an open question to everybody here of its audience; later, if the store is away."""
        try:
            await self.consider(listed, None)
        except StoreUnavailableError:
            self.consider_later(listed)

    def consider_later(self, listed: Listed) -> None:
        """Have those whom a question may be for catch up: nothing else tells of it again."""
        self.behind.update(dict.fromkeys(self.dispatch.recipients(listed.tenant, listed.audience)))

    async def show_held(self, offer: Offer) -> None:
        """Show a question that this instance holds to somebody, or let go of it."""
        offer.held = True
        if not offer.holders:
            self.dispatch.show(offer, self.clock())
        if not offer.holders:
            await self.releases.let_go(offer)

    async def detach(self, recipient: Recipient, then: Callable[[], None] = lambda: None) -> None:
        """A frontend has gone, and ``then`` may be another: what only it had goes to the next."""
        if not recipient.attached:
            then()
            return
        recipient.attached = False
        self.behind.pop(recipient, None)
        had = self.dispatch.take_all(recipient)
        self.hub.detach(recipient)
        self.people.leave(recipient)
        then()
        # Everything is shown to the next before the store is told anything: that may take
        # its time, in which some of this ends, and nobody would take it back again.
        free = []
        for offer in had:
            if offer.question.delivery is Delivery.ONE:
                self.dispatch.show(offer, self.clock())
                if not offer.holders:
                    self.releases.free(offer)
                    free.append(offer.question)
            elif not offer.holders and not offer.waiters and self.store.shared:
                # Whoever comes is shown it again from the store.
                self.offers.pop(offer.question.id, None)
        for question in free:
            await self.releases.tell(question)
        await self.people.say_goodbye(recipient.presence)

    async def answer(
        self,
        recipient: Recipient,
        question_id: str,
        *,
        answer: str,
        content: dict[str, Any] | None = None,
        size: int = 0,
    ) -> Ack:
        """Settle a question with a person's first valid answer; ``size`` is that of ``content``."""
        offer = recipient.offers.get(question_id)
        question = offer.question if offer else await self._asked_of(recipient, question_id)
        if isinstance(question, Ack):
            return question
        if max(len(answer), size) > (most := self.settings.answer_bytes):
            return Ack("invalid", f"The answer is longer than {most} characters.")
        if content is None and question.parts:
            content = texts.content_of(question, answer)
        if wrong := refusal(question, answer, content):
            return Ack("invalid", wrong)
        by, user = recipient.frontend_id, recipient.user
        outcome = Outcome(State.ANSWERED, self.clock(), answer, content, by, user)
        if question.quorum or question.approval is not None:
            return await self.decisions.take(question, outcome, recipient)
        settled = await self.settle(question, outcome, recipient)
        return ACCEPTED if settled is not None and settled.won else refused(settled)

    async def reject(self, recipient: Recipient, question_id: str, reason: str) -> Ack:
        """Settle a question by a person's refusal to answer it."""
        question = await self._asked_of(recipient, question_id)
        if isinstance(question, Ack):
            return question
        by, user, most = recipient.frontend_id, recipient.user, self.settings.draft_bytes
        outcome = Outcome(State.REJECTED, self.clock(), by=by, by_user=user, reason=reason[:most])
        settled = await self.settle(question, outcome, recipient)
        return ack_of(settled, State.REJECTED)

    def saw(self, recipient: Recipient, question_id: str) -> None:
        """A person looks at a question: with delivery one it stays with them."""
        self.chronicle.more(self.dispatch.saw(recipient, question_id, self.clock()))

    def statistics(self) -> RouterStatistics:
        """Return what is held, and the outcomes so far ("open" counts what was asked)."""
        unseen, waiters = self.dispatch.unseen, sum(len(o.waiters) for o in self.offers.values())
        outcomes = {state: count.value for state, count in self._outcomes.items()}
        return RouterStatistics(len(self.offers), waiters, unseen, outcomes)

    # -- inside

    def offer_of(self, question: Question) -> Offer:
        """Return the offer of an open question, which this makes if there is none."""
        offer = self.offers.get(question.id)
        if offer is None:
            offer = self.offers[question.id] = Offer(question)
        return offer

    async def _asked_of(self, recipient: Recipient, question_id: str) -> Question | Ack:
        """Return the open question, or the answer to somebody who was not asked it any more."""
        found = await self.store.find(recipient.tenant, question_id)
        if found is None or not self.hub.matches(recipient, found.question.audience):
            return Ack("unknown", "There is no such question for this frontend.")
        return found.question if found.outcome is None else lost_to(found.outcome)

    async def settle(
        self,
        question: Question,
        outcome: Outcome,
        by: Recipient | None,
        principal: Principal | None = None,
    ) -> Settlement | None:
        """End a question, if it is open, and tell all who are here; ``by`` knows already."""
        if outcome.at - question.created_at > NOTED_AFTER:
            outcome = self.chronicle.told(outcome, self.offers.get(question.id))
        settled = await self.store.settle(question, outcome)
        if settled is None:
            offer = self.offers.get(question.id)
            if offer is not None and await self.put_back(offer):
                settled = await self.store.settle(question, outcome)
        if settled is not None:
            if settled.won:
                self.count(settled)
                if self.audit is not None:
                    self.audit.settled(question, settled.outcome, by, principal)
            # Also when somebody else was first: our offers may not know it yet.
            self.conclude(question, settled.outcome, by if settled.won else None)
        return settled

    async def put_back(self, offer: Offer) -> bool:
        """Store a question again that is not there; return whether it is, and may go on."""
        question = offer.question
        if not self.shared or self.clock() >= question.deadline:
            return False
        holds = question.delivery is Delivery.ONE and bool(offer.holders)
        try:
            await self.store.admit(question, hold=holds)
        except TooManyPendingError:
            return False
        return True

    def count(self, settled: Settlement) -> None:
        """Count an outcome, where it was brought about: once in all instances."""
        state = settled.outcome.state.text
        self._outcomes[state].value += 1
        self._on_settled(state, settled.outcome.at - settled.question.created_at)

    def conclude(self, question: Question, outcome: Outcome, by: Recipient | None) -> None:
        """Tell the waiters, and everybody who was shown the question but ``by``."""
        if self.on_ended is not None:
            self.on_ended(question.id)
        offer = self.offers.pop(question.id, None)
        if offer is None:
            return
        for waiter in offer.waiters:
            waiter.settled(question, outcome)
        self.dispatch.close(offer, outcome, by)
