"""Time as it passes for programs: none of it passes while the whole machine stands still.

It is counted in ticks, and a tick is one however late it comes: where a test is kept from
running, so is what it waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

_TICK_SECONDS: Final = 0.05


@asynccontextmanager
async def passing() -> AsyncIterator[Callable[[], float]]:
    """Give a function that returns how many seconds have passed since this began."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(_TICK_SECONDS)
            ticks += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        yield lambda: ticks * _TICK_SECONDS
        nursery.cancel_scope.cancel()
