"""Subscribers to a resource, in both eras, as clients hold them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, final

from tests.live.caller import HANDSHAKE, Caller, Response, caller_at, open_session

CONNECTED = "frontends://connected"
UPDATED = "notifications/resources/updated"
ERAS = ("handshake", "modern")


@final
class Subscriber:
    """A stream on which changes of a resource are told."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def update(self) -> str:
        """Return the URI of the next resource that has changed."""
        while True:
            message = await self.message()
            if message["method"] == UPDATED:
                uri: str = message["params"]["uri"]
                return uri

    async def message(self) -> dict[str, Any]:
        """Return the next message."""
        while True:
            _, message = await self._response.event()
            if message:
                return message


@asynccontextmanager
async def subscribed(
    port: int, uri: str, era: str, *, credential: str = ""
) -> AsyncIterator[Subscriber]:
    """Subscribe to a resource; whoever enters is subscribed already."""
    if era == "modern":
        async with caller_at(port, credential=credential) as caller:
            wanted = {"notifications": {"resourceSubscriptions": [uri]}}
            await caller.send("subscriptions/listen", wanted)
            subscriber = Subscriber(await caller.response())
            acknowledged = (await subscriber.message())["params"]["notifications"]
            assert acknowledged["resourceSubscriptions"] == [uri]
            yield subscriber
        return
    session = await open_session(port, credential=credential)
    async with listening(port, session, credential=credential) as subscriber:
        await said(port, session, "resources/subscribe", credential=credential, uri=uri)
        yield subscriber


@asynccontextmanager
async def listening(port: int, session: str, *, credential: str = "") -> AsyncIterator[Subscriber]:
    """Open the stream of a session."""
    async with caller_at(port, session=session, credential=credential) as listener:
        response = await opened(listener, port)
        assert response.status == 200
        yield Subscriber(response)


async def opened(listener: Caller, port: int) -> Response:
    """Ask for the stream of a caller's session."""
    credential = listener.credential
    shown = f"Authorization: Bearer {credential}\r\n" if credential else ""
    await listener.stream.send_all(
        f"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n{shown}"
        f"Mcp-Session-Id: {listener.session}\r\n"
        f"MCP-Protocol-Version: {HANDSHAKE}\r\n\r\n".encode()
    )
    return await listener.response()


async def said(
    port: int, session: str, method: str, *, credential: str = "", **params: Any
) -> None:
    """Send a request in a session that has nothing to say in its result."""
    async with caller_at(port, session=session, credential=credential) as caller:
        await caller.send(method, params)
        assert (await (await caller.response()).result())["result"] == {}


async def connected(port: int, *, credential: str = "") -> dict[str, str]:
    """Read who is connected: the names of frontends, by their ids."""
    async with caller_at(port, credential=credential) as caller:
        await caller.send("resources/read", {"uri": CONNECTED})
        result = (await (await caller.response()).result())["result"]
    shown = json.loads(result["contents"][0]["text"])["frontends"]
    return {each["frontend_id"]: each["name"] for each in shown}


async def told_that(
    subscriber: Subscriber, port: int, are_right: Callable[[dict[str, str]], bool]
) -> int:
    """Read who is connected each time that it is told to be others, until they are right.

    Returns how often it was told. Who is never told waits until the test gives up.
    """
    times = 0
    while True:
        assert await subscriber.update() == CONNECTED
        times += 1
        if are_right(await connected(port)):
            return times
