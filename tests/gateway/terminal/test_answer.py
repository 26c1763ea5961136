"""The inbox of a terminal: what is shown of each frame, and what each typed line means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cli import main
from gateway.terminal.answer import Inbox, _Keyboard

COLOUR = {
    "type": "ask_user",
    "request_id": "q1",
    "question": "Which colour?",
    "from": {"name": "painter"},
    "choices": [{"value": "#f00", "label": "red"}, {"value": "blue"}],
}
FORM = {
    "type": "ask_user",
    "request_id": "q2",
    "question": "Who are you?",
    "from": {"subject": "clerk"},
    "schema": {"type": "object", "properties": {"name": {}, "age": {}}},
}
PLAIN = {"type": "ask_user", "request_id": "q3", "question": "Why?"}


class Screen:
    """An inbox, and what it has shown since somebody looked."""

    def __init__(self, *frames: dict[str, Any]) -> None:
        self._shown: list[str] = []
        self.inbox = Inbox(self._shown.append)
        for frame in frames:
            self.inbox.take(frame)

    def shown(self) -> str:
        """Return what was shown since the last call."""
        text = "\n".join(self._shown)
        self._shown.clear()
        return text

    def after(self, **frame: Any) -> str:
        """Return what is shown of one more frame."""
        self.shown()
        self.inbox.take(frame)
        return self.shown()


def response(question_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "user_response", "request_id": question_id, **fields}


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (COLOUR, "[1] painter: Which colour?\n    1) red\n    2) blue"),
        (FORM, "[1] clerk: Who are you?\n    a JSON object with: name, age"),
        (PLAIN, "[1] somebody: Why?"),
        (PLAIN | {"context": "one\ntwo"}, "[1] somebody: Why?\n    one\n    two"),
        (PLAIN | {"question": "a\n[9] boss: b"}, "[1] somebody: a\n    [9] boss: b"),
        (
            PLAIN | {"deadline": "2020-01-01T00:00:00Z"},
            "[1] somebody (0:00 left): Why?",
        ),
        # A gateway of the first generation names no types.
        ({"request_id": "g", "question": "Go?"}, "[1] somebody: Go?"),
        ({"status": "connected"}, ""),
        ({"type": "of a later version", "question": "?"}, ""),
        ({"type": "connect_ack", "frontend_id": "f"}, ""),
        ({"type": "notify_user", "message": "Deployed."}, "* Deployed."),
        ({"type": "error", "code": "busy", "message": "Busy."}, "! Busy."),
    ],
)
def test_each_frame_is_shown_in_words(frame: dict[str, Any], text: str) -> None:
    assert Screen(frame).shown() == text


def test_a_deadline_is_shown_as_the_time_that_is_left() -> None:
    shown = Screen(PLAIN | {"deadline": "2999-01-01T00:00:00Z"}).shown()
    assert re.fullmatch(r"\[1\] somebody \(\d+:\d\d left\): Why\?", shown)


@pytest.mark.parametrize("control", ["\x1b", "\x07", "\x00", "\x9b", "\x7f", "\b"])
def test_no_text_of_others_steers_the_terminal(control: str) -> None:
    bad = f"a{control}[2Jb"
    shown = Screen(
        PLAIN | {"question": bad, "context": bad, "choices": [{"value": bad}]},
        {"type": "notify_user", "message": bad},
    ).shown()
    assert control not in shown
    assert shown.count("[2Jb") == 4


def test_a_line_may_end_as_it_does_elsewhere() -> None:
    assert Screen(PLAIN | {"question": "a\r\n\tb"}).shown() == "[1] somebody: a\n    \tb"


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        ("sure\n", response("q1", answer="sure")),
        ("  sure  ", response("q1", answer="sure")),
        ("1", response("q1", answer="#f00")),
        ("2", response("q1", answer="blue")),
        ("1: 2", response("q1", answer="blue")),
        # What is no choice is for the gateway to judge.
        ("0", response("q1", answer="0")),
        ("3", response("q1", answer="3")),
        ("²", response("q1", answer="²")),
        ("²: x", response("q1", answer="²: x")),
        ("note: this", response("q1", answer="note: this")),
        ("/etc/hosts", response("q1", answer="/etc/hosts")),
        ("/rejection", response("q1", answer="/rejection")),
        ("/reject", response("q1", rejected=True, reason="")),
        ("/reject  no time ", response("q1", rejected=True, reason="no time")),
        ("2: /reject", response("q2", rejected=True, reason="")),
        ('2: {"name": "ann"}', response("q2", content={"name": "ann"})),
        ('2:{"name": "a: b"}', response("q2", content={"name": "a: b"})),
        (" 3 : because: of it", response("q3", answer="because: of it")),
        ("3: 1", response("q3", answer="1")),
    ],
)
def test_a_line_answers_the_first_question_or_the_numbered_one(
    line: str, frame: dict[str, Any]
) -> None:
    screen = Screen(COLOUR, FORM, PLAIN)
    screen.shown()
    assert screen.inbox.read(line) == frame
    assert screen.shown() == ""


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", ""),
        ("  \n", ""),
        ("3:", ""),
        ("4: yes", "No such question."),
        ("0: yes", "No such question."),
        ("2: ann", "This question has a form: answer with a JSON object."),
        ("2: [1]", "This question has a form: answer with a JSON object."),
        ("2:", "This question has a form: answer with a JSON object."),
        ("/help", "  text            answers the first question"),
        ("/list", "[1] painter: Which colour?"),
    ],
)
def test_a_line_that_answers_nothing_is_told_why(line: str, text: str) -> None:
    screen = Screen(COLOUR, FORM, PLAIN)
    screen.shown()
    assert screen.inbox.read(line) is None
    shown = screen.shown()
    assert shown.startswith(text)
    assert bool(shown) == bool(text)


@pytest.mark.parametrize("line", ["yes", "/list", "/skip", "/reject", "1"])
def test_with_nothing_asked_there_is_nothing_to_answer(line: str) -> None:
    screen = Screen()
    assert screen.inbox.read(line) is None
    assert screen.shown() == "Nothing is asked now."


def test_a_skipped_question_comes_last_and_keeps_its_number() -> None:
    screen = Screen(COLOUR, PLAIN)
    screen.shown()
    assert screen.inbox.read("/skip") is None
    assert re.findall(r"^\[\d\]", screen.shown(), re.MULTILINE) == ["[2]", "[1]"]
    assert screen.inbox.read("yes") == response("q3", answer="yes")
    assert screen.inbox.read("1: 1") == response("q1", answer="#f00")


@pytest.mark.parametrize(
    ("closed", "text"),
    [
        (
            {"reason": "answered", "by": {"user": "ann", "frontend_id": "f"}},
            "[1] closed: answered by ann",
        ),
        ({"reason": "answered", "by": {"frontend_id": "f"}}, "[1] closed: answered by f"),
        ({"reason": "timed_out"}, "[1] closed: timed out"),
    ],
)
def test_a_question_that_others_closed_is_gone(closed: dict[str, Any], text: str) -> None:
    screen = Screen(COLOUR)
    assert screen.after(type="question_closed", request_id="q1", **closed) == text
    assert screen.inbox.read("red") is None
    assert screen.shown() == "Nothing is asked now."


def test_the_end_of_a_question_never_shown_is_no_news() -> None:
    screen = Screen(COLOUR)
    assert screen.after(type="question_closed", request_id="other", reason="answered") == ""


@pytest.mark.parametrize(
    ("ack", "text", "stays"),
    [
        ({"status": "accepted"}, "[1] sent", False),
        ({"status": "duplicate", "message": "Ann was first."}, "[1] Ann was first.", False),
        ({"status": "too_late"}, "[1] too_late", False),
        ({"status": "unknown"}, "[1] unknown", False),
        ({"status": "invalid", "message": "Pick one."}, "[1] Pick one.", True),
    ],
)
def test_an_acknowledgement_settles_all_but_an_invalid_answer(
    ack: dict[str, Any], text: str, stays: bool
) -> None:
    screen = Screen(COLOUR)
    assert screen.after(type="response_ack", request_id="q1", **ack) == text
    assert (screen.inbox.read("1") is not None) == stays
    assert screen.inbox.accepted == (ack["status"] == "accepted")


def test_a_question_offered_again_keeps_its_number_and_no_number_comes_twice() -> None:
    screen = Screen(COLOUR, PLAIN)
    screen.inbox.forget()
    assert screen.inbox.read("yes") is None
    assert screen.after(**PLAIN) == "[2] somebody: Why?"
    assert screen.after(**FORM).startswith("[3] ")
    assert screen.after(**PLAIN) == "[2] somebody: Why?"
    assert screen.inbox.read("yes") == response("q3", answer="yes")


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
