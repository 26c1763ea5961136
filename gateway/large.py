"""Large messages: read and written in steps, one at a time, while everybody else is served.

What one step does is bounded (`session.steps`), and others have their turn after each.
Messages that come are read one after the other, and so are those written that go, and what is
written into a shared store and read there: what that takes in memory is bounded by one of each,
and by what waits. Too many to be read are refused; too much to be written is put off by whoever
wants it written, and the store is then one that cannot be used now. Tenants take turns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, TypeVar, final

import msgspec
import trio

from pool.promises import Promise
from pool.settings import setting
from pool.workers import QueueFullError, Workers, to_worker
from pool.workers import Settings as WorkersSettings
from session.errors import StoreUnavailableError
from session.steps import Steps

T = TypeVar("T")
# What waits to be written is held by questions and calls, which are bounded by themselves; and
# so is what waits to be stored.
_WRITING: Final = 10_000
_NOBODYS: Final = "(streams)"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How much may wait."""

    waiting: int = setting(
        32,
        "Messages of more than 1 MiB that may wait to be read, half of them one tenant's; more "
        "are refused.",
        unit="messages",
        minimum=2,
    )


@final
class Large:
    """The queues of a process."""

    def __init__(self, settings: Settings, on_failure: Callable[[str, Exception], None]) -> None:
        #: Jobs that read a message.
        self.reading = _one_by_one(settings.waiting, settings.waiting // 2, on_failure)
        #: Jobs that write one.
        self.writing = _one_by_one(_WRITING, _WRITING // 2, on_failure)
        #: Those that do so for the store: others may wait for it, and it for nobody.
        self.storing = _one_by_one(_WRITING, _WRITING // 2, on_failure)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do the jobs until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.reading.run)
            await nursery.start(self.writing.run)
            await nursery.start(self.storing.run)
            task_status.started()

    def store(self, tenant: str, steps: Steps[T]) -> Promise[T]:
        """Do work of the store's; see `session.steps.Stepper`. Who waits for it has no worker."""
        promise: Promise[T] = Promise()
        try:
            self.storing.start(tenant, _keep(promise, steps))
        except QueueFullError:
            promise.fail(StoreUnavailableError("too many large values wait to be read or written"))
        return promise

    def beside(self, steps: Steps[None]) -> None:
        """Do work that nobody waits for, and that is no one tenant's.

        Raises:
            QueueFullError: too much waits; nothing was done.
        """
        self.writing.start(_NOBODYS, _done(steps))

    async def drain(self) -> None:
        """Wait until nothing is left to be done."""
        await self.reading.drain()
        await self.writing.drain()
        await self.storing.drain()


def _one_by_one(
    waiting: int, waiting_per_lane: int, on_failure: Callable[[str, Exception], None]
) -> Workers:
    settings = WorkersSettings(
        minimum=1, maximum=1, queue=waiting, queue_per_lane=max(1, waiting_per_lane)
    )
    return Workers(settings, on_failure=on_failure)


async def in_steps(steps: Steps[T]) -> T:
    """Do some work; everybody else has a turn after each of its steps.

    Nothing is left of it when it is cancelled.
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await trio.lowlevel.checkpoint()


async def _done(steps: Steps[None]) -> None:
    await to_worker()
    await in_steps(steps)


async def _keep(promise: Promise[T], steps: Steps[T]) -> None:
    await to_worker()
    if promise.done:
        # Nobody waits for it any more.
        return
    try:
        promise.set(await in_steps(steps))
    except (msgspec.DecodeError, ValueError) as error:
        promise.fail(error)
    finally:
        # Whatever else went wrong is the job boundary's to log; once it is done nothing happens.
        promise.fail(StoreUnavailableError("a large value could not be read or written"))
