"""What each principal uses here, and whether it may use more.

`tries` is what the hot path asks: it looks at what this process holds of the limits, and
takes all that is wanted or nothing. When that is not enough `claim` asks the keeper of the
limits (`session.quotas`) before it says no; and when little is left more is asked for in
advance. A refusal is remembered for as long as the keeper's answer cannot change, so that
whoever is far over a quota costs the store next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, final

from gateway.errors import OverQuotaError
from gateway.quotas.standing import Standing
from pool.portions import Slots, Tokens
from pool.promises import Promise
from pool.workers import QueueFullError
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.http.messages import Headers
    from gateway.quotas.roster import Roster
    from pool.workers import Workers
    from session import Quotas
    from session.model import Principal, Question

# Slots become free without a word: they are asked for again so soon.
_AGAIN_SECONDS: Final = 0.1
# What people and agents are told who want a slot.
_LATER_SECONDS: Final = 1.0
_LANE: Final = "(quotas)"


@final
class Allowances:
    """Owned by `gateway.quotas.keeper`.

    Args:
        store: keeps the limits.
        workers: run what is asked in advance.
        now: monotonic seconds.
        refused: told of each refusal: the name of the quota, and whose it is.
        roster: has the portions.
    """

    def __init__(
        self,
        store: Quotas,
        *,
        workers: Workers,
        now: Callable[[], float],
        refused: Callable[[str, Principal], None],
        roster: Roster,
    ) -> None:
        self._store = store
        self._workers = workers
        self._now = now
        self._refused = refused
        #: Whose portions are known here.
        self.roster = roster
        self._tenants = roster.tenants
        #: Changes now and then: what was told of what is left is too old by then.
        self.epoch = 0
        # The questions that count here, with their deadlines.
        self._questions: dict[str, tuple[float, tuple[Slots, ...]]] = {}

    # -- the hot path

    def of(self, principal: Principal) -> Standing | None:
        """Return what somebody may use; `None`: whatever they like."""
        standing = self._tenants.get(principal.tenant)
        if standing is not None and not standing.by_subject:
            return standing
        return self.roster.of(principal)

    def tries(
        self, tokens: tuple[Tokens, ...], amount: float, slots: tuple[Slots, ...] = ()
    ) -> bool:
        """Take tokens and slots from what is held here: all of them, or none."""
        taken = 0
        for each in tokens:
            held = each.held - amount
            if held >= each.low:
                each.held = held
            elif not self._take_of_few(each, amount):
                return self._give_back(tokens, amount, (), taken)
            taken += 1
        for slot in slots:
            used = slot.used + 1
            if used <= slot.alarm:
                slot.used = used
            elif not self._use_of_few(slot):
                return self._give_back(tokens, amount, slots, taken)
            taken += 1
        return True

    def _take_of_few(self, tokens: Tokens, amount: float) -> bool:
        if tokens.held < amount:
            return False
        tokens.held -= amount
        if not tokens.is_asking and self._now() >= tokens.again_at:
            self._in_advance(tokens)
        return True

    def _use_of_few(self, slots: Slots) -> bool:
        if slots.used >= slots.granted:
            return False
        slots.used += 1
        if slots.waiting is None and self._now() >= slots.again_at:
            self._lease_in_advance(slots)
        return True

    @staticmethod
    def _give_back(
        tokens: tuple[Tokens, ...], amount: float, slots: tuple[Slots, ...], taken: int
    ) -> bool:
        """Give back the first so many of what was to be taken."""
        for each in tokens[:taken]:
            each.held += amount
        for slot in slots[: max(0, taken - len(tokens))]:
            slot.take_back()
        return False

    # -- at the edge

    async def claim(
        self,
        principal: Principal,
        tokens: tuple[Tokens, ...],
        amount: float,
        slots: tuple[Slots, ...] = (),
        *,
        lenient: bool = False,
    ) -> None:
        """Take tokens and slots: all of them, or none.

        With ``lenient`` slots are given while the store is away, as many as the limit has:
        each instance by itself.

        Raises:
            OverQuotaError: a limit is reached.
            StoreUnavailableError: that cannot be found out now.
        """
        taken: list[Tokens] = []
        used: list[Slots] = []
        try:
            for each in tokens:
                await self._take(each, amount)
                taken.append(each)
            for slot in slots:
                await self._use(slot, lenient=lenient)
                used.append(slot)
        except OverQuotaError as error:
            self._refused(error.quota, principal)
            raise
        finally:
            if len(taken) < len(tokens) or len(used) < len(slots):
                for each in taken:
                    each.held += amount
                for slot in used:
                    slot.take_back()

    async def claim_session(
        self, principal: Principal, standing: Standing, session_id: str
    ) -> None:
        """Count a session.

        Raises:
            OverQuotaError: there are as many as there may be.
            StoreUnavailableError: that cannot be found out now.
        """
        full = await self._store.open_session(standing.sessions, session_id)
        if full >= 0:
            account, limit = standing.sessions[full]
            self._refused(account.kind, principal)
            whose = "subject" if account.subject else "tenant"
            raise OverQuotaError(account.kind, whose, limit, _LATER_SECONDS)

    async def end_session(self, standing: Standing, session_id: str) -> None:
        """Count a session no more."""
        accounts = [account for account, _ in standing.sessions]
        await self._store.end_session(accounts, session_id)

    def headers(self, standing: Standing) -> Headers:
        """Return what HTTP says of the asks that are left."""
        return standing.headers(self.epoch, self._now)

    async def _take(self, tokens: Tokens, amount: float) -> None:
        if tokens.held >= amount:
            tokens.held -= amount
            return
        now = self._now()
        if now < tokens.dry_until and amount >= tokens.dry_for:
            raise self._over(tokens, tokens.dry_until - now)
        # What is held is used, too; meanwhile nobody else can.
        own, tokens.held = tokens.held, 0.0
        needed, wait = amount - own, 0.0
        # One at a time asks for a reserve as well.
        first = not tokens.is_asking
        tokens.is_asking = True
        extra = tokens.reserve if first else 0.0
        try:
            granted, wait, left = await self._store.take(tokens, needed, extra)
            own += granted
        finally:
            if own >= amount:
                own -= amount
                needed = 0.0
            tokens.held += own
            if first:
                tokens.is_asking = False
        tokens.hear(left, self._now())
        if needed:
            tokens.dry_until = tokens.left_at + wait
            tokens.dry_for = amount
            raise self._over(tokens, wait)

    async def _use(self, slots: Slots, *, lenient: bool) -> None:
        while slots.used >= slots.granted:
            waiting = slots.waiting
            if waiting is not None:
                # Somebody asks already: one answer is for all.
                told: Promise[None] = Promise()
                waiting.append(partial(told.set, None))
                await told
            elif self._now() < slots.full_until:
                raise self._full(slots)
            else:
                try:
                    await self.lease(slots, 1)
                except StoreUnavailableError:
                    if not lenient:
                        raise
                    if slots.used >= slots.limit:
                        raise self._full(slots) from None
                    slots.report()
                    break
        slots.used += 1

    async def lease(self, slots: Slots, needed: int = 0) -> None:
        """Say how many slots are used here, and learn how many there are.

        Raises:
            StoreUnavailableError: the store cannot be told.
        """
        waiting: list[Callable[[], None]] = []
        slots.waiting = waiting
        # A quota that was dropped is used by nobody.
        used = slots.used if slots.limit else 0
        reserve = slots.reserve if used or needed else 0
        # The store may take what is more than that for free as soon as it hears.
        slots.grant(min(slots.granted, used + reserve))
        try:
            slots.grant(await self._store.lease(slots, used, needed, reserve))
            now = self._now()
            if slots.granted < used + needed:
                slots.full_until = now + _AGAIN_SECONDS
            if slots.granted - slots.used < slots.low:
                slots.again_at = now + _AGAIN_SECONDS
        finally:
            slots.waiting = None
            for wake in waiting:
                wake()

    @staticmethod
    def _over(tokens: Tokens, wait: float) -> OverQuotaError:
        whose = "subject" if tokens.account.subject else "tenant"
        return OverQuotaError(tokens.name, whose, tokens.limit, wait)

    @staticmethod
    def _full(slots: Slots) -> OverQuotaError:
        whose = "subject" if slots.account.subject else "tenant"
        return OverQuotaError(slots.name, whose, slots.limit, _LATER_SECONDS)

    # -- in advance

    def _in_advance(self, tokens: Tokens) -> None:
        tokens.is_asking = True
        try:
            self._workers.start(_LANE, self._take_in_advance(tokens))
        except QueueFullError:
            tokens.is_asking = False

    async def _take_in_advance(self, tokens: Tokens) -> None:
        try:
            extra = tokens.reserve - tokens.held
            granted, wait, left = await self._store.take(tokens, 0.0, extra)
            now = self._now()
            tokens.hear(left, now)
            tokens.held += granted
            if tokens.held < tokens.low:
                tokens.again_at = now + max(wait, 1 / tokens.rate)
        except StoreUnavailableError:
            tokens.again_at = self._now() + _LATER_SECONDS
        finally:
            tokens.is_asking = False

    def _lease_in_advance(self, slots: Slots) -> None:
        try:
            self._workers.start(_LANE, self._lease_quietly(slots))
        except QueueFullError:
            slots.again_at = self._now() + _LATER_SECONDS

    async def _lease_quietly(self, slots: Slots) -> None:
        try:
            await self.lease(slots)
        except StoreUnavailableError:
            slots.again_at = self._now() + _LATER_SECONDS

    # -- questions, which live on when their caller leaves

    def asked(self, question: Question, slots: tuple[Slots, ...]) -> None:
        """Let slots be used until a question has ended."""
        if slots:
            self._questions[question.id] = (question.deadline, slots)

    def ended(self, question_id: str) -> None:
        """A question has ended, here or elsewhere."""
        found = self._questions.pop(question_id, None)
        if found is not None:
            for slot in found[1]:
                # As `Slots.take_back`, without a call.
                slot.used -= 1
                if slot.used <= slot.floor:
                    slot.report()

    def overdue(self, now: float) -> list[str]:
        """Return the questions whose deadline has passed unheard of."""
        return [key for key, (deadline, _) in self._questions.items() if deadline < now]
