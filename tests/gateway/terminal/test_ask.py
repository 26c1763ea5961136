"""A caller at the command line, before a real gateway; in a process of its own where it waits."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.gateway.terminal.person import Person, sitting
from tests.live.process import GatewayProcess, running_gateway

# Processes are started.
pytestmark = pytest.mark.slow

PATIENCE = 30
# Told if an answer takes longer than a moment.
WAITING = "frontend-router: waiting for a person"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with running_gateway("--drain-settle-seconds", "0", "--drain-wait-seconds", "0") as process:
        yield process


@pytest.fixture
def person(gateway: GatewayProcess, request: pytest.FixtureRequest) -> Iterator[Person]:
    """Somebody of this test's own."""
    with sitting(gateway.ws_port, user=request.node.name[:100]) as person:
        yield person


def ask(url: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway", "ask", "--url", url, *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **streams)


def asked(gateway: GatewayProcess, person: Person, *arguments: str) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    return ask(url, "--audience", f"user:{person.user}", *arguments)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit status and what was printed, but for who was waited for how long."""
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()  # had it not ended, it would be in the next test's way
    lines = err.splitlines(keepends=True)
    return process.returncode, out, "".join(line for line in lines if WAITING not in line)


Typed = tuple[int, str, str]


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Asks in this process, where nobody has to wait: status, standard output and errors."""

    def type_it(url: str, *arguments: str) -> Typed:
        try:
            status = main(["ask", "--url", url, *arguments])
        except SystemExit as end:  # of wrong usage
            status = int(end.code or 0)
        return status, *capfd.readouterr()

    return type_it


def test_the_answer_goes_to_standard_output(gateway: GatewayProcess, person: Person) -> None:
    process = asked(gateway, person, "Which colour?", "--context", "It is for the door.")
    question = person.next("ask_user")
    assert question["question"] == "Which colour?"
    assert question["context"] == "It is for the door."
    person.answer(question, "grün\n\x1b[31m")
    # On a pipe the answer is what was answered, to the byte.
    assert ended(process) == (0, "grün\n\x1b[31m\n", "")


def test_choices_delivery_and_the_deadline_arrive(gateway: GatewayProcess, person: Person) -> None:
    process = asked(
        gateway, person, "Ship it?", *("--choice", "yes", "--choice", "no"),
        *("--delivery", "one", "--timeout", "90"),
    )  # fmt: skip
    question = person.next("ask_user")
    assert [choice["value"] for choice in question["choices"]] == ["yes", "no"]
    assert question["delivery"] == "one"
    person.answer(question, "no")
    assert ended(process) == (0, "no\n", "")


def test_json_is_the_whole_result(gateway: GatewayProcess, person: Person) -> None:
    process = asked(gateway, person, "Which?", "--json")
    person.answer(person.next("ask_user"), "это")
    status, out, _ = ended(process)
    result = json.loads(out)
    assert status == 0
    assert result["structuredContent"]["answer"] == "это"
    assert result["structuredContent"]["answered_by"]["user"] == person.user
    assert "это" in out


def test_nobody_in_time_is_three(gateway: GatewayProcess, person: Person) -> None:
    status, out, err = ended(asked(gateway, person, "Quick?", "--timeout", "0.3"))
    assert (status, out) == (3, "")
    assert err.startswith("frontend-router: Nobody answered within")


def test_a_refusal_is_four(gateway: GatewayProcess, person: Person) -> None:
    process = asked(gateway, person, "May I?")
    person.say("user_response", person.next("ask_user"), rejected=True, reason="not today")
    status, out, err = ended(process)
    assert (status, out) == (4, "")
    assert "not today" in err


def test_who_leaves_takes_the_question_back(gateway: GatewayProcess, person: Person) -> None:
    process = asked(gateway, person, "Still there?")
    question = person.next("ask_user")
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "", "frontend-router: taken back\n")
    closed = person.next("question_closed")
    assert (closed["request_id"], closed["reason"]) == (question["request_id"], "cancelled")


def test_who_comes_back_with_the_key_finds_the_question(
    gateway: GatewayProcess, person: Person
) -> None:
    key = ("--idempotency-key", f"{person.user}-1")
    process = asked(gateway, person, "Long one?", *key)
    question = person.next("ask_user")
    process.send_signal(signal.SIGINT)
    status, out, err = ended(process)
    assert (status, out) == (130, "")
    assert "stays open" in err
    person.answer(question, "found")
    assert ended(asked(gateway, person, "Long one?", *key)) == (0, "found\n", "")


def test_a_person_at_a_terminal_sees_who_is_waited_for(
    gateway: GatewayProcess, person: Person
) -> None:
    shown = b""
    master, slave = pty.openpty()
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    process = ask(
        url, "Visible?", "--audience", f"user:{person.user}", stdout=slave, stderr=slave
    )  # fmt: skip
    os.close(slave)
    while b"1 frontend online" not in shown:
        shown += os.read(master, 4096)
    person.answer(person.next("ask_user"), "yes \x1b[2J")
    with contextlib.suppress(OSError):
        # Linux says EIO at the end of a terminal.
        while piece := os.read(master, 4096):
            shown += piece
    os.close(master)
    assert process.wait(PATIENCE) == 0
    # The line is gone before the answer, which commands nothing.
    assert shown.endswith(b"\r\x1b[2Kyes \\x1b[2J\r\n")


def test_a_log_is_told_once_who_is_waited_for(gateway: GatewayProcess, person: Person) -> None:
    process = asked(gateway, person, "Logged?")
    assert process.stderr is not None
    assert process.stderr.readline() == f"{WAITING}, 1 frontend online\n"
    person.answer(person.next("ask_user"), "yes")
    assert process.communicate(timeout=PATIENCE) == ("yes\n", "")


def test_where_nothing_can_be_told_nothing_is_taken_for_the_answer(
    gateway: GatewayProcess, person: Person
) -> None:
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    command = [sys.executable, "-m", "gateway", "ask", "Closed?", "--url", url]
    more = ["--audience", f"user:{person.user}", "--timeout", "0.3"]
    shell = f"{shlex.join(command + more)} 2>&-"
    done = subprocess.run(shell, shell=True, stdout=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["Q?", "--audience", "ann"], "takes user:NAME, group:NAME, frontend:ID or everyone"),
        (["Q?", "--audience", "user:"], "takes user:NAME, group:NAME, frontend:ID or everyone"),
        (["Q?", "--timeout", "-1"], "takes a number of seconds above 0, not '-1'"),
        (["Q?", "--timeout", "nan"], "takes a number of seconds above 0, not 'nan'"),
        (["Q?", "--timeout", "soon"], "takes a number of seconds above 0, not 'soon'"),
        ([], "the following arguments are required: question"),
    ],
)
def test_wrong_usage_is_two_and_asks_nobody(
    typed: Callable[..., Typed], arguments: list[str], complaint: str
) -> None:
    status, out, err = typed("http://127.0.0.1:9/mcp", *arguments)
    assert (status, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1:9/mcp", "start one with frontend-router serve"),
        ("ftp://127.0.0.1/mcp", "--url takes an address such as http://host:8081/mcp"),
        ("http://[::1/mcp", "--url takes an address such as http://host:8081/mcp"),
        ("127.0.0.1:8081", "--url takes an address such as http://host:8081/mcp"),
    ],
)
def test_where_no_gateway_is_the_next_step_is_told(
    typed: Callable[..., Typed], url: str, complaint: str
) -> None:
    status, out, err = typed(url, "Q?")
    assert (status, out) == (1, "")
    assert complaint in err
    assert "Traceback" not in err


def test_what_the_gateway_refuses_is_one(
    typed: Callable[..., Typed], gateway: GatewayProcess
) -> None:
    status, out, err = typed(f"http://127.0.0.1:{gateway.mcp_port}/mcp", "")
    assert (status, out) == (1, "")
    assert "question" in err
    # The port of the frontends is easily taken for that of the callers.
    status, out, err = typed(f"http://127.0.0.1:{gateway.ws_port}/mcp", "Q?")
    assert (status, out) == (1, "")
    assert err.startswith("frontend-router: ")
    assert "Traceback" not in err


_EVENTS = "text/event-stream"


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        ("text/html", "<p>Hello", "is no gateway: HTTP 200"),
        ("application/json", "[]", "is no gateway: HTTP 200"),
        ("application/json", "{}", "is no gateway: HTTP 200"),
        ("application/json", '{"error": {"code": 1}}', "is no gateway: HTTP 200"),
        ("application/json", '{"error": {"message": "No \x1b"}}', "is no gateway: HTTP 200"),
        ("application/json", '{"error": {"message": "No \\u001b"}}', "frontend-router: No \\x1b"),
        ("application/json", '{"error": "No"}', "frontend-router: No"),
        ("application/json", '{"result": {"content": 1}}', "this is no result of ask_user"),
        ("application/json", '{"result": {"content": []}}', "frontend-router: \n"),
        (_EVENTS, ": hello\n\n", "ended the connection without an answer"),
        (_EVENTS, "id: 1\ndata: \n\n", "ended the connection without an answer"),
    ],
)
def test_a_server_of_another_kind_is_told_apart(
    typed: Callable[..., Typed], kind: str, body: str, complaint: str
) -> None:
    with _server(kind, body.encode()) as url:
        status, out, err = typed(url, "Q?")
    assert (status, out) == (1, "")
    assert complaint in err
    assert "Traceback" not in err


def test_a_server_that_stops_making_sense_is_told_apart() -> None:
    """In a process of its own: httpx leaves what it has not read to the end of the process."""
    body = b'data: {"method": "m", "params": {}}\n\ndata: oops\n\n'
    with _server(_EVENTS, body) as url:
        status, out, err = ended(ask(url, "Q?"))
    assert (status, out) == (1, "")
    assert "is no gateway" in err
    assert "Traceback" not in err


def test_a_line_that_breaks_says_to_ask_again(typed: Callable[..., Typed]) -> None:
    with _server("application/json", b"{", length=100) as url:
        status, _, err = typed(url, "Q?")
    assert status == 1
    assert "the connection broke" in err


@contextlib.contextmanager
def _server(kind: str, body: bytes, length: int | None = None) -> Iterator[str]:
    """Serve one and the same response to whoever asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        server.shutdown()
        thread.join()


def test_who_needs_a_credential_is_told_where_it_goes(tmp_path: Path) -> None:
    """The names of this command, not those of HTTP."""
    (tmp_path / "keys.json").write_text("[]")
    (tmp_path / "wrong.key").write_text("fr_" + "0" * 16 + "_" + "s" * 43)
    around = {name: value for name, value in os.environ.items() if "ROUTER_TOKEN" not in name}
    with running_gateway("--auth-keys", str(tmp_path / "keys.json")) as gateway:
        url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
        status, out, err = ended(ask(url, "Why?", env=around))
        assert (status, out) == (1, "")
        assert err == (
            f"frontend-router: {url} wants a credential: name a file that has an API key or access "
            "token by --token-file, or put it into FRONTEND_ROUTER_TOKEN\n"
        )
        # Who shows one hears what is wrong with it.
        wrong = ask(url, "Why?", "--token-file", str(tmp_path / "wrong.key"), env=around)
        status, out, err = ended(wrong)
        assert (status, out) == (1, "")
        assert "(HTTP 401)" in err
        assert "--token-file" not in err
        answer = subprocess.Popen(
            [sys.executable, "-m", "gateway", "answer", "--url",
             f"ws://127.0.0.1:{gateway.ws_port}/ws"],
            env=around, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        # Its input stays open: it ends because of what the gateway says.
        assert answer.wait(PATIENCE) == 1
        out, err = answer.communicate()
        assert "(--token-file FILE, or FRONTEND_ROUTER_TOKEN)" in err


def test_where_nobody_is_connected_the_next_step_is_told(gateway: GatewayProcess) -> None:
    url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
    process = ask(url, "--audience", "user:nobody", "--timeout", "1", "Which?")
    _, err = process.communicate(timeout=PATIENCE)
    assert f"{WAITING}, 0 frontends online: open the inbox\n" in err
