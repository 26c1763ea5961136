"""Several stores side by side for tests that are not asynchronous themselves.

Hypothesis's machines call one rule after the other; the stores live meanwhile in Trio, in
a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import trio

from session import MemorySettings, MemoryStore, Store
from tests.contract.conftest import Time
from tests.session.redis.instances import PATIENCE, instances

T = TypeVar("T")


class Stage:
    """The stores by their names, and a way to them."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_open = threading.Event()
        self._done: trio.Event | None = None
        self.stores: dict[str, Store] = {}
        self.failure: BaseException | None = None

    def each(self, step: Callable[[Store], Awaitable[T]]) -> dict[str, T]:
        """Do a step in every store; return what came of it."""

        async def in_all() -> dict[str, T]:
            with trio.fail_after(PATIENCE):
                return {name: await step(store) for name, store in self.stores.items()}

        return trio.from_thread.run(in_all, trio_token=self._token)

    async def run(self) -> None:
        self._done = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with contextlib.AsyncExitStack() as stack:
                self.stores["memory"] = MemoryStore(MemorySettings(), Time(is_real=True))
                for name, url in self._urls.items():
                    self.stores[name] = await stack.enter_async_context(_shared(url))
                self._is_open.set()
                await self._done.wait()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._is_open.set()

    def wait_until_open(self) -> None:
        assert self._is_open.wait(PATIENCE)
        assert self.failure is None, self.failure

    def close(self) -> None:
        if self._done is not None and self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._done.set)


@contextlib.asynccontextmanager
async def _shared(url: str) -> AsyncIterator[Store]:
    async with instances(url) as open_instance:
        yield (await open_instance()).store


@contextlib.contextmanager
def stage(urls: Mapping[str, str]) -> Iterator[Stage]:
    """Run a memory store and one on each Redis, empty, until the context ends."""
    open_stage = Stage(urls)
    thread = threading.Thread(target=trio.run, args=(open_stage.run,))
    thread.start()
    try:
        open_stage.wait_until_open()
        yield open_stage
    finally:
        open_stage.close()
        thread.join()
