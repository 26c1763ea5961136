"""Questions that nobody waits for any more, and a store that is away just then."""

import trio

import gateway.withdrawals
from gateway.withdrawals import Withdrawal, Withdrawals
from pool.workers import Settings, Workers, to_worker
from session.errors import StoreUnavailableError
from session.model import Principal, Question
from tests.gateway.routing import AGENT, World, fail_loudly


async def swept(world: World, *, until_none_waits: bool = True) -> None:
    """Let the upkeep have its turn, with a worker for what has to wait."""
    async with trio.open_nursery() as nursery:
        await nursery.start(world.upkeep.run)
        while until_none_waits and world.router.withdrawals.waiting:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def withdrawal_of(world: World, question: Question) -> Withdrawal:
    return Withdrawal(world.router.cancel, AGENT, question.id, "left", "agent")


async def test_what_cannot_be_taken_back_is_taken_back_once_the_store_is_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(shared=True)
    tab = await world.tab("tab")
    question, _ = await world.ask()
    workers = Workers(Settings(), on_failure=fail_loudly)
    for missing in ("find", "settle"):
        world.served.away = {missing}
        world.router.withdrawals.waiting.clear()
        world.router.withdrawals.start(workers, withdrawal_of(world, question))
        assert len(world.router.withdrawals.waiting) == 1
    world.served.away |= {"sweep"}
    await swept(world, until_none_waits=False)
    # It is not tried while it is known to be in vain.
    assert (len(world.router.withdrawals.waiting), tab.told(question)) == (1, ["offer"])
    world.served.away = {"find"}
    await swept(world, until_none_waits=False)
    assert len(world.router.withdrawals.waiting) == 1
    world.served.away = set()
    await swept(world)
    assert tab.told(question) == ["offer", "cancelled"]
    assert world.settled == ["cancelled"]


async def test_without_a_worker_it_is_taken_back_later() -> None:
    withdrawals = Withdrawals()
    workers = Workers(Settings(queue=1, queue_per_lane=1), on_failure=fail_loudly)

    async def wait(_principal: Principal, _id: str, _reason: str, _by: str) -> None:
        await to_worker()

    for number in range(3):
        withdrawals.start(workers, Withdrawal(wait, AGENT, str(number), "", ""))
    assert [each.question_id for each in withdrawals.waiting] == ["1", "2"]


async def test_a_bounded_number_waits_and_the_rest_is_left_to_its_deadline() -> None:
    withdrawals = Withdrawals()

    async def away(_principal: Principal, _id: str, _reason: str, _by: str) -> None:
        raise StoreUnavailableError

    for number in range(gateway.withdrawals.REMEMBERED + 3):
        await withdrawals.take_back(Withdrawal(away, AGENT, str(number), "", ""))
    assert len(withdrawals.waiting) == gateway.withdrawals.REMEMBERED
    assert withdrawals.waiting[0].question_id == "0"
    assert withdrawals.given_up == 3
