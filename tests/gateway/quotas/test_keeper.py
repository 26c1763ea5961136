"""Quotas are kept in step with their file and with the store, by one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from gateway.audit import Audit
from gateway.errors import OverQuotaError, UnusableError
from gateway.metrics import Metrics
from gateway.quotas.denials import MOST_OF_TENANT, Denials
from gateway.quotas.keeper import Keeper
from gateway.quotas.settings import Settings
from gateway.recorder import Entry
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session.model import Principal, Question
from tests.gateway.quotas.test_allowances import End, Fleet

ANN = Principal("acme", "ann")
#: Only what a test names is limited.
FREE = {
    "asks_per_second": 0.0,
    "bytes_per_minute": 0,
    "pending": 0,
    "frontends": 0,
    "sessions": 0,
    "streams": 0,
}


class Record:
    """An audit record, of which the numbers of those are read who are not in it."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        recorder: Any = self
        self.audit = Audit(recorder, trio.current_time, "here", with_texts=False)

    def add(self, tenant: str, entry: Entry, size: int = 0) -> None:
        if "count" in entry:
            self._counts.append(entry["count"])

    def left_out(self) -> list[int]:
        """Return the numbers that were said since."""
        said, self._counts = self._counts, []
        return said


class World:
    """A keeper, and the store that it keeps in step with."""

    def __init__(self, denials: Denials | None = None, **settings: float | str) -> None:
        self.fleet = Fleet()
        self.metrics = Metrics()
        self.keeper = Keeper(
            Settings(**(FREE | settings)),  # type: ignore[arg-type]
            End(self.fleet, "here"),
            workers=Workers(WorkerSettings(), on_failure=lambda _lane, _error: None),
            metrics=self.metrics,
            clock=trio.current_time,
            now=trio.current_time,
            denials=denials,
        )

    async def ask(self) -> None:
        quotas = self.keeper.allowances
        standing = quotas.of(ANN)
        if standing is not None:
            await quotas.claim(ANN, standing.asks, 1.0, standing.pending)


async def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "quotas.toml"
    path.write_text("[acme]\npendin = 5\n")
    world = World(file=str(path))
    with pytest.RaisesGroup(pytest.RaisesExc(UnusableError, match="nearest is pending")):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.keeper.run)


async def test_a_file_is_followed_and_a_wrong_one_is_not(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "quotas.toml"
    path.write_text("[acme]\npending = 1\n")
    world = World(file=str(path))
    said = ""

    async def until_said(event: str) -> None:
        # What reads the file is a thread, which the clock that jumps does not wait for.
        nonlocal said
        with trio.fail_after(6_000):
            while event not in said:
                await trio.sleep(1)
                said += capsys.readouterr().out

    autojump_clock.autojump_threshold = 0.01
    async with trio.open_nursery() as nursery:
        await nursery.start(world.keeper.run)
        await world.ask()
        with pytest.raises(OverQuotaError):
            await world.ask()
        path.write_text("[acme]\npending = many\n")
        await until_said("quotas_refused")
        with pytest.raises(OverQuotaError):
            await world.ask()
        path.write_text("[acme]\npending = 3\n")
        await until_said("quotas_readable")
        await world.ask()
        await world.ask()
        nursery.cancel_scope.cancel()
    said += capsys.readouterr().out
    assert said.count("quotas_refused") == 1
    assert said.count("quotas_readable") == 1


async def test_what_is_used_is_told_and_what_is_free_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(pending=100)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.keeper.run)
        for _ in range(40):
            await world.ask()
        standing = world.keeper.allowances.of(ANN)
        assert standing is not None
        (slots,) = standing.pending
        pool = world.fleet.slots[slots.account]
        for _ in range(30):
            slots.take_back()
        await trio.sleep(1.5)
        assert (slots.used, slots.granted, pool.granted) == (10, 20, 20)
        for _ in range(10):
            slots.take_back()
        await trio.sleep(1.5)
        assert (slots.granted, pool.granted) == (0, 0)
        nursery.cancel_scope.cancel()


async def test_what_could_not_be_told_is_told_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(pending=100, frontends=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.keeper.run)
        standing = world.keeper.allowances.of(ANN)
        assert standing is not None
        for slots in (*standing.pending, *standing.frontends):
            await world.keeper.allowances.claim(ANN, (), 0, (slots,))
            slots.take_back()
        world.fleet.is_away = True
        await trio.sleep(3.5)
        assert len(world.keeper.roster.board) == 2
        world.fleet.is_away = False
        await trio.sleep(1.5)
        assert world.keeper.roster.board == []
        assert standing.own.is_idle
        nursery.cancel_scope.cancel()


async def test_slots_that_are_asked_for_right_now_are_told_of_afterwards() -> None:
    world = World(pending=5)
    await world.ask()
    standing = world.keeper.allowances.of(ANN)
    assert standing is not None
    (slots,) = standing.pending
    slots.take_back()
    slots.waiting = []
    await world.keeper.report()
    assert world.keeper.roster.board == [slots]


async def test_all_that_is_used_is_told_anew_when_the_store_forgot_it() -> None:
    world = World(pending=5, frontends=5)
    await world.ask()
    standing = world.keeper.allowances.of(ANN)
    assert standing is not None
    world.fleet.slots.clear()
    world.keeper.report_all()
    await world.keeper.report()
    assert {account.kind for account in world.fleet.slots} == {"pending"}


async def test_a_question_of_whose_end_nothing_was_heard_counts_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(pending=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.keeper.run)
        await world.ask()
        quotas = world.keeper.allowances
        standing = quotas.of(ANN)
        assert standing is not None
        deadline = trio.current_time() + 30
        quotas.asked(Question("q", "acme", "ann", "?", 0.0, deadline), standing.pending)
        await trio.sleep(80)
        assert standing.pending[0].used == 1
        await trio.sleep(120)
        assert standing.pending[0].used == 0
        nursery.cancel_scope.cancel()


async def test_who_was_refused_and_not_recorded_is_counted_in_the_record_all_the_same(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    record = Record()
    world = World(Denials(record.audit, trio.current_time), subject_pending=1)

    async def refuse(tenant: str, left_out: int) -> None:
        for number in range(MOST_OF_TENANT + left_out):
            principal = Principal(tenant, f"{number}")
            standing = world.keeper.allowances.of(principal)
            assert standing is not None
            await world.keeper.allowances.claim(principal, standing.asks, 1.0, standing.pending)
            with pytest.raises(OverQuotaError):
                await world.keeper.allowances.claim(principal, standing.asks, 1.0, standing.pending)

    await nursery.start(world.keeper.run)
    await refuse("acme", 5)
    # Nobody is refused from now on.
    await trio.sleep(90)
    assert record.left_out() == [5]
    # Nor does who leaves wait for the end of the minute.
    await refuse("other", 3)
    assert record.left_out() == []
    world.keeper.say_left_out()
    assert record.left_out() == [3]
    # Without a record there is nothing to say.
    World().keeper.say_left_out()


async def test_metrics_have_the_names_of_quotas_and_no_tenants() -> None:
    world = World(pending=4, asks_per_second=100.0, subject_pending=2)
    await world.ask()
    with pytest.raises(OverQuotaError):
        for _ in range(3):
            await world.ask()
    readings = world.keeper.readings()
    assert readings["frontend_router_quota_accounts"] == 2
    used = readings["frontend_router_quota_used_percent"]
    assert isinstance(used, dict)
    assert used["pending",] == 50.0
    assert used["subject_pending",] == 100.0
    assert 0 <= used["asks_per_second",] <= 3
    world.metrics.read_from(world.keeper.readings)
    text = world.metrics.render()[0].decode()
    assert 'frontend_router_quota_refused_total{quota="subject_pending"} 1.0' in text
    assert "acme" not in text
