"""A caller at the command line, in a process of its own, before a real gateway."""

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
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

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
    out, err = process.communicate(timeout=PATIENCE)
    lines = err.splitlines(keepends=True)
    return process.returncode, out, "".join(line for line in lines if WAITING not in line)


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
def test_wrong_usage_is_two_and_asks_nobody(arguments: list[str], complaint: str) -> None:
    status, out, err = ended(ask("http://127.0.0.1:9/mcp", *arguments))
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
def test_where_no_gateway_is_the_next_step_is_told(url: str, complaint: str) -> None:
    status, out, err = ended(ask(url, "Q?"))
    assert (status, out) == (1, "")
    assert complaint in err
    assert "Traceback" not in err


def test_what_the_gateway_refuses_is_one(gateway: GatewayProcess, person: Person) -> None:
    status, out, err = ended(asked(gateway, person, ""))
    assert (status, out) == (1, "")
    assert "question" in err
    # The port of the frontends is easily taken for that of the callers.
    status, out, err = ended(ask(f"http://127.0.0.1:{gateway.ws_port}/mcp", "Q?"))
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
        (_EVENTS, 'data: {"method": "m", "params": {}}\n\ndata: oops\n\n', "is no gateway"),
    ],
)
def test_a_server_of_another_kind_is_told_apart(kind: str, body: str, complaint: str) -> None:
    with _server(kind, body.encode()) as url:
        status, out, err = ended(ask(url, "Q?"))
    assert (status, out) == (1, "")
    assert complaint in err
    assert "Traceback" not in err


def test_a_line_that_breaks_says_to_ask_again() -> None:
    with _server("application/json", b"{", length=100) as url:
        status, _, err = ended(ask(url, "Q?"))
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
