"""Receipts at the instances of one store; `tests/gateway/mcp/test_approving.py` has the tools."""

from __future__ import annotations

import trio

from gateway.approvals import APPROVE, Approvals
from gateway.audit import Audit
from gateway.ids import Ids
from gateway.recorder import Entry, Recorder
from gateway.signing import SigningKeys
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryReceipts
from session.model import Approval, Outcome, Principal, Question, State

AGENT = Principal("acme", "agent")
APPROVAL = Approval("db.drop", "{}", "d" * 64, 60.0)


class Deployment:
    """Instances that share a store, and a clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = MemoryReceipts(self.clock)
        self.entries: list[Entry] = []
        workers = Workers(WorkerSettings(), on_failure=lambda _lane, _error: None)
        self.recorder = Recorder(
            None, lambda _tenant, entry: self.entries.append(entry), workers, self.clock
        )

    def clock(self) -> float:
        return self.now

    def instance(self) -> Approvals:
        audit = Audit(self.recorder, self.clock, "here", with_texts=False)
        keys = SigningKeys("", self.store)
        return Approvals(keys, self.store, clock=self.clock, ids=Ids(), audit=audit)

    def question(self) -> Question:
        return Question("q", "acme", "agent", "May it?", 0.0, 9e9, approval=APPROVAL)

    async def receipt(self) -> str:
        outcome = Outcome(State.ANSWERED, self.now, APPROVE, by="tab", by_user="ann")
        return (await self.instance().signed(self.question(), outcome, ("ann",))).receipt


async def test_one_instance_signs_and_another_verifies() -> None:
    deployment = Deployment()
    receipt = await deployment.receipt()
    one, other = deployment.instance(), deployment.instance()
    assert (await one.verify(AGENT, receipt, "d" * 64)).status == "good"
    for instance in (one, other):
        assert (await instance.verify(AGENT, receipt, "d" * 64)).status == "used"


async def test_of_many_uses_at_once_one_is_good() -> None:
    deployment = Deployment()
    receipt = await deployment.receipt()
    got: list[str] = []

    async def use() -> None:
        got.append((await deployment.instance().verify(AGENT, receipt, "d" * 64)).status)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(use)
    assert sorted(got) == ["good"] + ["used"] * 19


async def test_uses_and_what_is_refused_are_recorded_without_the_receipt() -> None:
    deployment = Deployment()
    receipt = await deployment.receipt()
    instance = deployment.instance()
    await instance.verify(AGENT, receipt, "d" * 64)
    await instance.verify(AGENT, receipt, "d" * 64)
    await instance.verify(AGENT, receipt, "e" * 64)
    await instance.verify(AGENT, "made up", "d" * 64)
    await deployment.recorder.drain()
    entries = deployment.entries
    assert [(each["kind"], each.get("reason")) for each in entries] == [
        ("receipt_used", None),
        ("receipt_refused", "used"),
        ("receipt_refused", "other_call"),
        ("receipt_refused", "forged"),
    ]
    assert {each["subject"] for each in entries} == {"agent"}
    assert [each.get("question") for each in entries] == ["q", "q", "q", None]
    assert not any(receipt in str(entry) for entry in entries)
