"""What is in the record of what people and agents do, and what never is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gateway.audit import KINDS, MOST_QUOTED, TEXTS, Audit, Settings
from gateway.auth.refusals import Denial
from gateway.offers import Ask, Notification
from gateway.ownership import may_act_on
from gateway.recorder import Entry, Recorder
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryAudit
from session.model import Audience, Principal
from tests.gateway.routing import World, fail_loudly

CANARY = "canary-4711"
AGENT = Principal("acme", "agent", credential="key:00")


class Recorded:
    """A world whose record is read."""

    def __init__(self, *, with_texts: bool = False) -> None:
        self.entries: list[tuple[str, Entry]] = []
        workers = Workers(WorkerSettings(), on_failure=fail_loudly)
        self.recorder = Recorder(
            MemoryAudit(1000),
            lambda tenant, entry: self.entries.append((tenant, entry)),
            workers,
            lambda: self.world.now,
        )
        self.audit = Audit(self.recorder, lambda: self.world.now, "here", with_texts=with_texts)
        self.world = World(audit=self.audit)

    async def told(self) -> list[dict[str, Any]]:
        """Return what was recorded since, without what all entries have."""
        await self.recorder.drain()
        entries, self.entries = self.entries, []
        assert all(entry["kind"] in KINDS for _, entry in entries)
        assert all(entry["instance"] == "here" for _, entry in entries)
        return [
            {name: value for name, value in entry.items() if name not in ("at", "instance")}
            for _, entry in entries
        ]


async def test_a_call_of_a_pages_tool_says_which_tool(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    ask = Ask(
        "shop.look", audience=Audience("tool", "shop.look tab"), context=CANARY, tool="shop.look"
    )
    asked = await recorded.world.router.ask(AGENT, ask, None)
    assert await recorded.told() == [
        {
            "kind": "asked",
            "subject": "agent",
            "credential": "key:00",
            "question": asked.question.id,
            "audience": "tool:shop.look tab",
            "tool": "shop.look",
        }
    ]


async def test_a_question_is_asked_offered_and_answered(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    world = recorded.world
    ann = await world.tab("tab-1", user="ann")
    await world.tab("tab-2")
    asked = await world.router.ask(AGENT, Ask(CANARY, context=CANARY), None)
    question = asked.question.id
    await world.router.answer(ann, question, answer=CANARY)
    assert await recorded.told() == [
        {
            "kind": "asked",
            "subject": "agent",
            "credential": "key:00",
            "question": question,
            "audience": "everyone",
        },
        {
            "kind": "offered",
            "subject": "ann",
            "credential": "key:tab-1",
            "frontend": "tab-1",
            "question": question,
        },
        {
            "kind": "offered",
            "credential": "key:tab-2",
            "frontend": "tab-2",
            "question": question,
        },
        {
            "kind": "answered",
            "subject": "ann",
            "credential": "key:tab-1",
            "frontend": "tab-1",
            "question": question,
        },
    ]


async def test_who_took_a_question_of_somebody_elses_back_is_recorded(
    autojump_clock: MockClock,
) -> None:
    recorded = Recorded()
    router = recorded.world.router
    asked = await router.ask(AGENT, Ask(CANARY), None)
    boss = Principal("acme", "boss", scopes=frozenset(("admin",)), credential="key:99")
    await router.cancel(boss, asked.question.id, CANARY, "editor", may_act_on)
    assert (await recorded.told())[1:] == [
        {
            "kind": "cancelled",
            "subject": "boss",
            "credential": "key:99",
            "question": asked.question.id,
        }
    ]


async def test_of_a_long_text_its_beginning_is_recorded_and_its_length(
    autojump_clock: MockClock,
) -> None:
    recorded = Recorded(with_texts=True)
    world = recorded.world
    world.router.settings = dataclasses.replace(world.router.settings, answer_bytes=9 * MOST_QUOTED)
    ann = await world.tab("tab-1", user="ann")
    for more in (0, 1):
        text = "a" * (MOST_QUOTED + more)
        asked = await world.router.ask(AGENT, Ask(text), None)
        await world.router.answer(ann, asked.question.id, answer=text)
        entries = await recorded.told()
        found = {entry["kind"]: entry for entry in entries}
        for kind, name in (("asked", "text"), ("answered", "answer")):
            assert found[kind][name] == text[:MOST_QUOTED]
            assert found[kind].get(f"{name}_characters") == (len(text) if more else None)


async def test_a_long_form_is_recorded_as_the_beginning_of_its_text(
    autojump_clock: MockClock,
) -> None:
    recorded = Recorded(with_texts=True)
    world = recorded.world
    ann = await world.tab("tab-1", user="ann")
    content = {"a": "b" * (MOST_QUOTED + 1)}
    asked = await world.router.ask(AGENT, Ask("?", schema={"type": "object"}), None)
    await world.router.answer(ann, asked.question.id, answer="b", content=content)
    entry = (await recorded.told())[-1]
    assert (entry["answer"], entry["content_left_out"]) == ("b", True)
    assert "content" not in entry


async def test_an_answer_that_comes_second_is_none(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    world = recorded.world
    ann, bob = await world.tab("tab-1", user="ann"), await world.tab("tab-2", user="bob")
    question, _ = await world.ask()
    await world.router.answer(ann, question.id, answer="blue")
    await world.router.answer(bob, question.id, answer="red")
    kinds = [entry["kind"] for entry in await recorded.told()]
    assert kinds == ["asked", "offered", "offered", "answered"]


async def test_questions_end_in_other_ways_too(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    world = recorded.world
    ann = await world.tab("tab-1", user="ann")
    first, _ = await world.ask()
    await world.router.reject(ann, first.id, CANARY)
    second, _ = await world.ask()
    await world.router.cancel(AGENT, second.id, CANARY, CANARY)
    await world.ask()
    await world.upkeep.tell_waiters_to_come_back()
    ends = [entry for entry in await recorded.told() if entry["kind"] not in ("asked", "offered")]
    assert [(entry["kind"], entry.get("subject"), entry.get("by")) for entry in ends] == [
        ("rejected", "ann", None),
        ("cancelled", "agent", None),
        ("cancelled", None, "gateway"),
    ]
    assert CANARY not in json.dumps(ends)


async def test_nobody_times_a_question_out(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    recorded = Recorded()
    world = recorded.world
    question, _ = await world.ask(timeout=5)
    await nursery.start(world.upkeep.run)
    world.now += 6
    await trio.sleep(1)
    last = (await recorded.told())[-1]
    assert last == {"kind": "timed_out", "question": question.id}


async def test_who_tells_and_who_is_told(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    world = recorded.world
    await world.tab("tab-1", user="ann")
    await world.tab("tab-2", user="bob")
    notification = Notification(CANARY, title=CANARY, audience=Audience("user", "ann"))
    await world.router.people.notify(AGENT, notification)
    told = await recorded.told()
    assert {entry.pop("notification") for entry in told} == {notification.id}
    assert told == [
        {"kind": "told", "subject": "ann", "credential": "key:tab-1", "frontend": "tab-1"},
        {
            "kind": "notified",
            "subject": "agent",
            "credential": "key:00",
            "audience": "user:ann",
            "told": 1,
        },
    ]


async def test_refusals_are_in_the_record_of_whose_they_are(autojump_clock: MockClock) -> None:
    recorded = Recorded()
    recorded.audit.denied(Denial("scope", 403, "192.0.2.1", AGENT))
    recorded.audit.denied(Denial("wrong", 401, "192.0.2.2", credential="key:77"))
    recorded.audit.denials_not_recorded("wrong", 12)
    await recorded.recorder.drain()
    assert [tenant for tenant, _ in recorded.entries] == ["acme", "", ""]
    assert await recorded.told() == [
        {
            "kind": "denied",
            "subject": "agent",
            "credential": "key:00",
            "reason": "scope",
            "status": 403,
            "peer": "192.0.2.1",
        },
        {
            "kind": "denied",
            "reason": "wrong",
            "status": 401,
            "peer": "192.0.2.2",
            "claimed": "key:77",
        },
        {"kind": "denied", "reason": "wrong", "count": 12},
    ]


async def test_with_texts_entries_quote_in_fields_that_can_be_redacted(
    autojump_clock: MockClock,
) -> None:
    recorded = Recorded(with_texts=True)
    world = recorded.world
    ann = await world.tab("tab-1")
    for text in ("first", "second", "third"):
        question, _ = await world.ask(text)
        if text == "first":
            await world.router.answer(ann, question.id, answer="blue")
        elif text == "second":
            await world.router.answer(ann, question.id, answer="{}", content={"colour": "red"})
        else:
            await world.router.reject(ann, question.id, "no time")
    await world.router.people.notify(AGENT, Notification("dinner"))
    quotes = [
        {name: value for name, value in entry.items() if name in TEXTS}
        for entry in await recorded.told()
        if entry["kind"] not in ("offered", "told")
    ]
    assert quotes == [
        {"text": "first"},
        {"answer": "blue"},
        {"text": "second"},
        {"answer": "{}", "content": {"colour": "red"}},
        {"text": "third"},
        {"reason_given": "no time"},
        {"text": "dinner"},
    ]
    assert recorded.recorder.statistics().waiting == 0


@pytest.mark.parametrize(
    ("to", "has_credentials", "is_shared", "log_and_store"),
    [
        ("auto", False, True, (False, False)),
        ("auto", True, False, (True, False)),
        ("auto", True, True, (False, True)),
        ("off", True, True, (False, False)),
        ("log", False, True, (True, False)),
        ("store", False, True, (False, True)),
        ("both", False, True, (True, True)),
    ],
)
def test_where_the_record_goes(
    to: str, has_credentials: bool, is_shared: bool, log_and_store: tuple[bool, bool]
) -> None:
    settings = Settings(to=to)
    assert settings.goes_to(has_credentials=has_credentials, is_shared=is_shared) == log_and_store
