"""Calls of tools, from the page's side and with a store that others have, too."""

from typing import Any

import msgspec
import pytest

from gateway.offers import Ask
from gateway.tool_calls import PageProgress, ToolCalls, chosen
from gateway.tool_catalogs import Described, PageTool
from gateway.tool_definitions import Target, definition_of
from session.model import SCOPES, Audience, Delivery, Question, State, ToolOffer
from tests.gateway.routing import AGENT, Caller, Tab, World

NAME = "shop.a"
RESULT = {"content": [{"type": "text", "text": "done"}]}


class Bus:
    """Notes what is said to other instances."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, bytes]] = []

    def subscribe(self, receiver: object) -> None: ...

    def decline(self) -> float:
        return 0.0

    def notify(self, tenant: str, audience: Audience, notification: bytes) -> None: ...

    def presence(self, tenant: str) -> bool:
        return True

    def session(self, session_id: str) -> None: ...

    def cancel(self, session_id: str, cancellation: bytes) -> None: ...

    def respond(self, inquiry_id: str, response: bytes) -> bool:
        return True

    def progress(self, tenant: str, call_id: str, progress: bytes) -> None:
        self.said.append((tenant, call_id, progress))


async def called(world: World, **more: Any) -> tuple[Question, Caller]:
    ask = Ask(
        NAME,
        None,
        Audience("tool", f"{NAME} tab"),
        Delivery.ONE,
        context='{"a":1}',
        tool=NAME,
        **more,
    )
    caller = Caller()
    asked = await world.router.ask(AGENT, ask, caller)
    return asked.question, caller


async def page(world: World, name: str = "tab") -> Tab:
    tab = await world.tab(name)
    tab.tools = {NAME: "digest"}
    return tab


@pytest.mark.parametrize("shared", [False, True])
async def test_a_call_is_shown_to_one_connection_that_offers_its_tool(*, shared: bool) -> None:
    """Of two with one id, as of a page that comes back before it is missed."""
    world = World(shared=shared)
    without = await world.tab("tab")
    first, second = await page(world), await page(world)
    elsewhere = await page(world, "another")
    question, _ = await called(world)
    told = [tab.told(question) for tab in (without, first, second, elsewhere)]
    assert told == [[], ["offer"], [], []]
    await world.router.detach(first)
    assert second.told(question) == ["offer"]
    await world.router.detach(second)
    assert without.told(question) == []


async def test_a_call_that_takes_long_stays_where_it_is() -> None:
    """A question that nobody looks at goes to the next one; a call would be run twice."""
    world = World()
    first, second = await page(world), await page(world)
    question, _ = await called(world)
    assert world.router.dispatch.pass_on_unseen(world.now + 1_000) == []
    assert (first.told(question), second.told(question)) == (["offer"], [])


async def test_a_page_that_comes_back_is_called_when_it_offers_the_tool_again() -> None:
    world = World(shared=True)
    before = await page(world)
    question, _ = await called(world)
    await world.router.detach(before)
    after = await world.tab("tab")
    assert after.told(question) == []
    after.tools = {NAME: "digest"}
    await world.router.catch_up(after)
    assert after.told(question) == ["offer"]


async def test_who_cannot_show_a_call_does_not_take_it_from_who_can() -> None:
    """It would be told free again at once, and taken by the next who cannot."""
    world = World(shared=True)
    question, _ = await called(world)
    world.served.away.add("hold")
    world.served.away.add("release")
    without = await world.tab("tab")
    world.upkeep.question_opened(question)
    assert (without in world.router.behind, without.told(question)) == (False, [])


async def test_the_first_result_counts() -> None:
    world = World()
    calls = ToolCalls(world.router, Bus())
    tab = await page(world)
    question, caller = await called(world)
    assert (await calls.finish(tab, question.id, RESULT)).status == "accepted"
    assert (await calls.finish(tab, question.id, {"content": []})).status == "duplicate"
    (outcome,) = caller.outcomes
    assert (outcome.state, outcome.by) == (State.ANSWERED, "tab")
    assert msgspec.json.decode(outcome.answer) == RESULT


async def test_a_result_is_the_frontends_own_to_give() -> None:
    world = World()
    calls = ToolCalls(world.router, Bus())
    await page(world)
    question, caller = await called(world)
    for stranger in (await page(world, "other"), await world.tab("tab", tenant="other")):
        assert (await calls.finish(stranger, question.id, RESULT)).status == "unknown"
    assert (await calls.finish(await page(world), "f" * 32, RESULT)).status == "unknown"
    assert caller.outcomes == []


async def test_a_question_is_not_ended_by_a_tools_result_nor_a_call_by_an_answer() -> None:
    world = World()
    calls = ToolCalls(world.router, Bus())
    tab = await page(world)
    question, _ = await world.ask()
    assert (await calls.finish(tab, question.id, RESULT)).status == "unknown"
    call, _ = await called(world)
    assert (await world.router.answer(tab, call.id, answer="yes")).status == "invalid"


async def test_a_result_that_cannot_be_passed_on_ends_the_call_and_says_so_to_both() -> None:
    world = World()
    calls = ToolCalls(world.router, Bus())
    tab = await page(world)
    question, caller = await called(world, schema={"type": "object", "required": ["state"]})
    ack = await calls.finish(tab, question.id, {"structuredContent": {}})
    assert ack.status == "invalid"
    assert '"state" is a required property' in ack.message
    assert '"isError":true' in caller.outcomes[0].answer


async def test_progress_goes_to_who_waits_here_or_to_the_others_and_not_too_often() -> None:
    world = World(shared=True)
    bus = Bus()
    calls = ToolCalls(world.router, bus)
    tab = await page(world)
    question, _ = await called(world)
    heard: list[PageProgress] = []
    calls.listeners[question.id] = heard.append
    calls.progress(tab, question.id, PageProgress(1, 2, "x" * 2_000))
    calls.progress(tab, question.id, PageProgress(2, 2))
    assert heard == [PageProgress(1, 2, "x" * 1_000)]
    del calls.listeners[question.id]
    world.now += 1
    calls.progress(tab, question.id, PageProgress(2, 2, "end"))
    assert bus.said == [("acme", question.id, b'[2,2,"end"]')]
    calls.progress(await page(world, "other"), question.id, PageProgress(9))
    ordinary, _ = await world.ask()
    calls.progress(tab, ordinary.id, PageProgress(9))
    assert len(bus.said) == 1


async def test_progress_of_other_instances_is_heard_by_its_own_tenant() -> None:
    world = World(shared=True)
    calls = ToolCalls(world.router, Bus())
    question, _ = await called(world)
    heard: list[PageProgress] = []
    calls.listeners[question.id] = heard.append
    calls.progressed("other", question.id, b'[1,2,"x"]')
    calls.progressed("acme", "f" * 32, b'[1,2,"x"]')
    calls.progressed("acme", question.id, b'{"another": "version"}')
    assert heard == []
    calls.progressed("acme", question.id, b'[1.0,null,"x"]')
    assert heard == [PageProgress(1.0, None, "x")]


async def test_only_its_caller_takes_a_call_back_and_only_a_call() -> None:
    world = World()
    calls = ToolCalls(world.router, Bus())
    tab = await page(world)
    call, caller = await called(world)
    ordinary, asker = await world.ask()
    stranger = msgspec.structs.replace(AGENT, subject="eve")
    admin = msgspec.structs.replace(stranger, scopes=SCOPES)
    others = ((stranger, call.id), (admin, call.id), (AGENT, ordinary.id), (AGENT, "0" * 32))
    for principal, question_id in others:
        await calls.cancel(principal, question_id, "because", "me")
    assert caller.outcomes == asker.outcomes == []
    await calls.cancel(AGENT, call.id, "because", "me")
    assert (caller.outcomes[0].state, caller.outcomes[0].reason) == (State.CANCELLED, "because")
    assert tab.told(call) == ["offer", "cancelled"]
    await calls.cancel(AGENT, call.id, "again", "me")
    assert len(caller.outcomes) == 1


def test_the_page_that_is_meant_is_chosen_or_ones_own_or_the_newest() -> None:
    definition = definition_of("shop", {"name": "a", "description": "x"}, 999)
    offers = tuple(
        ToolOffer(f"c{number}", f"tab-{number}", "acme", user, "here", float(number), {})
        for number, user in ((3, "bob"), (2, "ann"), (1, "bob"))
    )
    tool = PageTool(NAME, Described(definition.digest, definition.data), offers)

    def page(subject: str = "agent", **target: str) -> str | None:
        found = chosen(tool, Target(**target), subject)
        return None if found is None else found.frontend_id

    assert page() == "tab-3"
    assert page("ann") == "tab-2"
    assert page("ann", user="bob") == "tab-3"
    assert page(frontend_id="tab-1") == "tab-1"
    assert page(frontend_id="tab-1", user="ann") is None
    assert page(user="eve") is None
