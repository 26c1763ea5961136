"""Somebody before a web app, as a test plays them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

# Longer than anything takes when all is well.
_PATIENCE_SECONDS = 30


class Person:
    """A frontend that says what it is told to and waits for what it expects."""

    def __init__(self, connection: ClientConnection, user: str) -> None:
        self._connection = connection
        self.user = user

    def say(self, kind: str, question: dict[str, Any] | None = None, **fields: Any) -> None:
        about = {"request_id": question["request_id"]} if question else {}
        self._connection.send(json.dumps({"type": kind, **about, **fields}))

    def next(self, kind: str) -> dict[str, Any]:
        """Return the next frame of this type; those before it are passed over."""
        while True:
            frame: dict[str, Any] = json.loads(self._connection.recv(_PATIENCE_SECONDS))
            if frame["type"] == kind:
                return frame

    def answer(self, question: dict[str, Any], text: str) -> None:
        """Answer, and see that the answer was taken."""
        self.say("user_response", question, answer=text)
        assert self.next("response_ack")["status"] == "accepted"


@contextmanager
def sitting(port: int, user: str) -> Iterator[Person]:
    """Have somebody sit before the gateway at ``port``."""
    with connect(f"ws://127.0.0.1:{port}/ws") as connection:
        person = Person(connection, user)
        person.say("connect", user=user)
        person.next("connect_ack")
        yield person
