"""What happens to questions without anybody asking: time passes, others act, we go.

Deadlines, questions that nobody looked at, what is heard of other instances, and the
end of this one. It decides nothing about a question that the store could decide: it
looks, and has the router act.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
import trio

from gateway.offers import Notification, Offer
from gateway.presence_news import ANY
from pool.workers import QueueFullError, Workers, to_worker
from session.errors import StoreUnavailableError
from session.model import Audience, Noted, Outcome, Question, State

if TYPE_CHECKING:
    from gateway.router import Router
    from gateway.waiters import Waiter
    from gateway.web_tools import WebTools
    from session import Listed, Settlement

_SWEEP_SECONDS: Final = 0.25
# A sixteenth of it in each of the places of Redis, so that none of them lags.
_EXPIRED_PER_SWEEP: Final = 512
# Others end some of those that a sweep finds: after so many there may be more.
_MANY_EXPIRED: Final = 25
_LOOKED_AT_PER_STEP: Final = 100
_TOLD_PER_STEP: Final = 200
_TOUCH_SECONDS: Final = 60.0
# Sessions that may be idle for less than minutes are touched as often as this, at least.
_TOUCHES_PER_LIFE: Final = 4
_SAY_AGAIN_SECONDS: Final = 60.0
_SAID_PER_SWEEP: Final = 500
_GOING: Final = "The gateway is shutting down; ask again in a moment."


@final
class Upkeep:
    """Owned by the composition root, swept by `run`; a `session.bus.BusReceiver`.

    Args:
        router: acts on what is found.
        workers: run what has to read the store.
        idle_seconds: how long a session lives that neither asks nor waits for anything.
    """

    def __init__(self, router: Router, workers: Workers, idle_seconds: float = 3600.0) -> None:
        self._router = router
        self._workers = workers
        self._touched_at = self._said_at = router.clock()
        self._touch_seconds = min(_TOUCH_SECONDS, idle_seconds / _TOUCHES_PER_LIFE)
        # Set when something was heard for which there was no worker: everything is
        # looked at again then.
        self._overheard = False
        #: Told when the store may have forgotten what is used here.
        self.on_forgotten: Callable[[], None] = _do_nothing
        #: Told of what callers of other instances answer, by what they were asked.
        self.on_response: Callable[[str, bytes], None] = _do_nothing_with
        #: Told of what sessions give up at other instances.
        self.on_cancellation: Callable[[str, bytes], None] = _do_nothing_with
        #: Told of sessions of which other instances say that they have changed or ended.
        self.on_session: Callable[[str], None] = _do_nothing_with_session
        #: Told which sessions and questions may have.
        self.on_missed: Callable[[Callable[[str], bool]], None] = _do_nothing_with_missed
        #: The tools of pages, where there are any.
        self.tools: WebTools | None = None
        #: Whether the last sweep could not reach the store.
        self.is_cut_off = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End what is overdue and move on what is unseen, until cancelled."""
        router = self._router
        task_status.started()
        while True:
            now = router.clock()
            self._say_again(now)
            expired = await self._sweep(now)
            if not self.is_cut_off:
                self._make_up()
                router.releases.make_up(self._start)
                router.withdrawals.make_up(self._start)
                if self.tools is not None:
                    self.tools.make_up(self._start)
            self._tell(expired)
            await self._tell_who_is_here(now)
            noted = router.chronicle.due(router.offers, now)
            if noted and not self.is_cut_off:
                self._start(noted[0][0].tenant, self._note(noted))
            for offer in router.dispatch.pass_on_unseen(now):
                if router.shared:
                    await self._pass_elsewhere(offer, now)
            if self._overheard and not self.is_cut_off:
                self._overheard = False
                self._look_again(lambda _question_id: True)
            if len(expired) < _MANY_EXPIRED:
                await trio.sleep(_SWEEP_SECONDS)
            else:
                await trio.lowlevel.checkpoint()

    def _say_again(self, now: float) -> None:
        """Have the store know, now and then, what it would forget of who is here."""
        if now - self._touched_at > self._touch_seconds:
            self._touched_at = now
            self._router.store.touch_sessions(self._waiting_sessions())
        if now - self._said_at > _SAY_AGAIN_SECONDS:
            self._said_at = now
            # A failover may have lost who is connected, and nothing else told of it.
            self.forgotten()

    def _tell(self, expired: Sequence[Settlement]) -> None:
        """Have it known what has timed out."""
        router = self._router
        for settlement in expired:
            router.count(settlement)
            if router.audit is not None:
                router.audit.settled(settlement.question, settlement.outcome)
            router.conclude(settlement.question, settlement.outcome, None)

    async def _tell_who_is_here(self, now: float) -> None:
        """Tell those who want to know that people came or went."""
        for number, tell in enumerate(self._router.people.news.due(now), 1):
            tell()
            if number % _TOLD_PER_STEP == 0:
                await trio.lowlevel.checkpoint()

    # -- what other instances do

    def question_opened(self, listed: Listed) -> None:
        """A question waits for its audience: show it, if that is here."""
        if self._router.hub.matching(listed.tenant, listed.audience):
            try:
                self._workers.start(listed.tenant, self._router.consider_soon(listed))
            except QueueFullError:
                self._router.consider_later(listed)

    def question_given(self, question: Question) -> None:
        """A question is this instance's to show: do so, or let go of it."""
        router = self._router
        offer = router.offer_of(question)
        offer.held = True
        if not offer.holders:
            router.dispatch.show(offer, router.clock())
        if not offer.holders:
            router.releases.free(offer)
            if not self._start(question.tenant, router.releases.tell(question)):
                router.releases.waiting.append(question)

    def question_settled(self, tenant: str, question_id: str, outcome: Outcome | None) -> None:
        """A question has its outcome: tell those who wait for it or see it."""
        if self._router.on_ended is not None:
            self._router.on_ended(question_id)
        offer = self._router.offers.get(question_id)
        if offer is None:
            return
        if outcome is None:
            self._start(tenant, self._look_at(offer))
        elif offer.question.tenant == tenant:
            self._router.conclude(offer.question, outcome, None)

    def notified(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """People are told something."""
        try:
            told = Notification.of(audience, notification)
        except msgspec.DecodeError:
            # An instance of another version.
            return
        self._router.people.show(tenant, told)

    def tools_changed(self, tenant: str) -> None:
        """The tools of a tenant's pages may be others."""
        if self.tools is not None:
            self.tools.changed(tenant)

    def presence_changed(self, tenant: str) -> None:
        """Others are connected elsewhere than were before."""
        self._router.people.news.changed_elsewhere(tenant)

    def progressed(self, tenant: str, call_id: str, progress: bytes) -> None:
        """A call whose page is elsewhere is on its way."""
        if self.tools is not None:
            self.tools.calls.progressed(tenant, call_id, progress)

    def responded(self, inquiry_id: str, response: bytes) -> None:
        """A caller answers, at another instance, what some instance has asked it."""
        self.on_response(inquiry_id, response)

    def session_changed(self, session_id: str) -> None:
        """A session has other subscriptions than it had, or has ended."""
        self.on_session(session_id)

    def cancelled(self, session_id: str, cancellation: bytes) -> None:
        """At another instance a session gives up a call, or all of its calls."""
        self.on_cancellation(session_id, cancellation)

    def missed(self, concerns: Callable[[str], bool]) -> None:
        """See what became of these questions, and say anew who is connected here."""
        self._look_again(concerns)
        self.on_missed(concerns)
        self._router.people.news.changed_elsewhere(ANY)
        self.forgotten()

    def _look_again(self, concerns: Callable[[str], bool]) -> None:
        """Look at all questions that this concerns and that somebody here cares about."""
        offers = [offer for key, offer in self._router.offers.items() if concerns(key)]
        for start in range(0, len(offers), _LOOKED_AT_PER_STEP):
            some = offers[start : start + _LOOKED_AT_PER_STEP]
            self._start(some[0].question.tenant, self._look_at_all(some))

    def forgotten(self) -> None:
        """Say anew who is connected here."""
        self.on_forgotten()
        if self._router.shared:
            self._router.people.forgotten()
            if self.tools is not None:
                self.tools.offers.forgotten()

    def waiting(self) -> Iterator[Waiter]:
        """Return all who wait here themselves, and not those who only watch."""
        for offer in list(self._router.offers.values()):
            for waiter in offer.waiters:
                if waiter.waits:
                    yield waiter

    # -- going away

    async def wait_until_nobody_waits(self) -> None:
        """Return when all who wait have heard their outcomes; streams may last for ever."""
        # Once in a process: an event would cost every question something.
        while any(True for _ in self.waiting()):  # noqa: ASYNC110 - no hurry
            await trio.sleep(_SWEEP_SECONDS)

    async def tell_waiters_to_come_back(self) -> None:
        """End what is still waited for here.

        What is in memory ends with the process: its questions are cancelled. Those of a
        shared store stay, and their callers find them at any other instance.
        """
        router = self._router
        for offer in [offer for offer in router.offers.values() if offer.waiters]:
            if router.shared:
                waiters, offer.waiters = offer.waiters, []
                for waiter in waiters:
                    waiter.put_off()
            elif any(waiter.waits for waiter in offer.waiters):
                ended = Outcome(State.CANCELLED, router.clock(), by="gateway", reason=_GOING)
                await router.settle(offer.question, ended, None)

    # -- inside

    def _waiting_sessions(self) -> set[str]:
        return {waiter.session_id for waiter in self.waiting() if waiter.session_id}

    async def _sweep(self, now: float) -> list[Settlement]:
        try:
            settled = list(await self._router.store.sweep(now, _EXPIRED_PER_SWEEP))
        except StoreUnavailableError:
            # Whoever asks or answers now is told; the next sweep finds all there is.
            self.is_cut_off = True
            return []
        self.is_cut_off = False
        return settled

    def _make_up(self) -> None:
        """Do what could not be done while the store was away, some of it at a time."""
        router = self._router
        for recipient in list(islice(router.behind, _LOOKED_AT_PER_STEP)):
            del router.behind[recipient]
            if not self._start(recipient.tenant, router.catch_up(recipient)):
                router.behind[recipient] = None
                return
        people = router.people
        for recipient in list(islice(people.unsaid, _SAID_PER_SWEEP)):
            del people.unsaid[recipient]
            if not self._start(recipient.tenant, people.say(recipient)):
                people.unsaid[recipient] = None
                return
        for _ in range(min(_LOOKED_AT_PER_STEP, len(people.goodbyes))):
            presence = people.goodbyes.popleft()
            if not self._start(presence.tenant, people.say_goodbye(presence)):
                people.goodbyes.appendleft(presence)
                return

    async def _note(self, noted: list[tuple[Question, list[Noted]]]) -> None:
        try:
            await self._router.store.note(noted)
        except StoreUnavailableError:
            # They are for people to read, who do without them then.
            return

    async def _look_at_all(self, offers: list[Offer]) -> None:
        await to_worker()
        for offer in offers:
            await self._look_at(offer)

    async def _look_at(self, offer: Offer) -> None:
        """See in the store what became of a question, and put it back if that lost it."""
        router, question = self._router, offer.question
        if router.offers.get(question.id) is not offer:
            return
        try:
            found = await router.store.find(question.tenant, question.id)
            if found is not None:
                if found.outcome is not None:
                    router.conclude(question, found.outcome, None)
            elif router.clock() >= question.deadline:
                router.conclude(question, Outcome(State.TIMED_OUT, question.deadline), None)
            elif not await router.put_back(offer):
                self._overheard = True
        except StoreUnavailableError:
            self._overheard = True

    async def _pass_elsewhere(self, offer: Offer, now: float) -> None:
        """Let another instance show a question that nobody looked at here, if one can."""
        router, question = self._router, offer.question
        try:
            is_wanted = await router.people.elsewhere(question.tenant, question.audience)
            # Meanwhile it may have been looked at, or shown to somebody else, or have ended.
            is_unseen = router.dispatch.is_unseen(offer) and offer.offered_at == now
            if is_wanted and is_unseen:
                router.dispatch.take_back(offer)
                await router.releases.let_go(offer)
        except StoreUnavailableError:
            return

    def _start(self, tenant: str, step: Coroutine[Any, Any, None]) -> bool:
        """Start a step; without room for it all is looked at again soon."""
        try:
            self._workers.start(tenant, step)
        except QueueFullError:
            self._overheard = True
            return False
        return True


def _do_nothing() -> None:
    """Nobody counts what is used."""


def _do_nothing_with_session(_session_id: str) -> None:
    """Before callers are served, nobody listens here."""


def _do_nothing_with_missed(_concerns: Callable[[str], bool]) -> None:
    """As above."""


def _do_nothing_with(_id: str, _said: bytes) -> None:
    """Before callers are served, nobody here has asked any, and none has a call."""
