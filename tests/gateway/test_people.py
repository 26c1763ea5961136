"""Who is connected, and telling them something."""

import pytest

from gateway.offers import Notification
from session.model import (
    Audience,
    Principal,
)
from tests.gateway.routing import AGENT, World


@pytest.fixture
def world() -> World:
    return World()


async def test_another_tenant_sees_nothing_of_it(world: World) -> None:
    stranger = await world.tab("x", tenant="other")
    question, _ = await world.ask()
    outsider = Principal("other", "agent")
    assert stranger.log == []
    assert (await world.router.answer(stranger, question.id, answer="a")).status == "unknown"
    assert (await world.router.reject(stranger, question.id, "no")).status == "unknown"
    assert await world.router.collect(outsider, question.id, None) is None
    assert await world.router.cancel(outsider, question.id, "mine", "x") is None
    assert list(await world.router.people.frontends(Principal("acme", "agent"))) == []


async def test_the_caller_is_told_how_many_are_online(world: World) -> None:
    for number in range(3):
        await world.tab(str(number))
    assert await world.router.people.online(AGENT.tenant) == 3


async def test_a_notification_reaches_its_audience_once(world: World) -> None:
    tabs = [await world.tab("1", user="ann"), await world.tab("2", user="bob")]
    told = await world.router.people.notify(
        AGENT, Notification("hello", audience=Audience("user", "ann"))
    )
    assert told == 1
    assert [tab.log for tab in tabs] == [[("notify", "hello")], []]
