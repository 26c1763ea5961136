"""Who was over a quota is in the record, and no flood of refusals is."""

import pytest

from gateway.audit import Audit
from gateway.quotas import denials
from gateway.quotas.denials import Denials
from gateway.recorder import Entry, Recorder
from pool.workers import Settings, Workers
from session import MemoryAudit
from session.model import NOBODY, Principal
from tests.gateway.routing import fail_loudly

ANN = Principal("acme", "ann", credential="key:1")


class Record:
    """An audit record that is read, and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self._entries: list[tuple[str, Entry]] = []
        recorder = Recorder(
            MemoryAudit(100),
            lambda tenant, entry: self._entries.append((tenant, entry)),
            Workers(Settings(), on_failure=fail_loudly),
            lambda: self.now,
        )
        self._recorder = recorder
        audit = Audit(recorder, lambda: self.now, "here", with_texts=False)
        self.denials = Denials(audit, lambda: self.now)

    async def entries(self) -> list[tuple[str, Entry]]:
        """Return what was recorded since, with the tenant in whose record it is."""
        await self._recorder.drain()
        found, self._entries = self._entries, []
        return found


@pytest.fixture
def record(autojump_clock: object) -> Record:
    return Record()


async def test_it_is_recorded_who_was_over_which_quota(record: Record) -> None:
    record.denials.refused("asks_per_second", ANN)
    assert await record.entries() == [
        (
            "acme",
            {
                "at": 100.0,
                "kind": "denied",
                "instance": "here",
                "subject": "ann",
                "credential": "key:1",
                "reason": "asks_per_second",
                "status": 429,
            },
        )
    ]


async def test_it_is_recorded_once_a_minute_for_each_subject_and_quota(record: Record) -> None:
    for second in range(100):
        record.now = 100.0 + second
        for quota in ("asks_per_second", "pending"):
            for subject in ("ann", "bob"):
                for _ in range(10):
                    record.denials.refused(quota, Principal("acme", subject))
    told = [(each["at"], each["subject"], each["reason"]) for _, each in await record.entries()]
    assert told == [
        (at, subject, quota)
        for at in (100.0, 160.0)
        for quota in ("asks_per_second", "pending")
        for subject in ("ann", "bob")
    ]
    record.now = 1_000
    record.denials.refused("pending", ANN)
    assert len(record.denials) == 1


async def test_a_bounded_number_is_remembered_and_no_tenant_takes_all_of_it(
    record: Record,
) -> None:
    for number in range(denials.MOST_OF_TENANT + 5):
        record.denials.refused("pending", Principal("many", f"{number}"))
    assert len(record.denials) == denials.MOST_OF_TENANT
    record.denials.refused("pending", ANN)
    for number in range(denials.MOST):
        record.denials.refused("asks_per_second", Principal(f"tenant-{number}", "ann"))
    assert len(record.denials) == denials.MOST
    entries = await record.entries()
    assert len(entries) == denials.MOST
    assert [each["subject"] for tenant, each in entries if tenant == "acme"] == ["ann"]
    left_out = denials.MOST_OF_TENANT + 1
    record.now += denials.SECONDS
    record.denials.refused("pending", ANN)
    said = [(tenant, each["reason"], each.get("count")) for tenant, each in await record.entries()]
    assert said == [
        (NOBODY.tenant, "pending", 5),
        (NOBODY.tenant, "asks_per_second", left_out),
        ("acme", "pending", None),
    ]
    assert len(record.denials) == 1


def leave_out(record: Record, count: int) -> None:
    """Have so many of a tenant refused that this many are not recorded."""
    for number in range(denials.MOST_OF_TENANT + count):
        record.denials.refused("pending", Principal("many", f"{number}"))


async def left_out(record: Record) -> list[int]:
    """Return the numbers that were said since."""
    return [each["count"] for _, each in await record.entries() if "count" in each]


async def test_how_many_were_left_out_is_said_though_nobody_is_refused_any_more(
    record: Record,
) -> None:
    leave_out(record, 5)
    record.denials.tick()
    assert await left_out(record) == []
    record.now += denials.SECONDS
    record.denials.tick()
    assert await left_out(record) == [5]
    # Once; and who was refused is forgotten, too.
    assert len(record.denials) == 0
    record.now += denials.SECONDS
    record.denials.tick()
    assert await left_out(record) == []


async def test_how_many_were_left_out_is_said_once_a_minute_or_when_it_is_asked_for(
    record: Record,
) -> None:
    record.now += denials.SECONDS
    leave_out(record, 2)
    record.denials.say_left_out()
    assert await left_out(record) == [1, 1]
    leave_out(record, 3)
    record.denials.tick()
    record.now += denials.SECONDS - 0.1
    record.denials.tick()
    assert await left_out(record) == []
    record.now += 0.1
    record.denials.tick()
    assert await left_out(record) == [3]
