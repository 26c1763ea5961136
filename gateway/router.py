"""From a question to the frontends of its audience; from an answer to its caller.

The only place that knows both sides. A step that touches the store is a
coroutine for `pool.workers.Workers.start`; nothing here waits for a person. The
store decides every race; what is kept here, the offers of this process, can be
lost and made again from the store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, final

import trio

from gateway.answers import refusal
from gateway.dispatch import Dispatch
from gateway.errors import InvalidAskError, NobodyConnectedError
from gateway.hub import Frontend, Hub
from gateway.ids import Ids
from gateway.offers import (
    ACCEPTED,
    Ack,
    Ask,
    Asked,
    Notification,
    Offer,
    Recipient,
    Settings,
    Waiter,
    check_ask,
    lost_to,
    refused,
)
from pool.workers import to_worker
from session import Bus, Found, Settlement, Store
from session.model import (
    EVERYONE,
    Audience,
    Delivery,
    Draft,
    Outcome,
    Presence,
    Principal,
    Question,
    State,
)

_SWEEP_SECONDS: Final = 0.25
_EXPIRED_PER_SWEEP: Final = 500
_OFFERS_PER_STEP: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class RouterStatistics:
    """What the router holds, and what became of questions so far."""

    offers: int
    waiters: int
    unseen: int
    outcomes: dict[str, int]


@final
class Router:
    """Asks, offers, settles. Owned by the composition root, swept by `run`."""

    def __init__(  # noqa: PLR0913 - the composition root hands over what it needs
        self,
        settings: Settings,
        *,
        store: Store,
        bus: Bus,
        hub: Hub,
        ids: Ids,
        clock: Callable[[], float],
        delivery: Delivery = Delivery.ALL,
        on_settled: Callable[[str, float], None] = lambda _state, _seconds: None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.hub = hub
        self._bus = bus
        self._ids = ids
        self._delivery = delivery
        self._on_settled = on_settled
        self._offers: dict[str, Offer] = {}
        self._dispatch = Dispatch(hub, settings.unseen_seconds)
        self._outcomes: dict[str, int] = {state.text: 0 for state in State}
        #: Set while the process is going away: nothing new is asked.
        self.draining = False

    # -- for callers

    async def ask(self, principal: Principal, ask: Ask, waiter: Waiter | None) -> Asked:
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
        if ask.if_absent == "fail" and not await self.online(principal.tenant, ask.audience):
            raise NobodyConnectedError
        admitted = await self.store.admit(self._question(principal, ask))
        question = admitted.question
        if admitted.outcome is not None:
            return Asked(question, admitted.outcome)
        offer = self._offer_of(question)
        if waiter is not None:
            offer.waiters.append(waiter)
        if admitted.fresh:
            self._outcomes["open"] += 1
            self._dispatch.show(offer, self.clock())
            self._bus.question_opened(question.tenant, question.id)
        return Asked(question, None)

    def forget(self, question_id: str, waiter: Waiter) -> None:
        """The caller left: ``waiter`` hears nothing more; the question stays."""
        offer = self._offers.get(question_id)
        if offer is not None and waiter in offer.waiters:
            offer.waiters.remove(waiter)

    async def collect(
        self, principal: Principal, question_id: str, waiter: Waiter | None
    ) -> Found | None:
        """Look a question of the caller up; while it is open ``waiter`` joins it.

        Returns ``None`` for a question that is unknown or somebody else's.
        """
        found = await self.store.find(principal.tenant, question_id)
        if found is None or found.question.asker != principal.subject:
            return None
        if found.outcome is None and waiter is not None:
            self._offer_of(found.question).waiters.append(waiter)
        return found

    async def cancel(
        self, principal: Principal, question_id: str, reason: str, by: str
    ) -> Settlement | None:
        """Take a question of the caller back. The settlement says who was first."""
        found = await self.store.find(principal.tenant, question_id)
        if found is None or found.question.asker != principal.subject:
            return None
        return await self._settle(
            found.question, Outcome(State.CANCELLED, at=self.clock(), by=by, reason=reason), None
        )

    async def notify(self, principal: Principal, notification: Notification) -> int:
        """Tell people something; return how many frontends here were told."""
        notification.id = self._ids.new()
        notification.sender = principal.subject
        notification.created_at = self.clock()
        told = self._dispatch.recipients(principal.tenant, notification.audience)
        for recipient in told:
            recipient.notify(notification)
        return len(told)

    async def online(self, tenant: str, audience: Audience = EVERYONE) -> int:
        """Return how many frontends are connected, anywhere, that an audience means."""
        here = len(self.hub.matching(tenant, audience))
        if here:
            return here
        return sum(
            1
            for presence in await self.store.present(tenant)
            if self.hub.matches(cast("Frontend", _Absent(presence)), audience)
        )

    async def frontends(self, principal: Principal) -> Sequence[Presence]:
        """Return the frontends of the caller's tenant, at every instance."""
        return await self.store.present(principal.tenant)

    # -- for frontends

    async def attach(self, recipient: Recipient) -> None:
        """A frontend is there: it is offered what waits for it, oldest first."""
        self.hub.attach(recipient)
        recipient.attached = True
        await self.store.arrive(recipient.presence)
        waiting = await self.store.inbox(recipient.tenant)
        if len(waiting) > _OFFERS_PER_STEP:
            await to_worker()
        for count, question in enumerate(waiting, 1):
            if count % _OFFERS_PER_STEP == 0:
                # A long inbox is shown in slices: others have their turn between.
                await trio.lowlevel.checkpoint()
                if not recipient.attached:
                    return
            if self.hub.matches(recipient, question.audience):
                offer = self._offers.get(question.id)
                if offer is None:
                    found = await self.store.find(question.tenant, question.id)
                    if found is None or found.outcome is not None:
                        continue
                    offer = self._offer_of(question)
                if question.delivery is Delivery.ALL:
                    self._dispatch.give(offer, recipient)
                elif not offer.holders:
                    self._dispatch.show(offer, self.clock())

    async def detach(self, recipient: Recipient) -> None:
        """A frontend has gone: what only it was asked goes to the next one."""
        if not recipient.attached:
            return
        recipient.attached = False
        held = list(recipient.offers.values())
        for offer in held:
            self._dispatch.take(offer, recipient)
        self.hub.detach(recipient)
        for offer in held:
            if offer.question.delivery is Delivery.ONE and not offer.holders:
                self._dispatch.show(offer, self.clock())
        await self.store.leave(recipient.presence)

    async def answer(
        self,
        recipient: Recipient,
        question_id: str,
        *,
        answer: str,
        content: dict[str, Any] | None = None,
    ) -> Ack:
        """Settle a question with a person's answer, if it is the first valid one."""
        offer = recipient.offers.get(question_id)
        question = offer.question if offer else await self._asked_of(recipient, question_id)
        if isinstance(question, Ack):
            return question
        if len(answer) > self.settings.answer_bytes:
            return Ack(
                "invalid", f"The answer is longer than {self.settings.answer_bytes} characters."
            )
        wrong = refusal(question, answer, content)
        if wrong:
            return Ack("invalid", wrong)
        settled = await self._settle(
            question,
            Outcome(
                State.ANSWERED,
                self.clock(),
                answer,
                content,
                recipient.frontend_id,
                recipient.user,
            ),
            recipient,
        )
        return ACCEPTED if settled is not None and settled.won else refused(settled)

    async def reject(self, recipient: Recipient, question_id: str, reason: str) -> Ack:
        """Settle a question by a person's refusal to answer it."""
        question = await self._asked_of(recipient, question_id)
        if isinstance(question, Ack):
            return question
        outcome = Outcome(
            State.REJECTED,
            at=self.clock(),
            by=recipient.frontend_id,
            by_user=recipient.user,
            reason=reason[: self.settings.draft_bytes],
        )
        settled = await self._settle(question, outcome, recipient)
        if settled is not None and settled.won:
            return Ack("accepted", state=State.REJECTED)
        return refused(settled)

    def saw(self, recipient: Recipient, question_id: str) -> None:
        """A person looks at a question: with delivery one it stays with them."""
        self._dispatch.saw(recipient, question_id)

    async def save_draft(self, recipient: Recipient, question_id: str, text: str) -> None:
        """Keep what a person has typed, for when this frontend comes back."""
        draft = Draft(question_id, text, self.clock())
        await self.store.save_draft(recipient.tenant, recipient.frontend_id, draft)

    # -- going away

    async def wait_until_nobody_waits(self) -> None:
        """Return when every waiter has heard its outcome."""
        # Once in a process: an event would cost every question something.
        while any(offer.waiters for offer in self._offers.values()):  # noqa: ASYNC110 - no hurry
            await trio.sleep(_SWEEP_SECONDS)

    async def tell_waiters_to_come_back(self) -> None:
        """Cancel what is still waited for here: what is in memory ends with the process."""
        reason = "The gateway is shutting down; ask again in a moment."
        for offer in [offer for offer in self._offers.values() if offer.waiters]:
            await self._settle(
                offer.question,
                Outcome(State.CANCELLED, self.clock(), by="gateway", reason=reason),
                None,
            )

    # -- the sweep

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End what is overdue and move on what is unseen, until cancelled."""
        task_status.started()
        while True:
            now = self.clock()
            expired = await self.store.expire_due(now, _EXPIRED_PER_SWEEP)
            for settlement in expired:
                self._conclude(settlement.question, settlement.outcome, None)
            self._dispatch.pass_on_unseen(now)
            if len(expired) < _EXPIRED_PER_SWEEP:
                await trio.sleep(_SWEEP_SECONDS)
            else:
                await trio.lowlevel.checkpoint()

    def statistics(self) -> RouterStatistics:
        """Return what is held, and the outcomes so far ("open" counts what was asked)."""
        return RouterStatistics(
            offers=len(self._offers),
            waiters=sum(len(offer.waiters) for offer in self._offers.values()),
            unseen=self._dispatch.unseen,
            outcomes=dict(self._outcomes),
        )

    # -- inside

    def _question(self, principal: Principal, ask: Ask) -> Question:
        settings = self.settings
        now = self.clock()
        timeout = settings.default_seconds if ask.timeout is None else ask.timeout
        return Question(
            self._ids.new(),
            principal.tenant,
            principal.subject,
            ask.text,
            now,
            now + min(max(timeout, 0.0), settings.maximum_seconds),
            ask.audience,
            ask.delivery or self._delivery,
            ask.choices,
            ask.schema,
            ask.context,
            ask.idempotency_key,
            ask.asker_name,
            ask.session_id,
        )

    def _offer_of(self, question: Question) -> Offer:
        offer = self._offers.get(question.id)
        if offer is None:
            offer = self._offers[question.id] = Offer(question)
        return offer

    async def _asked_of(self, recipient: Recipient, question_id: str) -> Question | Ack:
        """Return the open question, or the answer to somebody who was not asked it any more."""
        found = await self.store.find(recipient.tenant, question_id)
        if found is None or not self.hub.matches(recipient, found.question.audience):
            return Ack("unknown", "There is no such question for this frontend.")
        if found.outcome is not None:
            return lost_to(found.outcome)
        return found.question

    async def _settle(
        self, question: Question, outcome: Outcome, by: Recipient | None
    ) -> Settlement | None:
        settled = await self.store.settle(question.tenant, question.id, outcome)
        if settled is not None:
            # Also when somebody else was first: our offers may not know it yet.
            self._conclude(question, settled.outcome, by if settled.won else None)
            if settled.won:
                self._bus.question_settled(question.tenant, question.id)
        return settled

    def _conclude(self, question: Question, outcome: Outcome, by: Recipient | None) -> None:
        """Tell the waiters, and everybody who was shown the question but ``by``."""
        offer = self._offers.pop(question.id, None)
        if offer is None:
            return
        self._outcomes[outcome.state.text] += 1
        self._on_settled(outcome.state.text, outcome.at - question.created_at)
        for waiter in offer.waiters:
            waiter.settled(question, outcome)
        self._dispatch.close(offer, outcome, by)


class _Absent:
    """A frontend at another instance, as far as audiences are concerned."""

    def __init__(self, presence: Presence) -> None:
        self.tenant = presence.tenant
        self.frontend_id = presence.frontend_id
        self.user = presence.user
        self.groups = presence.groups
