"""``frontend-router answer``: an inbox in a terminal, or on a pipe.

A frontend over trio-websocket, an implementation of WebSocket that is not the
gateway's. On a pipe each line waits for a question that it can answer; at a
terminal a line is for what is on the screen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import sys
from collections import deque
from typing import Any, Final, final
from urllib.parse import urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
)
from trio_websocket import open_websocket_url as open_websocket

from gateway.terminal import credential, interrupt
from gateway.terminal.inbox import Frame, Inbox
from gateway.terminal.text import plain

_EPILOG: Final = """\
Type /help for what can be typed. On a pipe, each line answers one question and
waits until there is one.

examples:
  frontend-router answer --user ann --group ops
  echo approved | frontend-router answer --once"""
_ONCE: Final = "End after the first answer that is accepted; the exit status is 1 if none was."
# Full jitter, so that a restarted gateway is not met by everybody at once.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 20.0
_RETRY_AFTER: Final = re.compile(r"\bretry_after_ms=(\d{1,6})\b")
_TERMINAL_CODES: Final = (*range(3500, 4000), *range(4500, 5000), 1002, 1003, 1007, 1008, 1009)
# A browser may sign in again; there is nobody here who could.
_UNAUTHENTICATED: Final = 3000
# A gateway of the first generation acknowledges nothing.
_LONGEST_WITHOUT_ACK: Final = 10.0
# Any other says by then what became of an answer, also when its store is away: that is tried
# for 15 s (`--redis-command-seconds`). Sent twice, an answer counts once.
_LONGEST_UNTIL_ACK: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 1.0
# Until the gateway says how often it pings.
_HEARTBEAT_SECONDS: Final = 30.0
_SHORTEST_HEARTBEAT: Final = 1.0
# A question, its context and its form, each at its longest and escaped.
_LONGEST_FRAME: Final = 16 * 1024 * 1024
# What arrives while a pong is waited for.
_FRAMES_AHEAD: Final = 1024
_CHUNK_BYTES: Final = 65_536
_LONGEST_LINE: Final = 1024 * 1024
_FAILED: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws", help="The gateway's WebSocket.")
    credential.add_argument(parser)
    parser.add_argument("--user", default="", help="Who answers; for questions to a user.")
    parser.add_argument("--group", action="append", default=[], help="A group of theirs; repeat.")
    parser.add_argument("--once", action="store_true", help=_ONCE)


def main(options: argparse.Namespace) -> int:
    """Show questions and send answers until the end of input. Returns the exit status."""
    problem = _unusable(options.url)
    if problem:
        return _complain(f"--url {options.url} cannot be used: {problem}")
    frontend_id = f"terminal-{secrets.token_hex(8)}"
    inbox = Inbox(_show, frontend_id)
    connect = {"type": "connect", "frontend_id": frontend_id, "groups": options.group}
    if options.user:
        connect["user"] = options.user
    try:
        token = credential.credential(options)
    except credential.CredentialFileError as error:
        return _complain(str(error))
    if token:
        connect["token"] = token
    terminal = _Terminal(options.url, connect, inbox, once=options.once)
    try:
        interrupt.run(terminal.run)
    except* KeyboardInterrupt:
        pass  # the way to leave
    except* BrokenPipeError:
        # Whoever read what we show has left. What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if options.once and not inbox.accepted and not terminal.problem:
        return _complain("no answer is known to have been accepted (--once)")
    return _complain(terminal.problem) if terminal.problem else 0


def _complain(problem: str) -> int:
    print(f"frontend-router: {plain(problem)}", file=sys.stderr)
    return _FAILED


def _show(text: str) -> None:
    print(text, flush=True)


def _jitter(longest: float) -> float:
    return longest * secrets.randbelow(1000) / 1000


def _unusable(url: str) -> str:
    """Return why a URL cannot be a gateway's WebSocket, or nothing."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError as error:
        return str(error)
    return "" if is_usable else "it takes ws://HOST:PORT/ws"


@final
class _Terminal:
    """The two ends, keyboard and gateway, each with a task, under one nursery."""

    def __init__(self, url: str, connect: dict[str, Any], inbox: Inbox, *, once: bool) -> None:
        self._url = url
        self._connect = connect
        self._inbox = inbox
        self._once = once
        self._heartbeat = _HEARTBEAT_SECONDS
        self._connection: WebSocketConnection | None = None
        self._welcomed = False
        self._pause = _FIRST_PAUSE
        # What a gateway that restarts or is too full said of when to come back, in seconds.
        self._told_pause: float | None = None
        # Whether the gateway has acknowledged the connection, until when it is given time to do
        # so, and whether it says what becomes of answers.
        self._is_acknowledged = False
        self._ready_at = 0.0
        self._acknowledges = False
        # The question whose answer waits for its acknowledgement.
        self._unacknowledged = ""
        # Whether that answer was sent on this connection, and nothing was said of it yet.
        self._is_under_way = False
        # When to send it again, and how long to wait for that where nobody says how long.
        self._again_at = 0.0
        self._again_pause = _FIRST_PAUSE
        # Set, and replaced, whenever the gateway said something, came or went.
        self._news = trio.Event()
        self.problem = ""

    async def run(self) -> None:
        """Return at the end of input, or when the gateway does not want us back."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._type, nursery.cancel_scope)
            await self._stay_connected()
            nursery.cancel_scope.cancel()

    async def _stay_connected(self) -> None:
        while True:
            why = await self._visit()
            self._connection, self._is_under_way = None, False
            if self.problem:
                return
            self._inbox.forget()
            self._spread_news()
            wait = _jitter(self._pause)
            if self._told_pause is not None:
                wait, self._told_pause = self._told_pause, None
            _show(f"- {why}; trying again in {wait:.1f} s")
            await trio.sleep(wait)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _visit(self) -> str:
        """Stay until the connection ends. Returns why; a ``problem`` says not to come back."""
        try:
            async with open_websocket(
                self._url,
                message_queue_size=_FRAMES_AHEAD,
                max_message_size=_LONGEST_FRAME,
                connect_timeout=_CONNECT_SECONDS,
                disconnect_timeout=_GOODBYE_SECONDS,
            ) as connection:
                await self._listen(connection)
        except ConnectionClosed as closed:
            reason = closed.reason
            if reason is not None and reason.code in (*_TERMINAL_CODES, _UNAUTHENTICATED):
                self.problem = f"the gateway said goodbye: {reason.reason or reason.code}"
                if reason.code == _UNAUTHENTICATED and "token" not in self._connect:
                    self.problem += f" (--token-file FILE, or {credential.VARIABLE})"
            told = _RETRY_AFTER.search(reason.reason or "") if reason is not None else None
            if told is not None:
                self._told_pause = min(int(told[1]) / 1000, _LONGEST_PAUSE)
        except ConnectionRejected as rejected:
            if not self._welcomed:
                self.problem = f"{self._url} lets nobody in: HTTP {rejected.status_code}"
            return f"refused with HTTP {rejected.status_code}"
        except (HandshakeError, OSError) as error:
            if not self._welcomed:
                self.problem = (
                    f"no gateway answers at {self._url} ({error or type(error).__name__}); start "
                    "one with frontend-router serve, or name another with --url"
                )
        except ValueError as error:
            # Not JSON, or no frame of ours; `msgspec.ValidationError` is one, too.
            self.problem = f"{self._url} is no gateway's WebSocket: {error}"
        return "connection lost"

    async def _listen(self, connection: WebSocketConnection) -> None:
        await connection.send_message(json.dumps(self._connect))
        _show(
            "- connected again" if self._welcomed else "- connected; /help tells what can be typed"
        )
        self._connection = connection
        self._is_acknowledged = self._acknowledges = False
        self._ready_at = trio.current_time() + _LONGEST_WITHOUT_ACK
        self._welcomed = True
        self._spread_news()
        while True:
            with trio.move_on_after(self._heartbeat) as patience:
                frame = self._inbox.take(json.loads(await connection.get_message()))
                self._notice(frame)
                if self._is_refused_for_now(frame):
                    return
            if patience.cancelled_caught and not await self._is_alive(connection):
                return

    async def _is_alive(self, connection: WebSocketConnection) -> bool:
        with trio.move_on_after(self._heartbeat) as patience:
            await connection.ping()
        return not patience.cancelled_caught

    def _is_refused_for_now(self, frame: Frame) -> bool:
        """Whether the gateway cannot let us in now; on this connection it will not do so later."""
        is_about_us = frame.type == "error" and not frame.request_id and not self._is_acknowledged
        return is_about_us and frame.retryable

    def _notice(self, frame: Frame) -> None:
        about = frame.request_id
        if frame.type == "connect_ack":
            if not self._is_acknowledged:
                # What was sent before may have been refused, as nobody knew yet whose it was.
                self._is_under_way = False
            self._is_acknowledged = True
            self._acknowledges = frame.server_time is not None
            if frame.heartbeat_seconds:
                self._heartbeat = max(frame.heartbeat_seconds, _SHORTEST_HEARTBEAT)
        if frame.type != "error":
            self._pause = _FIRST_PAUSE
        elif frame.retry_after > 0 and not about:
            self._told_pause = min(frame.retry_after, _LONGEST_PAUSE)
        if frame.type == "response_ack" and about == self._unacknowledged:
            self._settled()
        elif frame.type == "error" and self._is_under_way and self._is_about_answer(about):
            self._refused(frame)
        self._spread_news()

    def _is_about_answer(self, question_id: str) -> bool:
        # An error that names no question is about who we are, as long as that is not known.
        is_about_all = not question_id and self._is_acknowledged
        return is_about_all or question_id == self._unacknowledged

    def _settled(self) -> None:
        """It is known what became of the answer."""
        self._unacknowledged, self._is_under_way = "", False

    def _refused(self, error: Frame) -> None:
        """The answer that was under way was not taken: for good, or for now."""
        if not error.retryable:
            self._settled()
            return
        wait = error.retry_after
        if not wait > 0:
            wait = _jitter(self._again_pause)
            self._again_pause = min(2 * self._again_pause, _LONGEST_PAUSE)
        _show(f"- sending it again in {wait:.1f} s")
        self._again_at = trio.current_time() + wait
        self._is_under_way = False

    def _spread_news(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _type(self, scope: trio.CancelScope) -> None:
        """Send what is typed; the end of input waits for the last acknowledgement."""
        while self._connection is None:
            await self._news.wait()
        keyboard = _Keyboard(sys.stdin.fileno())
        waits = not sys.stdin.isatty()
        while (line := await keyboard.line()) is not None:
            word = line.strip()
            if word == "/quit":
                break
            if waits and word not in ("", "/list", "/help"):
                while self._inbox.is_empty:
                    await self._news.wait()
            frame = self._inbox.read(line)
            if frame is not None:
                await self._send(frame)
            if self._once and self._inbox.accepted:
                break
        if self._connection is not None:
            with trio.move_on_after(_GOODBYE_SECONDS), contextlib.suppress(ConnectionClosed):
                await self._connection.send_message('{"type":"disconnect"}')
        scope.cancel()

    async def _ready(self) -> WebSocketConnection:
        """Wait for a connection whose gateway knows who we are, or says nothing about it."""
        while True:
            while (connection := self._connection) is None:
                await self._news.wait()
            with trio.move_on_at(self._ready_at):
                while self._connection is connection and not self._is_acknowledged:
                    await self._news.wait()
            if self._connection is connection:
                return connection

    async def _send(self, frame: dict[str, Any]) -> None:
        """Send an answer until it is known what became of it.

        It is sent again after each reconnect, and when the gateway could not take it.
        """
        self._unacknowledged = frame["request_id"]
        self._again_pause = _FIRST_PAUSE
        while self._unacknowledged:
            connection = await self._ready()
            self._is_under_way, self._again_at = True, 0.0
            # If it is closed, the listener sees that, too, and it is news.
            with contextlib.suppress(ConnectionClosed):
                await connection.send_message(json.dumps(frame))
            longest = _LONGEST_UNTIL_ACK if self._acknowledges else _LONGEST_WITHOUT_ACK
            with trio.move_on_after(longest) as patience:
                while self._is_under_way:
                    await self._news.wait()
            if patience.cancelled_caught and not self._acknowledges:
                text = "sent; whether it arrived was not said"
                ack = {"request_id": self._unacknowledged, "status": "unknown", "message": text}
                self._inbox.take({"type": "response_ack"} | ack)
                self._settled()
            with trio.move_on_at(self._again_at):
                while self._unacknowledged:
                    await self._news.wait()


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
        """Return the next line, or nothing at the end of input; the longest come in parts."""
        while not self._lines:
            chunk = await trio.to_thread.run_sync(
                os.read, self._descriptor, _CHUNK_BYTES, abandon_on_cancel=True
            )
            if not chunk:
                last, self._unended = self._unended, b""
                return last.decode(errors="replace") or None
            *lines, self._unended = (self._unended + chunk).split(b"\n")
            self._lines.extend(lines)
            if len(self._unended) > _LONGEST_LINE:
                self._lines.append(self._unended)
                self._unended = b""
        return self._lines.popleft().decode(errors="replace")
