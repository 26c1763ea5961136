"""A frontend over trio-websocket, an implementation of the protocol that is not ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from trio_websocket import WebSocketConnection, open_websocket_url


class Person:
    """Somebody who looks at a frontend and types."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def frame(self, *kinds: str) -> dict[str, Any]:
        """Return the next frame of a type, or of some; others are passed over."""
        while True:
            frame: dict[str, Any] = json.loads(await self._connection.get_message())
            if frame["type"] in kinds:
                return frame

    async def question(self) -> dict[str, Any]:
        """Return the next question."""
        return await self.frame("ask_user")

    async def say(self, **frame: Any) -> None:
        """Send a frame."""
        await self._connection.send_message(json.dumps(frame))

    async def leave(self) -> None:
        """Close the connection."""
        await self._connection.aclose()

    async def answer(self, question: dict[str, Any], answer: str) -> str:
        """Answer a question; return what became of the answer."""
        request_id = question["request_id"]
        await self.say(type="user_response", request_id=request_id, answer=answer)
        while True:
            ack = await self.frame("response_ack")
            if ack["request_id"] == request_id:
                status: str = ack["status"]
                return status


@asynccontextmanager
async def person_at(ws_port: int, **connect: Any) -> AsyncIterator[Person]:
    """Open a frontend and say `connect`."""
    async with open_websocket_url(f"ws://127.0.0.1:{ws_port}/ws") as connection:
        person = Person(connection)
        await person.say(type="connect", **connect)
        await person.frame("connect_ack")
        yield person
