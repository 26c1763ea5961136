"""``frontend-router answer``: an inbox in a terminal, or on a pipe.

A frontend over trio-websocket, an implementation of WebSocket that is not the
gateway's. What is typed answers the first question of the list, or the one
whose number comes before a colon.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, final
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection
from trio_websocket import open_websocket_url as open_websocket

_HELP: Final = """\
  text            answers the first question      3: text   answers question 3
  2               picks its second choice         /reject [why]   refuses it
  /skip           puts it last                    /list   /help   /quit"""
# Full jitter, so that a restarted gateway is not met by everybody at once.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 20.0
_TERMINAL_CODES: Final = (*range(3500, 4000), *range(4500, 5000), 1002, 1003, 1007, 1008, 1009)
# A gateway of the first generation acknowledges nothing.
_LONGEST_WITHOUT_ACK: Final = 10.0
_CHUNK_BYTES: Final = 65_536
_FAILED: Final = 1
# What agents and people write must not steer the terminal.
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
_PLAIN: Final = dict.fromkeys(_CONTROLS, "\N{REPLACEMENT CHARACTER}") | {
    ord("\t"): "\t",
    ord("\n"): "\n",
    ord("\r"): "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws", help="The gateway's WebSocket.")
    parser.add_argument("--user", default="", help="Who answers; for questions to a user.")
    parser.add_argument("--group", action="append", default=[], help="A group of theirs; repeat.")
    parser.add_argument("--once", action="store_true", help="End after the first answer.")


def main(options: argparse.Namespace) -> int:
    """Show questions and send answers until the end of input. Returns the exit status."""
    problem = _unusable(options.url)
    if problem:
        print(f"frontend-router: --url {options.url} cannot be used: {problem}", file=sys.stderr)
        return _FAILED
    inbox = Inbox(lambda text: print(text, flush=True))
    connect = {
        "type": "connect",
        "frontend_id": f"terminal-{secrets.token_hex(8)}",
        "user": options.user,
        "groups": options.group,
    }
    terminal = _Terminal(options.url, connect, inbox, once=options.once)
    try:
        trio.run(terminal.run)
    except* KeyboardInterrupt:
        pass  # the way to leave; it comes in a group, as it passed a nursery
    if terminal.problem:
        print(f"frontend-router: {terminal.problem}", file=sys.stderr)
        return _FAILED
    return 0


def _unusable(url: str) -> str:
    """Return why a URL cannot be a gateway's WebSocket, or nothing."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError as error:
        return str(error)
    return "" if is_usable else "it takes ws://HOST:PORT/ws"


@final
class Inbox:
    """The open questions, in order, and what a typed line means. Knows no sockets."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._print = show
        self._questions: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._count = 0
        #: Answers that the gateway accepted.
        self.accepted = 0

    def _show(self, text: str) -> None:
        self._print(text.translate(_PLAIN))

    def take(self, frame: dict[str, Any]) -> None:
        """Act on a frame of the gateway's; Go's server sends some without a type."""
        kind = frame.get("type", "ask_user" if "question" in frame else "")
        handlers: dict[str, Callable[[dict[str, Any]], object]] = {
            "ask_user": self._asked,
            "question_closed": self._closed,
            "response_ack": self._acknowledged,
            "notify_user": lambda told: self._show(f"* {told['message']}"),
            "error": lambda told: self._show(f"! {told['message']}"),
        }
        handler = handlers.get(kind)
        if handler is not None:
            handler(frame)

    def forget(self) -> None:
        """The connection is lost: what is still open will be offered again."""
        self._questions.clear()

    def read(self, line: str) -> dict[str, Any] | None:
        """Return the frame that a typed line means, or show why there is none."""
        line = line.strip()
        if line in ("/list", "/help"):
            self._show(_HELP if line == "/help" else self._listing())
            return None
        question_id, text = self._addressed(line)
        if question_id is None:
            if line:
                self._show("Nothing is asked now." if not self._questions else "No such question.")
            return None
        question = self._questions[question_id]
        if text == "/skip":
            self._questions[question_id] = self._questions.pop(question_id)
            self._show(self._listing())
            return None
        command, _, reason = text.partition(" ")
        if command == "/reject":
            return _response(question_id, rejected=True, reason=reason.strip())
        if "schema" in question:
            return self._form(question_id, text)
        choices = question.get("choices", [])
        if text.isdecimal() and 0 < int(text) <= len(choices):
            text = choices[int(text) - 1]["value"]
        return _response(question_id, answer=text) if text else None

    def _form(self, question_id: str, text: str) -> dict[str, Any] | None:
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            self._show("This question has a form: answer with a JSON object.")
            return None
        return _response(question_id, content=content)

    def _addressed(self, line: str) -> tuple[str | None, str]:
        number, colon, rest = line.partition(":")
        if colon and number.strip().isdecimal():
            for question_id in self._questions:
                if self._numbers[question_id] == int(number):
                    return question_id, rest.strip()
            return None, ""
        return next(iter(self._questions), None) if line else None, line

    def _asked(self, frame: dict[str, Any]) -> None:
        question_id = frame["request_id"]
        if question_id not in self._numbers:
            self._count += 1
            self._numbers[question_id] = self._count
        self._questions[question_id] = frame
        self._show(self._described(question_id))

    def _closed(self, frame: dict[str, Any]) -> None:
        if self._questions.pop(frame["request_id"], None) is None:
            return
        by = frame.get("by", {})
        who = by.get("user") or by.get("frontend_id")
        how = frame["reason"].replace("_", " ") + (f" by {who}" if who else "")
        self._show(f"[{self._numbers[frame['request_id']]}] closed: {how}")

    def _acknowledged(self, frame: dict[str, Any]) -> None:
        number = self._numbers.get(frame["request_id"], 0)
        status = frame["status"]
        if status != "invalid":
            self._questions.pop(frame["request_id"], None)
        if status == "accepted":
            self.accepted += 1
            self._show(f"[{number}] sent")
        else:
            self._show(f"[{number}] {frame.get('message') or status}")

    def _listing(self) -> str:
        if not self._questions:
            return "Nothing is asked now."
        return "\n".join(map(self._described, self._questions))

    def _described(self, question_id: str) -> str:
        frame = self._questions[question_id]
        asker = frame.get("from", {})
        who = asker.get("name") or asker.get("subject") or "somebody"
        question = _indented(frame["question"])
        lines = [f"[{self._numbers[question_id]}] {who}{_left(frame)}: {question}"]
        if frame.get("context"):
            lines.append("    " + _indented(frame["context"]))
        for number, choice in enumerate(frame.get("choices", []), 1):
            lines.append(f"    {number}) {choice.get('label') or choice['value']}")
        if "schema" in frame:
            fields = ", ".join(frame["schema"].get("properties", {}))
            lines.append(f"    a JSON object with: {fields}")
        return "\n".join(lines)


def _response(question_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "user_response", "request_id": question_id, **fields}


def _indented(text: str) -> str:
    """Return a text whose further lines cannot be taken for questions of their own."""
    return text.replace("\n", "\n    ")


def _left(frame: dict[str, Any]) -> str:
    if "deadline" not in frame:
        return ""
    deadline = datetime.fromisoformat(frame["deadline"])
    seconds = max(0, int((deadline - datetime.now(UTC)).total_seconds()))
    return f" ({seconds // 60}:{seconds % 60:02d} left)"


@final
class _Terminal:
    """The two ends, keyboard and gateway, each with a task, under one nursery."""

    def __init__(self, url: str, connect: dict[str, Any], inbox: Inbox, *, once: bool) -> None:
        self._url = url
        self._connect = connect
        self._inbox = inbox
        self._once = once
        self._connection: WebSocketConnection | None = None
        self._connected = trio.Event()
        self._welcomed = False
        # The question whose answer waits for its acknowledgement, and what ends that wait.
        self._unacknowledged = ""
        self._news = trio.Event()
        self.problem = ""

    async def run(self) -> None:
        """Return at the end of input, or when the gateway does not want us back."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._type, nursery.cancel_scope)
            await self._stay_connected()
            nursery.cancel_scope.cancel()

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with open_websocket(self._url) as connection:
                    pause = _FIRST_PAUSE
                    await self._listen(connection)
            except ConnectionClosed as closed:
                reason = closed.reason
                if reason is not None and reason.code in _TERMINAL_CODES:
                    self.problem = f"the gateway said goodbye: {reason.reason or reason.code}"
                    return
            except (HandshakeError, OSError) as error:
                if not self._welcomed:
                    self.problem = (
                        f"no gateway answers at {self._url} ({error}); start one with "
                        "frontend-router serve, or name another with --url"
                    )
                    return
            self._connection = None
            self._connected = trio.Event()
            self._news.set()
            self._inbox.forget()
            wait = pause * (0.1 + secrets.randbelow(1000) / 1000)
            print(f"- connection lost; trying again in {wait:.1f} s", flush=True)
            await trio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _listen(self, connection: WebSocketConnection) -> None:
        await connection.send_message(json.dumps(self._connect))
        self._connection = connection
        if self._welcomed:
            print("- connected again", flush=True)
        else:
            print("- connected; /help tells what can be typed", flush=True)
        self._welcomed = True
        self._connected.set()
        while True:
            frame = json.loads(await connection.get_message())
            self._inbox.take(frame)
            if self._ends_the_wait(frame):
                self._unacknowledged = ""
                self._news.set()

    def _ends_the_wait(self, frame: dict[str, Any]) -> bool:
        about = frame.get("request_id", "")
        if frame.get("type") == "error":
            return about in ("", self._unacknowledged)
        return frame.get("type") == "response_ack" and about == self._unacknowledged

    async def _type(self, scope: trio.CancelScope) -> None:
        """Send what is typed; the end of input waits for the last acknowledgement."""
        await self._connected.wait()
        keyboard = _Keyboard(sys.stdin.fileno())
        while (line := await keyboard.line()) is not None and line.strip() != "/quit":
            frame = self._inbox.read(line)
            if frame is not None:
                await self._send(frame)
            if self._once and self._inbox.accepted:
                break
        scope.cancel()

    async def _send(self, frame: dict[str, Any]) -> None:
        """Send an answer, again after each reconnect, until it is known what became of it."""
        self._unacknowledged = frame["request_id"]
        while self._unacknowledged:
            while self._connection is None:
                await self._connected.wait()
            self._news = trio.Event()
            with trio.move_on_after(_LONGEST_WITHOUT_ACK) as patience:
                # If it is closed, the listener sees that, too, and it is news.
                with contextlib.suppress(ConnectionClosed):
                    await self._connection.send_message(json.dumps(frame))
                await self._news.wait()
            if patience.cancelled_caught:
                text = "sent; whether it arrived was not said"
                ack = {"request_id": self._unacknowledged, "status": "unknown", "message": text}
                self._inbox.take({"type": "response_ack"} | ack)
                self._unacknowledged = ""


@final
class _Keyboard:
    """Lines of a file descriptor, be it a terminal, a pipe or a file.

    A read cannot be cancelled, only left behind; so it is one of the system's, as
    `sys.stdin` has a lock that the end of the process would wait for.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._unended = b""

    async def line(self) -> str | None:
        """Return the next line, or nothing at the end of input."""
        while not self._lines:
            chunk = await trio.to_thread.run_sync(
                os.read, self._descriptor, _CHUNK_BYTES, abandon_on_cancel=True
            )
            if not chunk:
                last, self._unended = self._unended, b""
                return last.decode(errors="replace") or None
            *lines, self._unended = (self._unended + chunk).split(b"\n")
            self._lines.extend(lines)
        return self._lines.popleft().decode(errors="replace")
