"""What is kept of questions costs memory, and no time of the garbage collector."""

from __future__ import annotations

import gc

from session.memory import MemoryStore
from session.memory_settings import Settings
from session.model import EVERYONE, Delivery, Outcome, Question, State

KEPT = 1_000


async def test_the_collector_need_not_look_at_what_is_settled() -> None:
    store = MemoryStore(Settings(), lambda: 100.0)
    asked = [
        Question(f"q{number}", "acme", "ann", "Which?", 100.0, 160.0, EVERYONE, Delivery.ONE)
        for number in range(KEPT)
    ]
    gc.collect()
    before = len(gc.get_objects())
    for question in asked:
        await store.admit(question)
    while_open = len(gc.get_objects())
    for question in asked:
        await store.settle(question, Outcome(State.ANSWERED, 101.0, "this", by="tab"))
    gc.collect()
    assert store.statistics().answers == KEPT
    # Each open one has its deadline.
    assert KEPT <= while_open - before < 1.1 * KEPT
    assert len(gc.get_objects()) - before < 0.1 * KEPT
