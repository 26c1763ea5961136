"""Questions that nobody here is shown, and a store that is away just then."""

import pytest

import gateway.releases
from gateway.releases import REMEMBERED
from pool.workers import Settings, Workers
from session.model import Delivery, Question
from tests.gateway.routing import World, fail_loudly


class Noting:
    """What is done with steps: as many are run as there is room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.workers = Workers(Settings(), on_failure=fail_loudly)

    def start(self, tenant: str, step: object) -> bool:
        self.room -= 1
        if self.room < 0:
            step.close()  # type: ignore[attr-defined]  # a coroutine
            return False
        self.workers.start(tenant, step)  # type: ignore[arg-type]  # a coroutine
        return True


@pytest.fixture
def world() -> World:
    return World(shared=True)


def released_of(world: World) -> list[str]:
    """Return where the ids of those will be of which others are told."""
    released: list[str] = []
    release = world.store.release

    async def note(question: Question) -> None:
        released.append(question.id)
        await release(question)

    world.store.release = note  # type: ignore[method-assign]  # as if it were another store
    return released


async def left(world: World, count: int) -> list[str]:
    """Ask, and leave with what was asked while the store is away."""
    tab = await world.tab("1")
    questions = [(await world.ask(delivery=Delivery.ONE))[0] for _ in range(count)]
    world.served.away = {"release"}
    await world.router.detach(tab)
    world.served.away = set()
    return [question.id for question in questions]


async def test_what_others_could_not_be_told_they_are_told_later(world: World) -> None:
    released = released_of(world)
    ids = await left(world, 3)
    assert ([each.id for each in world.router.releases.waiting], released) == (ids, [])
    world.router.releases.make_up(Noting(2).start)
    assert ([each.id for each in world.router.releases.waiting], released) == (ids[2:], ids[:2])
    world.router.releases.make_up(Noting(2).start)
    assert (len(world.router.releases.waiting), released) == (0, ids)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_question_that_is_let_go_of_is_known_here_while_somebody_waits(
    world: World, *, waits: bool
) -> None:
    released = released_of(world)
    tab = await world.tab("1")
    question, caller = await world.ask(delivery=Delivery.ONE)
    offer = tab.offers[question.id]
    if not waits:
        world.router.forget(question.id, caller)
    world.router.dispatch.take_back(offer)
    await world.router.releases.let_go(offer)
    assert (released, offer.held) == ([question.id], False)
    assert (question.id in world.router.offers) is waits


async def test_others_are_not_told_of_what_somebody_here_is_shown_again(world: World) -> None:
    released = released_of(world)
    ids = await left(world, 1)
    tab = await world.tab("2")
    assert list(tab.offers) == ids
    world.router.releases.make_up(Noting(1).start)
    assert (len(world.router.releases.waiting), released) == (0, [])


async def test_so_many_are_made_up_for_at_a_time(world: World) -> None:
    released = released_of(world)
    ids = await left(world, gateway.releases._PER_SWEEP + 1)
    world.router.releases.make_up(Noting(REMEMBERED).start)
    assert released == ids[:-1]
