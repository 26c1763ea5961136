"""What is recorded, on its way out: batches, bounds, and a store that is away."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway import logs, recorder
from gateway.recorder import BATCH, FLUSH_SECONDS, MOST, Entry, Recorder, iso, write_line
from pool.workers import Settings, Workers
from session import AuditTrail, MemoryAudit
from session.errors import StoreUnavailableError


class Trail:
    """A record that notes each batch, and can be away."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, list[bytes]]] = []
        self.is_away = False
        self.loses_replies = False
        self.kept = MemoryAudit(10 * MOST)

    async def append(self, tenant: str, batch: int, entries: Sequence[bytes]) -> None:
        if self.is_away:
            raise StoreUnavailableError("Redis is away")
        self.batches.append((tenant, batch, list(entries)))
        await self.kept.append(tenant, batch, entries)
        if self.loses_replies:
            raise StoreUnavailableError("no reply")

    def names(self, tenant: str = "acme") -> list[Any]:
        return [json.loads(raw).get("name") for raw in self.kept.entries(tenant)]


def fail_loudly(_lane: str, error: Exception) -> None:
    raise error


def made(trail: AuditTrail | None, lines: list[tuple[str, Entry]] | None = None) -> Recorder:
    """Make a recorder that writes to a trail, to a list of lines, or both."""
    line = None if lines is None else lambda tenant, entry: lines.append((tenant, entry))
    return Recorder(trail, line, Workers(Settings(), on_failure=fail_loudly), lambda: 1000.0)


def add(recorder: Recorder, count: int, tenant: str = "acme", size: int = 0) -> None:
    for number in range(count):
        recorder.add(tenant, {"at": 1.0, "kind": "asked", "name": number}, size)


async def test_what_comes_together_is_one_command_for_each_tenant(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    await nursery.start(recorder.run)
    add(recorder, 30)
    add(recorder, 20, "other")
    await wait_all_tasks_blocked()
    assert trail.batches == []
    await trio.sleep(FLUSH_SECONDS * 1.1)
    assert [(tenant, len(entries)) for tenant, _, entries in trail.batches] == [
        ("acme", 30),
        ("other", 20),
    ]
    assert trail.names() == list(range(30))
    assert recorder.statistics() == recorder_statistics(written=50)
    # Nothing is asked of anybody while nothing happens.
    await trio.sleep(60)
    assert len(trail.batches) == 2


def recorder_statistics(
    waiting: int = 0, written: int = 0, dropped: int = 0
) -> recorder.RecorderStatistics:
    return recorder.RecorderStatistics(waiting, written, dropped)


async def test_a_full_batch_does_not_wait_and_many_are_several(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    await nursery.start(recorder.run)
    before = trio.current_time()
    add(recorder, 2 * BATCH + 1)
    while recorder.statistics().waiting:
        await trio.lowlevel.checkpoint()
    assert trio.current_time() - before < FLUSH_SECONDS
    assert [len(entries) for _, _, entries in trail.batches] == [BATCH, BATCH, 1]
    assert trail.names() == list(range(2 * BATCH + 1))


async def test_long_texts_make_smaller_batches(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    await nursery.start(recorder.run)
    text = "x" * 600_000
    for _ in range(4):
        recorder.add("acme", {"at": 1.0, "text": text}, len(text))
    await recorder.drain()
    assert [len(entries) for _, _, entries in trail.batches] == [2, 2]


async def test_entries_wait_for_a_store_that_is_away_and_that_is_said_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    await nursery.start(recorder.run)
    trail.is_away = True
    with capture_logs() as lines:
        add(recorder, 3)
        await trio.sleep(1)
        add(recorder, 3)
        await trio.sleep(1)
        assert recorder.statistics().waiting == 6
        trail.is_away = False
        await trio.sleep(1)
    assert trail.names() == [0, 1, 2, 0, 1, 2]
    assert [line["event"] for line in lines] == ["audit_unwritten", "audit_written_again"]


async def test_a_batch_whose_reply_is_lost_is_sent_again_as_it_was(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    await nursery.start(recorder.run)
    trail.loses_replies = True
    add(recorder, 2)
    await trio.sleep(1)
    add(recorder, 1)
    trail.loses_replies = False
    await recorder.drain()
    assert trail.names() == [0, 1, 0]
    first, *again = [(number, entries) for _, number, entries in trail.batches]
    assert first == again[0]


async def test_past_the_bound_the_newest_are_dropped_and_counted_in_the_record(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Trail()
    recorder = made(trail)
    with capture_logs() as lines:
        add(recorder, MOST + 7)
        add(recorder, 2, "other")
    assert [line["event"] for line in lines] == ["audit_full"]
    assert recorder.statistics() == recorder_statistics(waiting=MOST, dropped=9)
    await nursery.start(recorder.run)
    with capture_logs() as lines:
        await recorder.drain()
    assert {line["event"] for line in lines} == {"audit_lost"}
    *kept, lost = map(json.loads, trail.kept.entries("acme"))
    assert [entry["name"] for entry in kept] == list(range(MOST))
    assert lost == {"at": 1000.0, "kind": "lost", "count": 7}
    (lost,) = map(json.loads, trail.kept.entries("other"))
    assert (lost["kind"], lost["count"]) == ("lost", 2)


async def test_texts_are_bounded_by_their_size() -> None:
    recorder = made(Trail())
    with capture_logs():
        add(recorder, 100, size=1024 * 1024)
        assert recorder.statistics() == recorder_statistics(waiting=8, dropped=92)
        add(recorder, 100, "other", size=1024 * 1024)
        assert recorder.statistics() == recorder_statistics(waiting=16, dropped=184)
        add(recorder, 1, "third", size=1)
        add(recorder, 1, "third")
    assert recorder.statistics() == recorder_statistics(waiting=17, dropped=185)


@pytest.mark.parametrize("has_trail", [True, False])
async def test_texts_that_have_left_make_room_for_their_tenant(
    has_trail: bool, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    recorder = made(Trail() if has_trail else None, [])
    await nursery.start(recorder.run)
    for _ in range(4):
        add(recorder, 5, size=1024 * 1024)
        await recorder.drain()
    assert recorder.statistics() == recorder_statistics(written=20)
    # Nor is anybody remembered who has nothing there.
    assert recorder._bytes_of == {}


async def test_one_text_may_be_longer_than_those_of_a_tenant_together() -> None:
    recorder = made(Trail())
    with capture_logs():
        add(recorder, 2, size=9 * 1024 * 1024)
    assert recorder.statistics() == recorder_statistics(waiting=1, dropped=1)


class Poisoned(Trail):
    """One tenant's record cannot be written."""

    async def append(self, tenant: str, batch: int, entries: Sequence[bytes]) -> None:
        if tenant == "acme":
            raise StoreUnavailableError("WRONGTYPE")
        await super().append(tenant, batch, entries)


async def test_texts_of_a_record_that_cannot_be_written_are_not_the_loss_of_others(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Poisoned()
    recorder = made(trail)
    await nursery.start(recorder.run)
    with capture_logs() as lines:
        for _ in range(10):
            add(recorder, 2, size=1000 * 1000)
            add(recorder, 1, "other", size=1024 * 1024)
            await trio.sleep(FLUSH_SECONDS * 2)
    assert trail.names("other") == [0] * 10
    assert recorder.statistics() == recorder_statistics(waiting=8, written=10, dropped=12)
    assert [line["event"] for line in lines] == ["audit_unwritten", "audit_full"]


async def test_a_record_that_cannot_be_written_is_not_the_loss_of_others(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    trail = Poisoned()
    recorder = made(trail)
    await nursery.start(recorder.run)
    with capture_logs() as lines:
        for _ in range(MOST // BATCH + 10):
            add(recorder, BATCH)
            await trio.sleep(FLUSH_SECONDS * 2)
        add(recorder, 5, "other")
        await trio.sleep(FLUSH_SECONDS * 2)
    assert trail.names("other") == list(range(5))
    assert [line["event"] for line in lines] == ["audit_unwritten", "audit_full"]


async def test_the_log_has_a_line_for_each_and_others_have_their_turn_between(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines: list[tuple[str, Entry]] = []
    recorder = made(None, lines)
    add(recorder, 300)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while len(lines) < 300:
            turns += bool(lines)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(others)
    await nursery.start(recorder.run)
    await recorder.drain()
    assert [entry["name"] for _, entry in lines] == list(range(300))
    assert turns >= 10
    assert recorder.statistics().written == 300


async def test_others_have_their_turn_between_entries_that_quote_much(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lines: list[tuple[str, Entry]] = []
    trail = Trail()
    recorder = made(trail, lines)
    for number in range(9):
        add(recorder, 1, f"tenant {number}", 256 * 1024)
    await nursery.start(recorder.run)
    await trio.sleep(FLUSH_SECONDS)
    seen = [(0, 0)]
    while len(trail.batches) < 9:
        await trio.lowlevel.checkpoint()
        seen.append((len(lines), len(trail.batches)))
    # Who is first in a tick is a matter of chance: two may lie between two turns, not three.
    for each in zip(*seen, strict=True):
        assert max(after - before for before, after in pairwise(each)) <= 2


async def test_a_process_that_cannot_write_at_its_end_says_how_much_is_lost(
    autojump_clock: MockClock,
) -> None:
    trail = Trail()
    trail.is_away = True
    recorder = made(trail)
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            await nursery.start(recorder.run)
            add(recorder, 4)
            with trio.move_on_after(3):
                await recorder.drain()
            nursery.cancel_scope.cancel()
    assert lines[-1]["event"] == "audit_lost"
    assert lines[-1]["count"] == 4


def test_a_line_of_the_log_is_there_at_every_level() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        logs.configure("fatal", stream)
        write_line("acme", {"at": 1_700_000_000.5, "kind": "asked", "question": "q1"})
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp")
    assert line == {
        "event": "audit",
        "level": "info",
        "tenant": "acme",
        "at": "2023-11-14T22:13:20.500Z",
        "kind": "asked",
        "question": "q1",
    }


@pytest.mark.parametrize(
    ("at", "written"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.25, "2023-11-14T22:13:20.250Z")],
)
def test_times_are_written_to_the_millisecond(at: float, written: str) -> None:
    assert iso(at) == written
