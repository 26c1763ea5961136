"""The memory store's own bounds; what every store promises is in the contract suite."""

import pytest

from session import MemoryBus, MemorySettings, MemoryStore
from session.errors import TooManyPendingError, TooManySessionsError
from session.model import EVERYONE, Draft, McpSession, Outcome, Question, State


def clock() -> float:
    return 1000.0


def question(number: int, text: str = "?", key: str = "") -> Question:
    return Question(f"{number:032x}", "acme", "agent", text, 1000.0, 2000.0, idempotency_key=key)


async def settle(store: MemoryStore, number: int, answer: str = "yes") -> None:
    await store.settle(question(number), Outcome(State.ANSWERED, at=1000.0, answer=answer))


async def test_kept_answers_are_bounded_by_count_and_the_oldest_go() -> None:
    store = MemoryStore(MemorySettings(answers=3), clock)
    for number in range(5):
        await store.admit(question(number, key=f"k{number}"))
        await settle(store, number)
    kept = [await store.find("acme", f"{number:032x}") is not None for number in range(5)]
    assert kept == [False, False, True, True, True]
    assert store.statistics().evicted_answers == 2
    assert (await store.admit(question(9, key="k0"))).fresh


async def test_bytes_are_bounded_answers_make_room_and_questions_are_refused() -> None:
    store = MemoryStore(MemorySettings(bytes=1024 * 1024), clock)
    for number in range(3):
        await store.admit(question(number, "x" * 300_000))
    await settle(store, 0)
    await store.admit(question(3, "x" * 300_000))
    assert await store.find("acme", f"{0:032x}") is None
    with pytest.raises(TooManyPendingError):
        await store.admit(question(4, "x" * 300_000))
    assert store.statistics().pending == 3


async def test_bytes_return_to_nothing() -> None:
    store = MemoryStore(MemorySettings(), clock)
    for number in range(10):
        await store.admit(question(number))
        await settle(store, number, "z" * 1000)
    assert store.statistics().bytes > 0
    await store.sweep(1000.0 + 7200, 10)
    assert store.statistics().bytes == 0
    assert store.statistics().answers == 0


async def test_drafts_are_bounded_and_the_oldest_go() -> None:
    store = MemoryStore(MemorySettings(drafts=2), clock)
    await store.admit(question(1))
    for owner in ("a", "b", "c"):
        await store.save_draft("acme", owner, Draft(f"{1:032x}", "text", 1000.0))
    assert store.statistics().drafts == 2
    assert list(await store.drafts("acme", "a")) == []


async def test_sessions_are_capped_and_a_known_one_can_still_be_saved() -> None:
    store = MemoryStore(MemorySettings(sessions=2), clock)
    a, b, c = (McpSession(name, "acme", "agent", "2025-11-25", 1000.0) for name in "abc")
    await store.save_session(a)
    await store.save_session(b)
    with pytest.raises(TooManySessionsError):
        await store.save_session(c)
    await store.save_session(a)


def test_the_bus_of_a_lonely_process_tells_nobody() -> None:
    bus = MemoryBus()
    bus.subscribe(bus)
    bus.notify("acme", EVERYONE, b"")
    assert bus.presence("acme")
    bus.cancel("session", b"[]")
    assert bus.respond("0" * 32, b"{}")
