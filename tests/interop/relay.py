"""A line between a caller and the gateway that can be listened to, and cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Relay:
    """Carries bytes both ways until it is cut."""

    def __init__(self, target: int, port: int) -> None:
        self._target = target
        self.port = port
        self._lines: set[trio.CancelScope] = set()
        self._carried = b""
        self._changed = trio.Event()

    async def carry(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        with trio.CancelScope() as scope:
            self._lines.add(scope)
            try:
                async with (
                    await trio.open_tcp_stream("127.0.0.1", self._target) as far,
                    stream,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._pump, stream, far, nursery.cancel_scope)
                    nursery.start_soon(self._pump, far, stream, nursery.cancel_scope)
            finally:
                self._lines.discard(scope)

    async def wait_until_carried(self, words: bytes) -> None:
        """Return once ``words`` have passed, in either direction."""
        while words not in self._carried:
            await self._changed.wait()

    def turn_to(self, target: int) -> None:
        """Carry new connections to another port; those there are stay."""
        self._target = target

    def cut(self) -> None:
        """Break every connection that is open now; new ones can be made."""
        for line in self._lines:
            line.cancel()

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, end: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await target.send_all(data)
                self._carried += bytes(data)
                self._changed.set()
                self._changed = trio.Event()
        except trio.BrokenResourceError:
            pass
        end.cancel()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    """Open a relay to a port of this machine."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay = Relay(port, listeners[0].socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, relay.carry, listeners)
        yield relay
        nursery.cancel_scope.cancel()
