"""Both commands of the terminal, one asking and one answering, through a real gateway."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import pytest

from tests.live.process import TESTED, GatewayProcess

# Longer than anything takes when all is well.
_PATIENCE_SECONDS: Final = 30
_WAITING: Final = "frontend-router: waiting for a person"


class Terminal:
    """A command under way: what it prints, and what is typed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def until(self, words: str) -> str:
        """Return the next line with these words; those before it are passed over."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if words in line:
                return line.rstrip("\n")
        raise AssertionError(f"it ended without {words!r}")

    def ended(self) -> tuple[int, str, str]:
        """Return the exit status and what else was printed, but for who was waited for."""
        out, err = self._process.communicate(timeout=_PATIENCE_SECONDS)
        # Told if an answer takes longer than a moment.
        told = [line for line in err.splitlines(keepends=True) if _WAITING not in line]
        return self._process.returncode, out, "".join(told)


@contextmanager
def command(*arguments: str) -> Iterator[Terminal]:
    """Run a command with pipes instead of a terminal; it does not outlive the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Terminal(process)
        finally:
            process.kill()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()


class Desk:
    """Asks and answers at one gateway, apart from all other tests there."""

    def __init__(self, gateway: GatewayProcess, user: str, stack: ExitStack) -> None:
        self._ws = f"ws://127.0.0.1:{gateway.ws_port}/ws"
        self._mcp = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
        self._user = user
        self._stack = stack

    def ask(self, question: str, *more: str) -> Terminal:
        audience = f"user:{self._user}"
        arguments = ("ask", question, "--url", self._mcp, "--audience", audience, *more)
        return self._stack.enter_context(command(*arguments))

    def answer(self) -> Terminal:
        arguments = ("answer", "--url", self._ws, "--user", self._user)
        terminal = self._stack.enter_context(command(*arguments))
        terminal.until("- connected")
        return terminal


@pytest.fixture
def desk(gateway_process: GatewayProcess, request: pytest.FixtureRequest) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(gateway_process, ascii(request.node.name)[:100], stack)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["grün", "a\u2028b\u2029c\x85d", "[1] x: y", "{}", "\\n"])
def test_an_answer_arrives_as_it_was_typed(desk: Desk, text: str) -> None:
    inbox, asking = desk.answer(), desk.ask("What?")
    inbox.until("What?")
    inbox.type(text)
    inbox.until("sent")
    assert asking.ended() == (0, f"{text}\n", "")


class LateAnswer(BaseHTTPRequestHandler):
    """Answers by an event stream, as a gateway does when people take their time."""

    text = ""

    def do_POST(self) -> None:
        result = {
            "content": [{"type": "text", "text": self.text}],
            "structuredContent": {"state": "answered"},
        }
        # Unescaped, as JSON allows it and the gateway writes it.
        message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}, ensure_ascii=False)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"id: 1\ndata: \n\n: waiting\n\ndata: {message}\n\n".encode())

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing: what is printed is what is tested."""


# They end lines for some libraries, and none in an event stream (WHATWG HTML).
@pytest.mark.slow
@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_late_answer_may_contain_what_some_call_the_end_of_a_line(
    separator: str,
) -> None:
    answer = type("Answer", (LateAnswer,), {"text": f"a{separator}b"})
    with HTTPServer(("127.0.0.1", 0), answer) as server:
        server.timeout = _PATIENCE_SECONDS
        url = f"http://127.0.0.1:{server.server_port}/mcp"
        with command("ask", "What?", "--url", url) as asking:
            server.handle_request()
            assert asking.ended() == (0, f"a{separator}b\n", "")


@pytest.mark.slow
def test_a_wrong_choice_can_be_corrected(desk: Desk) -> None:
    inbox = desk.answer()
    asking = desk.ask("Which colour?", "--choice", "red", "--choice", "blue")
    inbox.until("2) blue")
    inbox.type("green")
    assert "sent" not in inbox.until("[1]")
    inbox.type("1")
    assert inbox.ended() == (0, "[1] sent\n", "")
    assert asking.ended() == (0, "red\n", "")


@pytest.mark.slow
def test_the_last_answers_are_delivered_before_the_end_of_input_ends_it(desk: Desk) -> None:
    inbox = desk.answer()
    first = desk.ask("First?")
    inbox.until("First?")
    second = desk.ask("Second?")
    inbox.until("Second?")
    inbox.type("2: two")
    inbox.type("one")
    assert inbox.ended() == (0, "[2] sent\n[1] sent\n", "")
    assert (first.ended(), second.ended()) == ((0, "one\n", ""), (0, "two\n", ""))


@pytest.mark.slow
def test_asking_again_with_the_same_key_asks_people_once(desk: Desk) -> None:
    inbox = desk.answer()
    key = ("--idempotency-key", "of this test")
    first = desk.ask("Once?", *key)
    inbox.until("[1] ")
    inbox.type("yes")
    inbox.until("[1] sent")
    assert first.ended() == (0, "yes\n", "")
    assert desk.ask("Once?", *key).ended() == (0, "yes\n", "")
    assert inbox.ended() == (0, "", "")


def test_what_a_terminal_is_shown_to_try_works_as_it_stands() -> None:
    """It names the program by a path, where the shell would not find it."""
    master, slave = os.openpty()
    ports = ("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0")
    with (
        os.fdopen(master, encoding="utf-8", errors="replace") as screen,
        subprocess.Popen([*TESTED, "serve", *ports], stdout=slave, stderr=slave) as process,
    ):
        os.close(slave)
        try:
            tried = next(line for line in screen if "Try it:" in line)
        finally:
            process.kill()
    program, asks, _ = tried.partition("Try it:")[2].partition(' ask "Which colour?"')
    assert asks
    shown = [*shlex.split(program), "--version"]
    said = subprocess.run(shown, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert said.stdout.startswith("frontend-router "), said
