"""A terminal's two ends: lines that are typed, and a gateway that comes and goes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked
from trio_websocket import WebSocketConnection, wrap_client_stream, wrap_server_stream
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

from gateway.cli import main
from gateway.terminal.answer import _Keyboard, _Terminal
from gateway.terminal.inbox import Inbox
from haproxy.redis_node import free_port
from tests.gateway.terminal.person import sitting
from tests.live.peer import frame
from tests.live.process import GatewayProcess, running_gateway

# Processes are started.
pytestmark = pytest.mark.slow

PATIENCE = 30


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with running_gateway("--drain-settle-seconds", "0", "--drain-wait-seconds", "0") as process:
        yield process


class Terminal:
    """``frontend-router answer`` with our hands on its keyboard and our eyes on its screen."""

    def __init__(self, url: str, *arguments: str, stdin: int = subprocess.PIPE) -> None:
        command = [sys.executable, "-m", "gateway", "answer", "--url", url, *arguments]
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue(10_000)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def see(self, wanted: str) -> str:
        """Return the next line that contains ``wanted``, as soon as it is shown."""
        seen: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"never saw {wanted!r}, but {seen}") from None
            if wanted in line:
                return line
            assert line, f"ended without {wanted!r}, after {seen}"
            seen.append(line)

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Close the keyboard. Returns the exit status and what was complained about."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Return the exit status and what was complained about, once it has ended."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        stderr = self.process.stderr
        assert stderr is not None
        return status, stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")


@contextmanager
def terminal(url: str, *arguments: str, stdin: int = subprocess.PIPE) -> Iterator[Terminal]:
    screen = Terminal(url, *arguments, stdin=stdin)
    try:
        yield screen
    finally:
        screen.close()


def at(gateway: GatewayProcess) -> str:
    return f"ws://127.0.0.1:{gateway.ws_port}/ws"


@contextmanager
def asking(gateway: GatewayProcess, user: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Have an agent ask this user."""
    command = [
        *(sys.executable, "-m", "gateway", "ask", "Which?", "--audience", f"user:{user}"),
        *("--url", f"http://127.0.0.1:{gateway.mcp_port}/mcp", *more),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_what_is_piped_answers_what_is_asked_later(gateway: GatewayProcess) -> None:
    with terminal(at(gateway), "--user", "piped") as screen:
        screen.type("2\nred: or so")
        assert screen.process.stdin is not None
        screen.process.stdin.close()
        screen.see("connected; /help")
        with asking(gateway, "piped", "--choice", "a", "--choice", "b") as first:
            assert first.communicate(timeout=PATIENCE)[0] == "b\n"
        screen.see("[1] sent")
        with asking(gateway, "piped") as second:
            assert second.communicate(timeout=PATIENCE)[0] == "red: or so\n"
        assert screen.ended() == (0, "")


def test_once_ends_after_the_first_answer_that_counts(gateway: GatewayProcess) -> None:
    with (
        terminal(at(gateway), "--user", "once", "--once") as screen,
        asking(gateway, "once", "--choice", "a") as agent,
    ):
        screen.type("no choice\na\nnever read\n")
        screen.see("[1] ")
        assert screen.ended() == (0, "")
        assert agent.communicate(timeout=PATIENCE)[0] == "a\n"


def test_a_refusal_carries_its_reason(gateway: GatewayProcess) -> None:
    with (
        terminal(at(gateway), "--user", "refuser") as screen,
        asking(gateway, "refuser") as agent,
    ):
        screen.type("/reject too vague\n")
        assert "too vague" in agent.communicate(timeout=PATIENCE)[1]
        assert agent.returncode == 4
        assert screen.end() == (0, "")


def test_who_else_answered_is_shown(gateway: GatewayProcess) -> None:
    with (
        sitting(gateway.ws_port, "shared") as other,
        terminal(at(gateway), "--user", "shared") as screen,
    ):
        screen.see("connected; /help")
        with asking(gateway, "shared"):
            screen.see("Which?")
            other.answer(other.next("ask_user"), "mine")
            assert screen.see("closed").startswith("[1] closed: answered by shared")
        screen.type("/quit\n")
        assert screen.ended() == (0, "")


def test_a_person_at_a_terminal_leaves_with_a_key(gateway: GatewayProcess) -> None:
    """Nothing is typed, and a read of the keyboard that nobody ends holds up nobody."""
    master, slave = pty.openpty()
    with terminal(at(gateway), "--user", "leaver", stdin=slave) as screen:
        screen.see("connected; /help")
        os.write(master, b"/list\n")
        screen.see("Nothing is asked now.")
        screen.process.send_signal(signal.SIGINT)
        assert screen.ended() == (0, "")
    os.close(slave)
    os.close(master)


def test_a_restarted_gateway_is_found_again() -> None:
    quick = ("--drain-settle-seconds", "0", "--drain-wait-seconds", "0")
    # None of those that are given to connections: nobody else may have it between the two.
    port = free_port()
    with running_gateway(*quick, "--ws-port", str(port)) as first:
        screen = Terminal(at(first), "--user", "patient")
        screen.see("connected; /help")
    try:
        # Within the second that the gateway told it.
        assert re.search(r"connection lost; trying again in [01]\.\d s", screen.see("lost"))
        with running_gateway(*quick, "--ws-port", str(port)) as second:
            screen.see("connected again")
            with asking(second, "patient") as agent:
                screen.type("still here\n")
                assert agent.communicate(timeout=PATIENCE)[0] == "still here\n"
            assert screen.end() == (0, "")
    finally:
        screen.close()


def test_where_no_gateway_is_the_next_step_is_told(gateway: GatewayProcess) -> None:
    with terminal("ws://127.0.0.1:9/ws") as screen:
        status, complaint = screen.ended()
        assert status == 1
        assert "start one with frontend-router serve" in complaint
    url = f"ws://127.0.0.1:{gateway.ws_port}/nowhere"
    with terminal(url) as screen:
        assert screen.ended() == (1, f"frontend-router: {url} lets nobody in: HTTP 404\n")


def test_who_reads_no_longer_ends_it_without_a_failure(gateway: GatewayProcess) -> None:
    """As with ``| head -1``."""
    command = [sys.executable, "-m", "gateway", "answer", "--url", at(gateway), "--user", "deaf"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("- connected")
        process.stdout.close()
        with asking(gateway, "deaf"):
            assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


Played = Callable[[ServerConnection], object]


@contextmanager
def played(*visits: Played) -> Iterator[str]:
    """Serve a gateway that says exactly what each visit makes it say, and is then away."""
    waiting = iter(visits)

    def handler(connection: ServerConnection) -> None:
        visit = next(waiting, None)
        with contextlib.suppress(ConnectionClosed):
            if visit is None:
                connection.close(3500, "nobody plays any more")
            else:
                visit(connection)

    with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        server.shutdown()
        thread.join()


def heard(connection: ServerConnection, kind: str) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(connection.recv(PATIENCE))
    assert frame["type"] == kind
    return frame


def say(connection: ServerConnection, **frame: Any) -> None:
    connection.send(json.dumps(frame))


def let_in(connection: ServerConnection) -> str:
    """Acknowledge who has come. Returns the frontend's id."""
    us: str = heard(connection, "connect")["frontend_id"]
    say(connection, type="connect_ack", status="connected", frontend_id=us)
    return us


def test_a_gateway_of_gos_is_served_without_types_and_acknowledgements() -> None:
    answers = []

    def visit(connection: ServerConnection) -> None:
        assert heard(connection, "connect")["frontend_id"].startswith("terminal-")
        say(connection, status="connected")
        say(connection, request_id="g", question="Go?")
        answers.append(heard(connection, "user_response"))
        # What ends the wait for an acknowledgement that never comes.
        say(connection, type="error", code="unknown_type", message="No such type.")
        heard(connection, "disconnect")

    with played(visit) as url, terminal(url) as screen:
        screen.type("go\n")
        screen.see("[1] somebody: Go?")
        screen.see("! No such type.")
        assert screen.end() == (0, "")
    assert answers == [{"type": "user_response", "request_id": "g", "answer": "go"}]


def test_an_answer_whose_acknowledgement_was_lost_is_sent_again() -> None:
    sent = []

    def first(connection: ServerConnection) -> None:
        let_in(connection)
        say(connection, type="ask_user", request_id="q", question="Sure?")
        sent.append(heard(connection, "user_response"))

    def second(connection: ServerConnection) -> None:
        by = {"frontend_id": let_in(connection)}
        sent.append(heard(connection, "user_response"))
        say(connection, type="response_ack", request_id="q", status="duplicate", by=by)
        heard(connection, "disconnect")

    with played(first, second) as url, terminal(url, "--once") as screen:
        screen.type("yes\n")
        screen.see("connection lost")
        screen.see("[1] sent")
        assert screen.ended() == (0, "")
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_what_is_to_be_sent_again_is_no_answer_to_the_next_question() -> None:
    sent = []

    def visit(connection: ServerConnection) -> None:
        let_in(connection)
        say(connection, type="ask_user", request_id="first", question="Ship it?")
        sent.append(heard(connection, "user_response"))
        fields = {"message": "send it again", "retryable": True, "retry_after": 0.01}
        say(connection, type="error", code="unavailable", request_id="first", **fields)
        sent.append(heard(connection, "user_response"))
        say(connection, type="response_ack", request_id="first", status="accepted")
        say(connection, type="ask_user", request_id="second", question="Delete it?")
        sent.append(heard(connection, "user_response"))
        say(connection, type="response_ack", request_id="second", status="accepted")
        heard(connection, "disconnect")

    with played(visit) as url, terminal(url) as screen:
        screen.type("yes\nno\n")
        screen.see("- sending it again in 0.0 s")
        assert screen.end() == (0, "")
    answers = [(each["request_id"], each["answer"]) for each in sent]
    assert answers == [("first", "yes"), ("first", "yes"), ("second", "no")]


def test_once_fails_where_no_answer_was_accepted() -> None:
    def visit(connection: ServerConnection) -> None:
        let_in(connection)
        say(connection, type="ask_user", request_id="q", question="Sure?")
        heard(connection, "user_response")
        say(connection, type="response_ack", request_id="q", status="too_late")
        heard(connection, "disconnect")

    with played(visit) as url, terminal(url, "--once") as screen:
        screen.type("approved\n")
        screen.see("[1] too late")
        assert screen.end() == (
            1,
            "frontend-router: no answer is known to have been accepted (--once)\n",
        )


def test_a_gateway_that_cannot_tell_who_has_come_is_asked_again() -> None:
    left: list[bool] = []
    answers = []

    def unsure(connection: ServerConnection) -> None:
        heard(connection, "connect")
        say(connection, type="error", code="unavailable", message="who?", retryable=True)
        with pytest.raises(ConnectionClosed):
            connection.recv(PATIENCE)
        left.append(True)

    def sure(connection: ServerConnection) -> None:
        let_in(connection)
        say(connection, type="ask_user", request_id="q", question="Sure?")
        answers.append(heard(connection, "user_response")["answer"])
        say(connection, type="response_ack", request_id="q", status="accepted")
        heard(connection, "disconnect")

    with played(unsure, sure) as url, terminal(url, "--once") as screen:
        screen.type("yes\n")
        screen.see("connection lost")
        assert screen.end() == (0, "")
    assert left == [True]
    assert answers == ["yes"]


ANSWER = {"type": "user_response", "request_id": "q", "answer": "yes"}
WELCOME = {"type": "connect_ack", "status": "connected"}
AGAIN = {"type": "error", "code": "busy", "message": "send it again", "retryable": True}
ACK = {"type": "response_ack", "request_id": "q", "status": "accepted"}


class Gateway:
    """The other end of a terminal's connection, in memory."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def hear(self) -> Any:
        return json.loads(await self._connection.get_message())

    async def say(self, frame: dict[str, Any]) -> None:
        await self._connection.send_message(json.dumps(frame))


@asynccontextmanager
async def answering() -> AsyncIterator[Gateway]:
    """Have a terminal send an answer, until it knows what became of that."""
    near, far = memory_stream_pair()
    terminal = _Terminal("", {"type": "connect"}, Inbox(print), once=False)

    async def visit() -> None:
        # It takes any stream, whatever its signature says.
        stream: Any = near
        await terminal._listen(await wrap_client_stream(nursery, stream, "gateway", "/ws"))

    with trio.fail_after(PATIENCE * 10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit)
            gateway = Gateway(await (await wrap_server_stream(nursery, far)).accept())
            assert await gateway.hear() == {"type": "connect"}
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as sending:
                sending.start_soon(terminal._send, ANSWER)
                yield gateway
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("about", [{"request_id": "q"}, {}])
async def test_an_answer_is_sent_again_when_the_gateway_says_so(
    about: dict[str, Any], autojump_clock: MockClock
) -> None:
    async with answering() as gateway:
        await gateway.say(WELCOME)
        assert await gateway.hear() == ANSWER
        refused_at = trio.current_time()
        await gateway.say(AGAIN | about | {"retry_after": 70.0})
        assert await gateway.hear() == ANSWER
        assert trio.current_time() - refused_at == pytest.approx(70)
        await gateway.say(ACK)


async def test_an_answer_is_sent_again_after_longer_and_longer_pauses(
    autojump_clock: MockClock,
) -> None:
    async with answering() as gateway:
        await gateway.say(WELCOME)
        for longest in (0.5, 1, 2, 4, 8, 16, 20, 20):
            assert await gateway.hear() == ANSWER
            refused_at = trio.current_time()
            await gateway.say(AGAIN | {"request_id": "q"})
            with trio.fail_at(refused_at + longest):
                assert await gateway.hear() == ANSWER
            await gateway.say(AGAIN | {"request_id": "q", "retry_after": 0.001})
        assert await gateway.hear() == ANSWER
        await gateway.say(ACK)


async def test_an_answer_that_is_acknowledged_after_all_is_not_sent_again(
    autojump_clock: MockClock,
) -> None:
    async with answering() as gateway:
        await gateway.say(WELCOME)
        assert await gateway.hear() == ANSWER
        await gateway.say(AGAIN | {"request_id": "q", "retry_after": 70.0})
        await gateway.say(ACK)
        with trio.move_on_after(100) as quiet:
            await gateway.hear()
        assert quiet.cancelled_caught


async def test_an_answer_waits_until_the_gateway_knows_whose_it_is(
    autojump_clock: MockClock,
) -> None:
    async with answering() as gateway:
        with trio.move_on_after(9) as quiet:
            await gateway.hear()
        assert quiet.cancelled_caught
        await gateway.say({"status": "connected"})
        assert await gateway.hear() == ANSWER
        await gateway.say(ACK)


async def test_who_acknowledges_nothing_is_answered_all_the_same(
    autojump_clock: MockClock,
) -> None:
    started = trio.current_time()
    async with answering() as gateway:
        assert await gateway.hear() == ANSWER
        assert trio.current_time() - started == pytest.approx(10)
    assert trio.current_time() - started == pytest.approx(20)


async def test_a_gateway_that_acknowledges_answers_may_take_its_time(
    autojump_clock: MockClock,
) -> None:
    """It tries for long to reach its store before it says that it cannot."""
    async with answering() as gateway:
        await gateway.say(WELCOME | {"server_time": "2026-01-01T00:00:00Z"})
        assert await gateway.hear() == ANSWER
        with trio.move_on_after(25) as quiet:
            await gateway.hear()
        assert quiet.cancelled_caught
        await gateway.say(AGAIN | {"request_id": "q", "retry_after": 0.001})
        assert await gateway.hear() == ANSWER
        # Nothing at all is said of that one.
        assert await gateway.hear() == ANSWER
        await gateway.say(ACK)


async def test_an_answer_that_came_before_it_was_known_whose_it_is_is_sent_again(
    autojump_clock: MockClock,
) -> None:
    async with answering() as gateway:
        assert await gateway.hear() == ANSWER
        await gateway.say({"type": "error", "code": "unauthenticated", "message": "who?"})
        await gateway.say(WELCOME)
        assert await gateway.hear() == ANSWER
        await gateway.say(ACK)


def test_a_line_that_went_dead_is_left() -> None:
    """The gateway is there no longer, and no word came of it: only pongs are missing."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        terminal(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws") as screen,
    ):
        with _upgraded(listener) as dead:
            welcome = json.dumps({"type": "connect_ack", "heartbeat_seconds": 0.01})
            dead.sendall(frame(1, welcome.encode(), masked=False))
            screen.see("connection lost")
        with _upgraded(listener):
            screen.see("connected again")
            assert screen.end() == (0, "")


def test_who_is_refused_for_now_comes_back_when_told() -> None:
    came = []

    def full(connection: ServerConnection) -> None:
        came.append(time.monotonic())
        heard(connection, "connect")
        say(connection, type="error", message="try again in 1 second", retry_after=1.0)
        connection.close(1013)

    with played(full, full) as url, terminal(url) as screen:
        screen.see("trying again in 1.0 s")
        screen.ended()
    assert came[1] - came[0] >= 1


def _upgraded(listener: socket.socket) -> socket.socket:
    """Accept a WebSocket by hand; nothing answers its pings."""
    listener.settimeout(PATIENCE)
    sock, _ = listener.accept()
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += sock.recv(4096)
    found = re.search(r"(?i)sec-websocket-key: (\S+)", request.decode())
    assert found is not None
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(found[1]).encode() + b"\r\n\r\n"
    )
    return sock


@pytest.mark.parametrize(
    ("visit", "complaint"),
    [
        (lambda gateway: gateway.close(1008, "not you\x1b"), "said goodbye: not you\\x1b"),
        (lambda gateway: gateway.close(4500), "said goodbye: 4500"),
        (lambda gateway: gateway.send("hello"), "is no gateway's WebSocket: "),
        (lambda gateway: gateway.send("[]"), "is no gateway's WebSocket: "),
        (lambda gateway: gateway.send('{"type": 1}'), "is no gateway's WebSocket: "),
    ],
)
def test_who_is_not_wanted_back_does_not_come_back(visit: Played, complaint: str) -> None:
    def stays(connection: ServerConnection) -> None:
        visit(connection)
        connection.recv(PATIENCE)
        connection.recv(PATIENCE)

    with played(stays) as url, terminal(url) as screen:
        status, said = screen.ended()
    assert status == 1
    assert complaint in said
    assert "Traceback" not in said


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe; the test closes the one to write to."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        ("\u2028ä".encode(), ["\u2028ä"]),
        (b"\xff\n", ["\N{REPLACEMENT CHARACTER}"]),
        (b"x" * 60_000 + b"\ny", ["x" * 60_000, "y"]),
    ],
)
async def test_what_is_typed_arrives_in_lines(
    pipe: tuple[int, int], typed: bytes, lines: list[str]
) -> None:
    reading, writing = pipe
    os.write(writing, typed)
    os.close(writing)
    keyboard = _Keyboard(reading)
    assert [await keyboard.line() for _ in lines] == lines
    assert await keyboard.line() is None


async def test_a_line_without_end_comes_in_parts() -> None:
    endless = os.open("/dev/zero", os.O_RDONLY)
    line = await _Keyboard(endless).line()
    os.close(endless)
    assert line is not None
    assert 2**20 < len(line) < 2**21


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/ws", "127.0.0.1:8080", "ws://", "ws://[", "ws://h:port/", "ws://h:0"],
)
def test_a_url_of_another_kind_is_refused_with_what_it_takes(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["answer", "--url", url]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"frontend-router: --url {url} cannot be used: ")
    assert err.count("\n") == 1
