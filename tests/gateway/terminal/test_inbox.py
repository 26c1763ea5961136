"""The inbox of a terminal: what is shown of each frame, and what each typed line means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.terminal.inbox import Inbox

NOW = datetime(2026, 1, 1, tzinfo=UTC)

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
        self.inbox = Inbox(self._shown.append, "me", lambda: NOW)
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
        ({"type": "notify_user", "message": "Good.", "title": "CI"}, "* CI: Good."),
        ({"type": "notify_user", "message": "a\n[1] sent"}, "* a\n    [1] sent"),
        (PLAIN | {"from": {"name": "a\n[7] b"}}, "[1] a [7] b: Why?"),
        (
            PLAIN | {"choices": [{"value": "a", "label": "A\nB", "description": "why"}]},
            "[1] somebody: Why?\n    1) A\n    B - why",
        ),
        (PLAIN | {"schema": {}}, "[1] somebody: Why?\n    a JSON object with: "),
        ({"type": "error", "code": "busy", "message": "Busy."}, "! Busy."),
    ],
)
def test_each_frame_is_shown_in_words(frame: dict[str, Any], text: str) -> None:
    assert Screen(frame).shown() == text


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (PLAIN, "ask_user"),
        ({"request_id": "g", "question": "Go?"}, "ask_user"),
        ({"status": "connected"}, "connect_ack"),
        ({"type": "response_ack", "status": "connected"}, "response_ack"),
        ({"status": "accepted"}, ""),
    ],
)
def test_what_has_no_type_is_known_by_its_fields(frame: dict[str, Any], name: str) -> None:
    assert Screen().inbox.take(frame).type == name


def test_an_error_says_whether_to_send_it_again() -> None:
    error = {"type": "error", "code": "busy", "message": "Busy."}
    assert not Screen().inbox.take(error).retryable
    assert Screen().inbox.take(error | {"retryable": True}).retryable


@pytest.mark.parametrize(
    ("deadline", "left"),
    [
        (timedelta(seconds=59), "0:59"),
        (timedelta(minutes=5), "5:00"),
        (timedelta(hours=2, seconds=7), "2:00:07"),
        (timedelta(seconds=-1), "0:00"),
    ],
)
def test_a_deadline_is_shown_as_the_time_that_is_left(deadline: timedelta, left: str) -> None:
    shown = Screen(PLAIN | {"deadline": (NOW + deadline).isoformat()}).shown()
    assert shown == f"[1] somebody ({left} left): Why?"


def test_the_time_that_is_left_is_by_the_gateways_clock() -> None:
    theirs = NOW + timedelta(hours=1)
    welcome = {"type": "connect_ack", "server_time": theirs.isoformat()}
    asked = PLAIN | {"deadline": (theirs + timedelta(seconds=30)).isoformat()}
    assert Screen(welcome, asked).shown() == "[1] somebody (0:30 left): Why?"


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
        # The time of day is no question's number.
        ("10:30", response("q1", answer="10:30")),
        ("2:30", response("q1", answer="2:30")),
        ("blue", response("q1", answer="blue")),
        ("RED", response("q1", answer="#f00")),
        ("9" * 5000, response("q1", answer="9" * 5000)),
        ("note: this", response("q1", answer="note: this")),
        ("/etc/hosts", response("q1", answer="/etc/hosts")),
        ("/rejection", response("q1", answer="/rejection")),
        ("/reject", response("q1", rejected=True, reason="")),
        ("/reject  no time ", response("q1", rejected=True, reason="no time")),
        ("2: /reject", response("q2", rejected=True, reason="")),
        ('2: {"name": "ann"}', response("q2", content={"name": "ann"})),
        ('2: {"name": "a: b"}', response("q2", content={"name": "a: b"})),
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
        ("2: " + "[" * 100_000, "This question has a form: answer with a JSON object."),
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
        ({"status": "too_late"}, "[1] too late", False),
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
    screen.inbox.forget()
    assert screen.after(**PLAIN) == "[2] somebody: Why?"
    assert screen.inbox.read("yes") == response("q3", answer="yes")


def test_an_answer_sent_twice_counts_once_and_is_ours() -> None:
    """After a reconnect the first copy may turn out to have arrived."""
    screen = Screen(COLOUR, PLAIN)
    ack = {"type": "response_ack", "status": "duplicate", "message": "Somebody was first."}
    assert screen.after(request_id="q1", by={"frontend_id": "me"}, **ack) == "[1] sent"
    assert screen.inbox.accepted == 1
    assert screen.after(request_id="q3", by={"frontend_id": "you"}, **ack).endswith("first.")
    assert screen.inbox.accepted == 1


def test_a_question_offered_twice_on_one_connection_is_shown_once() -> None:
    screen = Screen(COLOUR)
    assert screen.after(**COLOUR) == ""
    assert screen.after(**COLOUR | {"context": "More is known."}).startswith("[1] painter")


@pytest.mark.parametrize(
    ("choices", "line", "answer"),
    [
        (["3", "2", "1"], "3", "3"),
        (["3", "2", "1"], "4", "4"),
        (["10", "20"], "1", "1"),
        (["a", "7"], "1", "1"),
    ],
)
def test_where_choices_are_numbers_a_number_is_itself(
    choices: list[str], line: str, answer: str
) -> None:
    screen = Screen(PLAIN | {"choices": [{"value": value} for value in choices]})
    assert "1)" not in screen.shown()
    assert screen.inbox.read(line) == response("q3", answer=answer)


@pytest.mark.parametrize(
    "frame",
    [
        [],
        "connect_ack",
        {"type": 1},
        {"type": "ask_user", "request_id": "q", "question": ["?"]},
        {"type": "ask_user", "request_id": "q", "question": "?", "choices": [{}]},
        {"type": "ask_user", "request_id": "q", "question": "?", "deadline": "soon"},
        {"type": "ask_user", "request_id": "q", "question": "?", "deadline": "2026-01-01T00:00:00"},
    ],
)
def test_what_is_no_frame_is_refused_whole(frame: object) -> None:
    screen = Screen()
    with pytest.raises(msgspec.ValidationError):
        screen.inbox.take(frame)
    assert screen.inbox.is_empty
    assert screen.shown() == ""


def test_more_than_a_person_can_answer_is_not_kept() -> None:
    shown: list[str] = []
    inbox = Inbox(shown.append, most=3)
    for number in range(3):
        inbox.take(PLAIN | {"request_id": f"q{number}"})
    shown.clear()
    inbox.take(PLAIN | {"request_id": "q3"})
    assert [line.startswith("! More is asked than") for line in shown] == [True]
    for number in range(1, 60):
        inbox.take({"type": "question_closed", "request_id": f"q{number}"})
        inbox.take(PLAIN | {"request_id": f"q{number + 3}"})
    assert len(inbox._questions) == 3
    assert len(inbox._numbers) == 30
    # The oldest stays open, and with its number.
    assert inbox.read("1: yes") == response("q0", answer="yes")


_texts = st.text(max_size=20)
_frames = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["ask_user", "question_closed", "response_ack", "notify_user", "error", ""]
        ),
        "request_id": st.sampled_from(["a", "b", "c"]),
    },
    optional={
        "question": _texts,
        "context": _texts,
        "message": _texts,
        "reason": _texts,
        "status": st.sampled_from(["accepted", "duplicate", "invalid", ""]),
        "schema": st.dictionaries(_texts, _texts, max_size=2),
        "choices": st.lists(st.fixed_dictionaries({"value": _texts}), max_size=3),
    },
)


@given(st.lists(_frames | _texts, max_size=12))
def test_whatever_is_said_and_typed_nothing_commands_the_terminal(
    dialogue: list[dict[str, Any] | str],
) -> None:
    screen = Screen()
    for said in dialogue:
        if isinstance(said, str):
            answer = screen.inbox.read(said)
            assert answer is None or answer["request_id"] in ("a", "b", "c")
        else:
            screen.inbox.take(said)
    assert not set(screen.shown()) & {chr(code) for code in (*range(9), *range(11, 32), 127)}
