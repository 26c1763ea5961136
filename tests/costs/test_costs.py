"""What a question and a message cost, counted: work that can be counted is not timed.

A whole gateway runs beside its peers in one Trio run. Bounds are what was counted
when they were written, and a little more where Python versions differ: whoever
passes one has added work to every question, and raises it on purpose or not at all.
"""

from __future__ import annotations

import collections
import gc
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
import trio
import trio.testing
from trio.abc import Instrument

import gateway
from gateway.app import Gateway
from gateway.mcp.settings import Settings as McpSettings
from gateway.settings import Settings
from loadtest import requests
from loadtest.places import mcp_place, ws_place
from session import MemorySettings

_ROOT: Final = str(Path(gateway.__file__).parents[1])
_OURS: Final = tuple(f"{_ROOT}/{name}/" for name in ("gateway", "pool", "session"))
INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": requests.HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "costs", "version": "1"},
    },
}
_ID: Final = re.compile(rb'"request_id":"([^"]+)"')
# Enough that what happens now and then shows as a fraction only.
_TIMES: Final = 50


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    """Undo what the gateway does to the process that it takes for its own."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


class Tasks(Instrument):
    """How many tasks were started."""

    def __init__(self) -> None:
        self.spawned = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.spawned += 1


class Peers:
    """A caller and a frontend of a gateway, each with its socket."""

    def __init__(
        self, served: Gateway, caller: trio.SocketStream, frontend: trio.SocketStream
    ) -> None:
        self.served = served
        self.caller = caller
        self.frontend = frontend
        self.request = b""

    async def ask(self) -> None:
        """Ask one question and answer it, each side when the other's bytes are there."""
        await self.caller.send_all(self.request)
        found = _ID.search(await self.frontend.receive_some())
        assert found is not None
        await self.frontend.send_all(requests.answer(found[1], b"Blue"))
        assert b'"status":"accepted"' in await self.frontend.receive_some()
        assert b"Blue" in await self.caller.receive_some()

    async def ask_in_vain(self) -> None:
        """Ask one question, and hear that there is no room for it."""
        await self.caller.send_all(self.request)
        assert b'"isError":true' in await self.caller.receive_some()

    async def say(self, count: int) -> None:
        """Send so many messages in one piece, and wait for their replies."""
        await self.frontend.send_all(requests.answer(b"nobody-asked", b"Blue") * count)
        replies = 0
        while replies < count:
            replies += (await self.frontend.receive_some()).count(b'"unknown"')


@asynccontextmanager
async def served_peers(pending: int = 100) -> AsyncIterator[Peers]:
    """A gateway with room for few questions, and its two peers, introduced and warm."""
    settings = Settings(
        ws_port=0,
        mcp_port=0,
        monitoring_port=0,
        delivery="one",
        memory=MemorySettings(answers=10, pending=pending),
        # However slow the machine is, nobody waits on a stream here.
        mcp=McpSettings(json_seconds=30),
    )
    served = Gateway(settings)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.run)
            while not served.is_ready:
                await trio.lowlevel.checkpoint()
            ws_port, mcp_port = (served.ports[name] for name in ("ws", "mcp"))
            async with (
                await trio.open_tcp_stream("127.0.0.1", mcp_port) as caller,
                await trio.open_tcp_stream("127.0.0.1", ws_port) as frontend,
            ):
                peers = Peers(served, caller, frontend)
                await _introduce(peers, ws_port, mcp_port)
                for _ in range(_TIMES):
                    await peers.ask()
                yield peers
                nursery.cancel_scope.cancel()


async def _introduce(peers: Peers, ws_port: int, mcp_port: int) -> None:
    await peers.frontend.send_all(requests.upgrade(ws_place(ws_port)))
    assert b" 101 " in await peers.frontend.receive_some()
    await peers.frontend.send_all(requests.frame(b'{"type":"connect","frontend_id":"f"}'))
    assert b"connect_ack" in await peers.frontend.receive_some()
    await peers.caller.send_all(requests.post(mcp_place(mcp_port), INITIALIZE, {}))
    session = re.search(rb"Mcp-Session-Id: ([-\w]+)", await peers.caller.receive_some())
    assert session is not None
    template = requests.ask_template(mcp_place(mcp_port), requests.HANDSHAKE, session[1])
    peers.request = template.fill(b"%d" % requests.FIRST_TOKEN)


@contextmanager
def counted_calls() -> Iterator[dict[str, int]]:
    """Count the calls of our functions, and which of them were called."""
    calls: dict[str, int] = {}

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_OURS):
            calls[code.co_qualname] = calls.get(code.co_qualname, 0) + 1

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def each_time(calls: dict[str, int]) -> int:
    """Return how many of them came with each of `_TIMES`; what time brings comes with few."""
    return sum(count // _TIMES for count in calls.values())


async def each(peers: Peers, what: Callable[[Peers], Any], read: Callable[[], int]) -> float:
    """Return by how much ``read`` grows each time that ``what`` is done."""
    before = read()
    for _ in range(_TIMES):
        await what(peers)
    return (read() - before) / _TIMES


async def test_a_round_trip_takes_two_reads_and_three_sends() -> None:
    async with served_peers() as peers:
        now = peers.served.connections.statistics
        assert await each(peers, Peers.ask, lambda: now().reads) == 2
        # The question, its acknowledgement, the result.
        assert await each(peers, Peers.ask, lambda: now().sends) == 3
        assert await each(peers, Peers.ask, lambda: now().turns) <= 2


async def test_a_message_takes_a_read_and_a_send_and_so_do_many() -> None:
    async with served_peers() as peers:
        now = peers.served.connections.statistics
        for count in (1, 32):

            async def say(peers: Peers, count: int = count) -> None:
                await peers.say(count)

            assert await each(peers, say, lambda: now().reads) == 1
            assert await each(peers, say, lambda: now().sends) == 1
            assert await each(peers, say, lambda: now().turns) <= 1


async def test_nothing_on_the_way_is_a_task_and_no_worker_is_woken() -> None:
    tasks = Tasks()
    async with served_peers() as peers:
        trio.lowlevel.add_instrument(tasks)
        try:
            for _ in range(_TIMES):
                await peers.ask()
                await peers.say(3)
        finally:
            trio.lowlevel.remove_instrument(tasks)
        assert tasks.spawned == 0
        workers = peers.served.workers.statistics()
        assert (workers.finished, workers.failed) == (0, 0)


async def test_calls_of_a_round_trip_and_of_a_message() -> None:
    async with served_peers() as peers:
        with counted_calls() as calls:
            for _ in range(_TIMES):
                await peers.ask()
        assert each_time(calls) <= 181, calls
        with counted_calls() as calls:
            await peers.say(_TIMES)
        assert each_time(calls) <= 25, calls


async def test_refusing_as_many_again_leaves_four_fifths_of_the_goodput() -> None:
    """At twice the limit every other caller is refused (E11).

    Who is refused is told to come back in a second. Here everybody comes much sooner: when each
    of the others has had five answers.
    """
    async with served_peers(pending=1) as peers:
        now = peers.served.connections.statistics
        with counted_calls() as calls:
            for _ in range(_TIMES):
                await peers.ask()
        answering = each_time(calls)
        # The one that there is room for waits, and another one asks.
        await peers.caller.send_all(peers.request)
        assert _ID.search(await peers.frontend.receive_some())
        async with await trio.open_tcp_stream("127.0.0.1", peers.served.ports["mcp"]) as caller:
            another = Peers(peers.served, caller, peers.frontend)
            another.request = peers.request
            assert await each(another, Peers.ask_in_vain, lambda: now().reads) == 1
            assert await each(another, Peers.ask_in_vain, lambda: now().sends) == 1
            with counted_calls() as calls:
                for _ in range(_TIMES):
                    await another.ask_in_vain()
        refusing = each_time(calls)
        assert refusing <= 93, calls
        assert 5 * answering / (5 * answering + refusing) >= 0.8


async def test_a_question_leaves_nothing_but_its_answer(
    mock_clock: trio.testing.MockClock,
) -> None:
    """What is kept is bounded, so memory stands still from then on."""
    # Time stands still: each tenth of a second would have its own place for deadlines.
    del mock_clock
    async with served_peers() as peers:
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(10 * _TIMES):
            await peers.ask()
        gc.collect()
        # A growing table or a cache that fills is allowed; a block each is not.
        assert sys.getallocatedblocks() - before < 2 * _TIMES


async def test_who_leaves_leaves_nothing_for_the_collector() -> None:
    """A collection stalls everybody: with many connections for longer than one may."""
    async with served_peers() as peers:
        ws_port, mcp_port = (peers.served.ports[name] for name in ("ws", "mcp"))
        open_before = peers.served.connections.statistics().open

        async def come_and_go(times: int) -> None:
            for _ in range(times):
                async with (
                    await trio.open_tcp_stream("127.0.0.1", mcp_port) as caller,
                    await trio.open_tcp_stream("127.0.0.1", ws_port) as frontend,
                ):
                    await _introduce(Peers(peers.served, caller, frontend), ws_port, mcp_port)
                while peers.served.connections.statistics().open > open_before:
                    await trio.lowlevel.checkpoint()

        await come_and_go(5)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await come_and_go(_TIMES)
            gc.collect()
            ours = [
                type(each).__qualname__
                for each in gc.garbage
                if type(each).__module__.startswith(("gateway", "pool", "session", "websockets"))
            ]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert collections.Counter(ours) == {}
