"""Who may use how much: from what is held here, from the store at the edge, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gateway.errors import OverQuotaError
from gateway.quotas.allowances import Allowances
from gateway.quotas.roster import Roster
from gateway.quotas.settings import Quota
from gateway.quotas.standing import Standing
from pool.leases import SlotPool, Taken, TokenPool
from pool.portions import Account, Slots, Tokens
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session.errors import StoreUnavailableError
from session.model import Principal, Question

ANN = Principal("acme", "ann")
BOB = Principal("acme", "bob")


class Fleet:
    """The limits, as instances share them; each call is counted and takes a moment."""

    def __init__(self, count: int = 1, *, shared: bool = True) -> None:
        self.now = 1_000.0
        self.count = count
        self.shared = shared
        self.tokens: dict[Account, TokenPool] = {}
        self.slots: dict[Account, SlotPool] = {}
        self.sessions: list[str] = []
        self.calls = 0
        self.is_away = False
        self.is_slow = False
        self.refused: list[str] = []

    def instance(self, quota: Quota, named: dict[str, Quota] | None = None, **more: int) -> Here:
        return Here(self, quota, named or {}, **more)

    async def _called(self) -> None:
        self.calls += 1
        if self.is_slow:
            await to_worker()
            await trio.lowlevel.checkpoint()
        if self.is_away:
            raise StoreUnavailableError("away")


class End:
    """One instance's way to the fleet's limits: a `session.quotas.Quotas`."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._name = name

    @property
    def shared(self) -> bool:
        return self._fleet.shared

    def holders(self) -> int:
        return self._fleet.count

    async def take(self, tokens: Tokens, needed: float, extra: float) -> Taken:
        fleet = self._fleet
        await fleet._called()
        pool = fleet.tokens.setdefault(tokens.account, TokenPool())
        return pool.take(fleet.now, tokens.rate, tokens.burst, needed, extra)

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        fleet = self._fleet
        await fleet._called()
        pool = fleet.slots.setdefault(slots.account, SlotPool())
        limit = slots.limit
        return pool.lease(self._name, fleet.now, limit, used=used, needed=needed, reserve=reserve)

    async def open_session(self, accounts: Any, session_id: str) -> int:
        await self._fleet._called()
        for index, (_, limit) in enumerate(accounts):
            if len(self._fleet.sessions) >= limit:
                return index
        self._fleet.sessions.append(session_id)
        return -1

    async def end_session(self, accounts: Any, session_id: str) -> None:
        self._fleet.sessions.remove(session_id)


class Here:
    """An instance's allowances."""

    def __init__(self, fleet: Fleet, quota: Quota, named: dict[str, Quota], **more: int) -> None:
        self.fleet = fleet
        self.failures: list[BaseException] = []
        self.workers = Workers(
            WorkerSettings(), on_failure=lambda _lane, error: self.failures.append(error)
        )
        self.roster = Roster(shared=fleet.shared, **more)
        self.allowances = Allowances(
            End(fleet, f"{id(self)}"),
            workers=self.workers,
            now=lambda: fleet.now,
            refused=lambda quota, _principal: fleet.refused.append(quota),
            roster=self.roster,
        )
        self.roster.share(fleet.count)
        self.roster.follow(quota, named)

    def of(self, principal: Principal = ANN) -> Standing:
        standing = self.allowances.of(principal)
        assert standing is not None
        return standing

    async def ask(self, principal: Principal = ANN) -> None:
        standing = self.of(principal)
        if not self.allowances.tries(standing.asks, 1.0, standing.pending):
            await self.allowances.claim(principal, standing.asks, 1.0, standing.pending)


ASKS = Quota({"asks_per_second": 100.0}, {})
PENDING = Quota({"pending": 100}, {})
BOTH = Quota({"asks_per_second": 100.0, "pending": 3}, {})


async def test_asks_are_served_from_what_is_held_and_refused_with_a_time() -> None:
    fleet = Fleet()
    here = fleet.instance(ASKS)
    for _ in range(100):
        await here.ask()
    # A tenth is held: some twenty times fewer calls than asks.
    assert fleet.calls <= 25
    with pytest.raises(OverQuotaError) as caught:
        await here.ask()
    error = caught.value
    assert (error.quota, error.whose, error.limit) == ("asks_per_second", "tenant", 100.0)
    assert error.retry_after == pytest.approx(0.01)
    assert fleet.refused == ["asks_per_second"]
    fleet.now += error.retry_after
    await here.ask()


async def test_a_refusal_is_remembered_until_the_store_could_say_something_else() -> None:
    fleet = Fleet()
    here = fleet.instance(Quota({"asks_per_second": 1.0}, {}))
    await here.ask()
    for _ in range(10):
        with pytest.raises(OverQuotaError):
            await here.ask()
    calls = fleet.calls
    with pytest.raises(OverQuotaError):
        await here.ask()
    assert fleet.calls == calls
    fleet.now += 1.0
    await here.ask()
    assert fleet.calls == calls + 1


async def test_a_small_amount_is_asked_for_when_a_large_one_was_refused() -> None:
    here = Fleet().instance(Quota({"bytes_per_minute": 600}, {}))
    quotas, standing = here.allowances, here.of()
    await quotas.claim(ANN, standing.bytes, 40)
    with pytest.raises(OverQuotaError):
        await quotas.claim(ANN, standing.bytes, 50)
    await quotas.claim(ANN, standing.bytes, 20)


async def test_instances_together_have_what_one_has() -> None:
    fleet = Fleet(2)
    first, second = fleet.instance(ASKS), fleet.instance(ASKS)
    done = 0
    for _ in range(200):
        for here in (first, second):
            try:
                await here.ask()
            except OverQuotaError:
                continue
            done += 1
    assert 90 <= done <= 110


async def test_what_was_taken_for_nothing_is_given_back() -> None:
    fleet = Fleet()
    here = fleet.instance(BOTH)
    for _ in range(3):
        await here.ask()
    for _ in range(200):
        with pytest.raises(OverQuotaError, match="pending"):
            await here.ask()
    standing = here.of()
    assert standing.pending[0].used == 3
    standing.pending[0].take_back()
    await here.ask()


async def test_a_subject_is_refused_without_its_tenants_loss() -> None:
    here = Fleet().instance(Quota({"pending": 10}, {"pending": 1}))
    await here.ask(ANN)
    with pytest.raises(OverQuotaError) as caught:
        await here.ask(ANN)
    assert (caught.value.quota, caught.value.whose) == ("subject_pending", "subject")
    assert here.of(ANN).pending[0].used == 1
    await here.ask(BOB)
    assert here.of(BOB).pending[0].used == 2


async def test_one_answer_of_the_store_is_for_all_who_wait_for_it() -> None:
    fleet = Fleet()
    here = fleet.instance(Quota({"pending": 5}, {}))
    fleet.is_slow = True
    served, refused = [], []

    async def ask() -> None:
        try:
            await here.ask()
            served.append(1)
        except OverQuotaError:
            refused.append(1)

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(ask)
    assert (len(served), len(refused)) == (5, 35)
    # Each of the five, as there is no reserve, and one for all who are refused.
    assert fleet.calls == 6


async def test_slots_are_leased_in_advance_when_few_are_left() -> None:
    fleet = Fleet()
    here = fleet.instance(PENDING)
    for _ in range(90):
        await here.ask()
    assert fleet.calls <= 90 / 4
    assert here.of().pending[0].granted > 90
    assert here.failures == []


async def test_the_memory_store_leases_the_whole_limit_once() -> None:
    fleet = Fleet(shared=False)
    here = fleet.instance(PENDING)
    for _ in range(100):
        await here.ask()
    assert fleet.calls == 1
    with pytest.raises(OverQuotaError):
        await here.ask()


async def test_without_the_store_nothing_is_asked_but_frontends_come() -> None:
    fleet = Fleet()
    here = fleet.instance(Quota({"asks_per_second": 5.0, "pending": 5, "frontends": 2}, {}))
    fleet.is_away = True
    with pytest.raises(StoreUnavailableError):
        await here.ask()
    standing, quotas = here.of(), here.allowances
    assert standing.pending[0].used == 0
    for _ in range(2):
        await quotas.claim(ANN, (), 0, standing.frontends, lenient=True)
    with pytest.raises(OverQuotaError):
        await quotas.claim(ANN, (), 0, standing.frontends, lenient=True)
    assert here.roster.board == list(standing.frontends)
    with pytest.raises(StoreUnavailableError):
        await quotas.claim(ANN, (), 0, standing.frontends)


async def test_what_cannot_be_had_in_advance_is_not_asked_for_all_the_time() -> None:
    fleet = Fleet()
    here = fleet.instance(Quota({"asks_per_second": 100.0, "pending": 100}, {}))
    await here.ask()
    fleet.is_away = True
    for _ in range(8):
        await here.ask()
    assert fleet.calls <= 5
    assert here.failures == []


async def test_sessions_are_counted_and_refused() -> None:
    fleet = Fleet()
    here = fleet.instance(Quota({"sessions": 1}, {}))
    standing, quotas = here.of(), here.allowances
    await quotas.claim_session(ANN, standing, "a")
    with pytest.raises(OverQuotaError) as caught:
        await quotas.claim_session(ANN, standing, "b")
    assert caught.value.quota == "sessions"
    await quotas.end_session(standing, "a")
    await quotas.claim_session(ANN, standing, "b")


async def test_a_question_uses_its_slot_until_it_has_ended() -> None:
    here = Fleet().instance(PENDING)
    await here.ask()
    standing, quotas = here.of(), here.allowances
    quotas.asked(Question("q", "acme", "ann", "?", 0.0, 50.0), standing.pending)
    quotas.asked(Question("r", "acme", "ann", "?", 0.0, 50.0), ())
    assert quotas.overdue(50.0) == []
    assert quotas.overdue(51.0) == ["q"]
    quotas.ended("q")
    quotas.ended("q")
    assert standing.pending[0].used == 0


def test_what_is_left_is_told() -> None:
    here = Fleet().instance(ASKS)
    assert dict(here.allowances.headers(here.of()))[b"RateLimit"] == b'"asks_per_second";r=100;t=1'


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (0.0, "in 1 second."),
        (0.0445, "in 1 second."),
        (1.0, "in 1 second."),
        (1.001, "in 2 seconds."),
        (59.2, "in 60 seconds."),
        (3600.0, "in 3,600 seconds."),
    ],
)
def test_when_to_come_back_is_said_in_whole_seconds(wait: float, words: str) -> None:
    """Rather too late than too soon; who counts by machine has the exact number."""
    error = OverQuotaError("bytes_per_minute", "tenant", 1024.0**3, wait)
    assert str(error) == (
        f"The quota bytes_per_minute of this tenant is used up (1,073,741,824); try again {words}"
    )
    assert error.retry_after == wait
