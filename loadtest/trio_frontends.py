"""People of another make: frontends on the plain trio-websocket client, for a second opinion.

Nothing here is fast, and nothing is shared with `loadtest.frontends`: every
message is decoded whole. A process of its own, like `loadtest.worker`, that
asks nothing and answers until it is told to stop.
"""

from __future__ import annotations

import contextlib
import json
import random  # noqa: TID251 - how long somebody thinks
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket

from loadtest import orders, plans, thinking
from loadtest.handshakes import PeerError
from loadtest.orders import Begin, Connected, Done, Go, Joining, Order, Part, Stop
from loadtest.plans import Plan
from loadtest.result import Truth

_AT_ONCE: Final = 64
_LONGEST_PAUSE_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 0.05
_SLICE_SECONDS: Final = 1.0
#: How often it is told how connecting goes.
_JOINING_SECONDS: Final = 0.5


class People:
    """One process's part of the people."""

    def __init__(self, begin: Begin, control: trio.SocketStream) -> None:
        self._plan: Plan = begin.plan
        self._numbers = begin.plan.frontends_of(begin.part)
        self._connect_seconds = begin.connect_seconds
        self._control = control
        self._thinking = thinking.parse(begin.plan.scenario.think)
        self._chance = random.Random(f"{begin.plan.wishes.seed} {begin.part}")
        self._dialling = trio.CapacityLimiter(_AT_ONCE)
        self._missing = set(self._numbers)
        self._joined = trio.Event()
        self._last_refusal = ""
        self._refused_handshakes = 0
        self._frames = 0
        self._lag = 0.0
        self._truth = Truth()

    async def run(self) -> None:
        """Connect, answer, tell; until the coordinator is gone."""
        async with trio.open_nursery() as nursery:
            for number in self._numbers:
                nursery.start_soon(self._live, number)
            if not self._numbers:
                self._joined.set()
            with trio.move_on_after(self._connect_seconds):
                await self._wait_for_all()
            await self._tell(Connected(*self._attendance()))
            with contextlib.suppress(trio.BrokenResourceError):
                await self._obey(nursery)
            nursery.cancel_scope.cancel()

    def _attendance(self) -> tuple[int, int, int, str]:
        """Return how many are connected, and are not; how many attempts failed, and why."""
        missing = len(self._missing)
        there = len(self._numbers) - missing
        return there, missing, self._refused_handshakes, self._last_refusal

    async def _wait_for_all(self) -> None:
        """Return when everybody is connected, or nobody listens any more."""
        while not self._joined.is_set():
            with trio.move_on_after(_JOINING_SECONDS):
                await self._joined.wait()
            try:
                await self._control.send_all(orders.encode(Joining(*self._attendance())))
            except trio.BrokenResourceError:
                return

    async def _obey(self, nursery: trio.Nursery) -> None:
        buffer = b""
        async for data in self._control:
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                await self._follow(orders.order(line), nursery)

    async def _follow(self, order: Order, nursery: trio.Nursery) -> None:
        if isinstance(order, Go):
            nursery.start_soon(self._report)
            nursery.start_soon(self._watch)
        elif isinstance(order, Stop):
            await self._tell(
                Done(
                    truth=self._truth,
                    histogram="",
                    refused_handshakes=self._refused_handshakes,
                    asked_again=0,
                    unasked=0,
                    cpu=time.process_time(),
                )
            )

    async def _live(self, number: int) -> None:
        """Be one person, whatever happens to the connection."""
        while True:
            try:
                await self._connected(number)
            except* ConnectionClosed as closed:
                # A frontend and its thoughts find out together; that is one refusal.
                why = _reason(closed)
                self._truth.refused[why] = self._truth.refused.get(why, 0) + 1
            except* (OSError, HandshakeError, PeerError) as refused:
                self._refused_handshakes += 1
                self._last_refusal = str(refused.exceptions[0])
            await trio.sleep(self._chance.uniform(0, _LONGEST_PAUSE_SECONDS))

    async def _connected(self, number: int) -> None:
        place = self._plan.frontend_route(number).place
        async with contextlib.AsyncExitStack() as stack:
            async with self._dialling:
                connection = await stack.enter_async_context(
                    open_websocket(
                        place.host,
                        place.port,
                        place.path,
                        use_ssl=False,
                        extra_headers=[(b"Authorization", f"Bearer {place.token}".encode())]
                        if place.token
                        else None,
                    )
                )
                await self._greet(connection, number)
            if number in self._missing:
                self._missing.discard(number)
                if not self._missing:
                    self._joined.set()
            await self._answer_all(connection, number)

    async def _greet(self, connection: WebSocketConnection, number: int) -> None:
        await connection.send_message(plans.hello(self._plan, number).decode())
        reply = json.loads(await connection.get_message())
        if reply.get("status") != "connected":
            raise PeerError(f"no connect_ack: {reply!r}")

    async def _answer_all(self, connection: WebSocketConnection, number: int) -> None:
        turn = self._plan.turn(number)
        async with trio.open_nursery() as thoughts:
            while True:
                message = json.loads(await connection.get_message())
                self._frames += 1
                if "question" in message and message["question"].endswith(turn):
                    thoughts.start_soon(self._answer, connection, message)

    async def _answer(self, connection: WebSocketConnection, question: dict[str, Any]) -> None:
        request_id = question["request_id"]
        shown_at = time.perf_counter()
        if self._plan.wishes.protocol == "full":
            await connection.send_message(json.dumps({"type": "seen", "request_id": request_id}))
        text = question["question"]
        if self._thinking.mean:
            longest = self._plan.longest_thought
            await trio.sleep(min(self._thinking.draw(self._chance), longest))
            text += f" ~{(time.perf_counter() - shown_at) * 1e6:.0f}"
        if self._plan.scenario.payload:
            text += " " + "x" * self._plan.scenario.payload
        answer = {"type": "user_response", "request_id": request_id, "answer": text}
        await connection.send_message(json.dumps(answer))

    async def _watch(self) -> None:
        """See by how much this loop is late."""
        while True:
            due = time.perf_counter() + _TICK_SECONDS
            await trio.sleep(_TICK_SECONDS)
            self._lag = max(self._lag, time.perf_counter() - due)

    async def _report(self) -> None:
        begun = before = time.perf_counter()
        cpu, frames, index = time.process_time(), 0, 0
        self._frames = 0
        while True:
            await trio.sleep(max(0.0, begun + (index + 1) * _SLICE_SECONDS - time.perf_counter()))
            now, used, seen = time.perf_counter(), time.process_time(), self._frames
            await self._tell(
                Part(
                    index=index,
                    at=before - begun,
                    seconds=now - before,
                    asked=0,
                    answered=0,
                    failed=0,
                    in_flight=0,
                    frames=seen - frames,
                    lag=self._lag * 1000,
                    cpu=(used - cpu) / (now - before),
                    histogram="",
                )
            )
            before, cpu, frames, index = now, used, seen, index + 1
            self._lag = 0.0

    async def _tell(self, message: orders.Told) -> None:
        # Who does not listen any more is about to end this process.
        with contextlib.suppress(trio.BrokenResourceError):
            await self._control.send_all(orders.encode(message))


def _reason(closed: BaseExceptionGroup[ConnectionClosed]) -> str:
    first = next(each for each in _leaves(closed))
    return f"closed with {first.reason.code}" if first.reason else "the server closed"


def _leaves(group: BaseExceptionGroup[ConnectionClosed]) -> Iterator[ConnectionClosed]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


async def _serve(control: socket.socket) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(control))
    data = b""
    while b"\n" not in data:
        data += await stream.receive_some()
    begin = orders.order(data.partition(b"\n")[0])
    assert isinstance(begin, Begin)
    await People(begin, stream).run()


def main() -> None:
    """Be a process of the load."""
    # Ctrl-C is the coordinator's: it tells everybody to stop, and hears what came of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trio.run(_serve, socket.socket(fileno=sys.stdin.fileno()))


if __name__ == "__main__":
    main()
