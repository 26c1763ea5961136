"""The open questions of a terminal: how each is shown, and what a typed line means.

It refuses to know sockets and keyboards: frames and lines come in, words for a
person and answers for the gateway go out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, final

import msgspec

from gateway.terminal.text import indented, plain

HELP: Final = """\
  text            answers the first question      3: text   answers question 3
  2               picks its second choice         /reject [why]   refuses it
  /skip           puts it last                    /list   /help   /quit"""
# Without the blank it may well be the time of day, or an address.
_ADDRESSED: Final = re.compile(r"(\d{1,9})\s*:(?:\s+(.*))?", re.ASCII | re.DOTALL)
# More than a person will answer; the gateway offers the others again later.
_MOST: Final = 1_000
# Numbers outlive their questions, for those that are offered again.
_REMEMBERED: Final = 10
_NOTHING: Final = "Nothing is asked now."

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Choice(msgspec.Struct):
    value: str
    label: str = ""
    description: str = ""


class _Asker(msgspec.Struct):
    subject: str = ""
    name: str = ""


class _By(msgspec.Struct):
    frontend_id: str = ""
    user: str = ""


class Frame(msgspec.Struct, rename={"asker": "from", "kind": "type"}):
    """A frame of the gateway's, whichever; what it does not have is empty."""

    kind: str = ""
    request_id: str = ""
    question: str | None = None
    context: str = ""
    asker: _Asker = msgspec.field(default_factory=_Asker)
    choices: list[_Choice] = msgspec.field(default_factory=list)
    schema: dict[str, Any] | None = None
    deadline: _Time | None = None
    reason: str = ""
    by: _By = msgspec.field(default_factory=_By)
    status: str = ""
    title: str = ""
    message: str = ""
    server_time: _Time | None = None
    heartbeat_seconds: float = 0.0
    retryable: bool = False
    retry_after: float = 0.0

    @property
    def type(self) -> str:
        """What it is called, also where Go's server does not call it anything."""
        if self.kind or self.question is not None:
            return self.kind or "ask_user"
        return "connect_ack" if self.status == "connected" else ""


def _now() -> datetime:
    return datetime.now(UTC)


@final
class Inbox:
    """The open questions, in order, and what a typed line means."""

    def __init__(
        self,
        show: Callable[[str], object],
        frontend_id: str = "",
        now: Callable[[], datetime] = _now,
        most: int = _MOST,
    ) -> None:
        self._show = show
        self._frontend_id = frontend_id
        self._now = now
        self._most = most
        # How far the gateway's clock is ahead of ours.
        self._ahead = timedelta()
        self._questions: dict[str, Frame] = {}
        self._numbers: dict[str, int] = {}
        self._count = 0
        #: Answers that the gateway accepted.
        self.accepted = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return not self._questions

    def take(self, given: object) -> Frame:
        """Act on a frame of the gateway's, and return it for what else it means.

        Raises:
            msgspec.ValidationError: it is none.
        """
        frame = msgspec.convert(given, Frame)
        handlers: dict[str, Callable[[Frame], object]] = {
            "connect_ack": self._welcomed,
            "ask_user": self._asked,
            "question_closed": self._closed,
            "response_ack": self._acknowledged,
            "notify_user": self._told,
            "error": lambda error: self._show(f"! {indented(error.message)}"),
        }
        handler = handlers.get(frame.type)
        if handler is not None:
            handler(frame)
        return frame

    def forget(self) -> None:
        """The connection is lost: what is still open will be offered again."""
        self._questions.clear()

    def read(self, line: str) -> dict[str, Any] | None:
        """Return the frame that a typed line means, or show why there is none."""
        line = line.strip()
        if line in ("/list", "/help"):
            self._show(HELP if line == "/help" else self._listing())
            return None
        question_id, text = self._addressed(line)
        if question_id is None:
            if line:
                self._show("No such question." if self._questions else _NOTHING)
            return None
        if text == "/skip":
            self._questions[question_id] = self._questions.pop(question_id)
            self._show(self._listing())
            return None
        command, _, reason = text.partition(" ")
        if command == "/reject":
            return _response(question_id, rejected=True, reason=reason.strip())
        if self._questions[question_id].schema is not None:
            return self._form(question_id, text)
        text = _picked(self._questions[question_id].choices, text)
        return _response(question_id, answer=text) if text else None

    def _form(self, question_id: str, text: str) -> dict[str, Any] | None:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            self._show("This question has a form: answer with a JSON object.")
            return None
        return _response(question_id, content=content)

    def _addressed(self, line: str) -> tuple[str | None, str]:
        """Return the question that a line is for, if there is one, and the rest of the line."""
        found = _ADDRESSED.fullmatch(line)
        if found is None:
            return next(iter(self._questions), None) if line else None, line
        number, rest = int(found[1]), found[2] or ""
        for question_id in self._questions:
            if self._numbers[question_id] == number:
                return question_id, rest.strip()
        return None, ""

    def _welcomed(self, frame: Frame) -> None:
        if frame.server_time is not None:
            self._ahead = frame.server_time - self._now()

    def _asked(self, frame: Frame) -> None:
        question_id = frame.request_id
        if self._questions.get(question_id) == frame:
            # Offered twice on one connection: it is on the screen already.
            return
        if question_id not in self._questions and len(self._questions) >= self._most:
            self._show("! More is asked than is kept here; the rest comes after a new start.")
            return
        self._number(question_id)
        self._questions[question_id] = frame
        self._show(self._described(question_id))

    def _number(self, question_id: str) -> None:
        """Give a question its number, the one it had if it is offered again."""
        number = self._numbers.pop(question_id, 0)
        if not number:
            self._count += 1
            number = self._count
        # The latest last: only what is neither open nor recent is let go.
        self._numbers[question_id] = number
        if len(self._numbers) > _REMEMBERED * self._most:
            oldest = next(each for each in self._numbers if each not in self._questions)
            del self._numbers[oldest]

    def _closed(self, frame: Frame) -> None:
        if self._questions.pop(frame.request_id, None) is None:
            return
        who = frame.by.user or frame.by.frontend_id
        how = frame.reason.replace("_", " ") + (f" by {who}" if who else "")
        self._show(f"[{self._numbers[frame.request_id]}] closed: {indented(how)}")

    def _acknowledged(self, frame: Frame) -> None:
        number = self._numbers.get(frame.request_id, 0)
        if frame.status != "invalid":
            self._questions.pop(frame.request_id, None)
        # Sent again after a reconnect: the first copy had arrived.
        is_ours = frame.by.frontend_id == self._frontend_id != ""
        if frame.status == "accepted" or (frame.status == "duplicate" and is_ours):
            self.accepted += 1
            self._show(f"[{number}] sent")
        else:
            self._show(f"[{number}] {indented(frame.message or frame.status.replace('_', ' '))}")

    def _told(self, frame: Frame) -> None:
        title = f"{frame.title}: " if frame.title else ""
        self._show(f"* {indented(title + frame.message)}")

    def _listing(self) -> str:
        return "\n".join(map(self._described, self._questions)) or _NOTHING

    def _described(self, question_id: str) -> str:
        frame = self._questions[question_id]
        who = plain(frame.asker.name or frame.asker.subject or "somebody").replace("\n", " ")
        question = indented(frame.question or "")
        lines = [f"[{self._numbers[question_id]}] {who}{self._left(frame)}: {question}"]
        if frame.context:
            lines.append("    " + indented(frame.context))
        numbered = _are_numbered(frame.choices)
        for number, choice in enumerate(frame.choices, 1):
            description = f" - {choice.description}" if choice.description else ""
            text = indented((choice.label or choice.value) + description)
            lines.append(f"    {number}) {text}" if numbered else f"    {text}")
        if frame.schema is not None:
            properties = frame.schema.get("properties")
            fields = ", ".join(properties) if isinstance(properties, dict) else ""
            lines.append(f"    a JSON object with: {indented(fields)}")
        return "\n".join(lines)

    def _left(self, frame: Frame) -> str:
        if frame.deadline is None:
            return ""
        left = frame.deadline - (self._now() + self._ahead)
        minutes, seconds = divmod(max(0, int(left.total_seconds())), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f" ({clock} left)"


def _response(question_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "user_response", "request_id": question_id, **fields}


def _are_numbered(choices: list[_Choice]) -> bool:
    """Whether a number can only mean a place in the list: no choice reads as one itself."""
    return not any(choice.value.isdecimal() or choice.label.isdecimal() for choice in choices)


def _picked(choices: list[_Choice], text: str) -> str:
    """Return the value that is meant by its place, its label or itself."""
    if text.isdecimal() and len(text) <= len(str(_MOST)) and _are_numbered(choices):
        place = int(text)
        return choices[place - 1].value if 0 < place <= len(choices) else text
    if any(choice.value == text for choice in choices):
        return text
    labels = {choice.label.casefold(): choice.value for choice in choices if choice.label}
    return labels.get(text.casefold(), text)
