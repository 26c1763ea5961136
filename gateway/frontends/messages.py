"""The frontend protocol's messages: from JSON to typed values, and back to JSON.

Pure module; PROTOCOL.md is the text. A message is checked whole before anything
acts on it, and one that cannot be used names what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway import texts
from gateway.frontends import approvals
from gateway.frontends.wire import (
    Asker,
    AskUser,
    Connect,
    Disconnect,
    DraftMessage,
    Message,
    QuestionClosed,
    RefusedTool,
    RegisterTools,
    ResponseAck,
    Seen,
    SettledBy,
    ToolAck,
    ToolCall,
    ToolCancel,
    ToolProgress,
    ToolResultMessage,
    ToolsRegistered,
    UserResponse,
)
from gateway.offers import ACCEPTED, Ack, Notification
from session import gojson, longtexts
from session.model import Delivery, Outcome, Question, State
from session.steps import Steps

_NAME: Final = 128
_GROUPS: Final = 64
_DICTIONARIES: Final = 64

_encode: Final = msgspec.json.Encoder().encode


_TYPES: Final[dict[str, type[Message]]] = {
    "connect": Connect,
    "user_response": UserResponse,
    "draft": DraftMessage,
    "seen": Seen,
    "disconnect": Disconnect,
    "register_tools": RegisterTools,
    "tool_progress": ToolProgress,
    "tool_result": ToolResultMessage,
}
#: How each type of message is called on the wire.
NAMES: Final = {kind: name for name, kind in _TYPES.items()}
_read: Final = msgspec.json.Decoder(Message).decode
_KNOWN: Final = frozenset(
    {"type"} | {name for kind in _TYPES.values() for name in kind.__struct_fields__}
)


# The fewest bytes of an answer, beside its question's id and the answer itself.
_ANSWER: Final = len(_encode(UserResponse("", "")))


class MessageError(ValueError):
    """A message that cannot be used: ``code`` for programs, the text for people."""

    def __init__(self, code: str, message: str, request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


def decode(payload: bytes) -> Message:
    """Return the message in a text frame.

    Raises:
        MessageError: it is not JSON, not an object, of no known type or
            has a field of the wrong type.
        UnicodeDecodeError: it is not UTF-8 (RFC 6455 section 8.1: close 1007).
    """
    # The messages that everybody sends, compact and with known fields only.
    if payload.find(b"{", 1) < 0:
        try:
            message: Message = _read(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What is wrong with it is found and said below.
            return _decode_strictly(payload)
        # What writes back to the same bytes was read whole, with no key twice.
        if type(message) is not Connect and (
            _is_all(message, len(payload)) or _encode(message) == payload
        ):
            return message
    return _decode_strictly(payload)


def _is_all(message: Message, size: int) -> bool:
    """Whether so many bytes hold an answer as text, and have no room for anything else."""
    if type(message) is not UserResponse:
        return False
    request_id, answer = message.request_id, message.answer
    if not request_id or not answer:
        return False
    return size == _ANSWER + len(request_id) + len(answer)


def decoding(payload: bytes, token: str) -> Steps[Message]:
    """Do as `decode` does, step by step; see `session.longtexts.decoding`."""
    try:
        value = yield from longtexts.decoding(payload, token)
    except gojson.DecodeError as error:
        raise _unusable(payload, error) from None
    return _typed(payload, value)


def _decode_strictly(payload: bytes) -> Message:
    try:
        value = gojson.decode(payload)
    except gojson.DecodeError as error:
        raise _unusable(payload, error) from None
    return _typed(payload, value)


def _unusable(payload: bytes, error: gojson.DecodeError) -> MessageError:
    payload.decode()
    return MessageError("invalid_message", f"The message is not usable JSON: {error}.")


def _typed(payload: bytes, value: object) -> Message:
    if type(value) is not dict:
        raise MessageError("invalid_message", "A message is one JSON object.")
    try:
        gojson.refuse_lookalikes(value, _KNOWN)
    except gojson.DecodeError as error:
        raise _unusable(payload, error) from None
    name = value.get("type")
    kind = _TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MessageError("unknown_type", f"Known message types are: {', '.join(_TYPES)}.")
    try:
        message: Message = msgspec.convert(value, kind)
    except msgspec.ValidationError as invalid:
        where = value.get("request_id")
        raise MessageError(
            "invalid_message", f"{name}: {invalid}", where[:_NAME] if isinstance(where, str) else ""
        ) from None
    if kind is Connect:
        _check_names(message)
    return message


def _check_names(connect: Any) -> None:
    names = (connect.frontend_id, connect.user, connect.name, *connect.groups)
    if len(connect.groups) > _GROUPS:
        raise MessageError("invalid_message", f"connect: at most {_GROUPS} groups.")
    if len(connect.dictionaries) > _DICTIONARIES:
        raise MessageError("invalid_message", f"connect: at most {_DICTIONARIES} dictionaries.")
    if any(len(name) > _NAME for name in names):
        raise MessageError("invalid_message", f"connect: a name has at most {_NAME} characters.")


# Formatting a number would cost more than all the rest of a stamp.
_MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))


class Stamps:
    """Writes times as RFC 3339 in UTC with milliseconds.

    The seconds repeat from message to message, so they are formatted once.
    """

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[int, str] = {}

    def format(self, at: float) -> str:
        """Return a time in seconds since the epoch as text."""
        second = int(at)
        text = self._seconds.get(second)
        if text is None:
            if len(self._seconds) >= 64:  # noqa: PLR2004 - now, and a few deadlines
                self._seconds.clear()
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._seconds[second] = text
        return text + _MILLISECONDS[int((at - second) * 1000)]


def ask_user(question: Question, stamps: Stamps, draft: str = "") -> bytes:
    """Return the question as a frontend is shown it."""
    return _encode(_ask_user(question, stamps, question.text, question.context, draft))


def asking_user(question: Question, stamps: Stamps, token: str) -> Steps[bytes]:
    """Do as `ask_user` does, step by step; see `session.longtexts.Writer`."""
    writer = longtexts.Writer(token)
    text, context = writer.mark(question.text), writer.mark(question.context)
    return writer.writing(_ask_user(question, stamps, text, context, ""))


def with_draft(asked: bytes, draft: str) -> bytes:
    """Return what `ask_user` made without a draft as it is with one."""
    return b'%b,"draft":%b}' % (asked[:-1], _encode(draft))


def _ask_user(question: Question, stamps: Stamps, text: str, context: str, draft: str) -> AskUser:
    heading, approval = "", None
    if question.approval is not None:
        approval = approvals.asked(question.approval)
        # Frontends that show only texts show all of it, too.
        heading, text = text, approvals.as_text(question, approval)
    elif question.parts:
        heading, text = text, texts.listed(question)
    return AskUser(
        question.id,
        text,
        Asker(question.asker, question.asker_name),
        stamps.format(question.created_at),
        stamps.format(question.deadline),
        "one" if question.delivery is Delivery.ONE else "all",
        question.choices,
        question.schema,
        context,
        draft,
        heading,
        approval,
        question.urgency,
    )


def question_closed(question_id: str, reason: str, outcome: Outcome | None) -> bytes:
    """Return that a question is no longer this frontend's, and who ended it."""
    by = None
    if outcome is not None and outcome.by:
        by = SettledBy(outcome.by, outcome.by_user)
    return _encode(QuestionClosed(question_id, reason, by))


def tool_call(question: Question, stamps: Stamps) -> bytes:
    """Return a call as its page is shown it."""
    return _encode(
        ToolCall(
            question.id,
            question.tool,
            msgspec.Raw(question.context.encode()),
            Asker(question.asker, question.asker_name),
            stamps.format(question.created_at),
            stamps.format(question.deadline),
        )
    )


def tool_cancel(call_id: str, reason: str, outcome: Outcome | None) -> bytes:
    """Return that a call is no longer this page's."""
    return _encode(ToolCancel(call_id, reason, "" if outcome is None else outcome.reason))


def tool_ack(call_id: str, ack: Ack) -> bytes:
    """Return what became of a tool's result."""
    state = "" if ack.state is None else ack.state.text
    return _encode(ToolAck(call_id, ack.status, ack.message, state))


def tools_registered(
    namespace: str, names: Iterable[str], refused: Iterable[tuple[str, str]]
) -> bytes:
    """Return which tools are offered, and which are not."""
    not_offered = tuple(RefusedTool(name, why) for name, why in refused)
    return _encode(ToolsRegistered(namespace, tuple(names), not_offered))


# What stands before and behind the question's id where an answer was accepted: it is always
# the same, and encoding it would cost four times as much.
_ACCEPTED: Final = _encode(
    ResponseAck("?", ACCEPTED.status, ACCEPTED.message, State.ANSWERED.text)
).split(b'"?"')


def response_ack(question_id: str, ack: Ack) -> bytes:
    """Return what became of an answer."""
    if ack is ACCEPTED:
        return _ACCEPTED[0] + _encode(question_id) + _ACCEPTED[1]
    by = SettledBy(ack.by, ack.by_user) if ack.by else None
    state = "" if ack.state is None else ack.state.text
    return _encode(ResponseAck(question_id, ack.status, ack.message, state, by))


def notify_user(notification: Notification, stamps: Stamps) -> bytes:
    """Return a notification as a frontend is shown it."""
    message: dict[str, Any] = {
        "type": "notify_user",
        "notification_id": notification.id,
        "message": notification.message,
        "level": notification.level,
        "from": {"subject": notification.sender},
        "created_at": stamps.format(notification.created_at),
    }
    if notification.title:
        message["title"] = notification.title
    return _encode(message)


def error(
    code: str,
    text: str,
    *,
    retryable: bool = False,
    request_id: str = "",
    retry_after: float = 0.0,
) -> bytes:
    """Return that a message could not be used; the socket stays open."""
    message: dict[str, Any] = {
        "type": "error",
        "code": code,
        "message": text,
        "retryable": retryable,
    }
    if request_id:
        message["request_id"] = request_id
    if retry_after:
        message["retry_after"] = round(retry_after, 3)
    return _encode(message)


def connect_ack(**fields: Any) -> bytes:
    """Return the reply to `Connect`; ``status`` is what Go's frontends look for."""
    return _encode({"type": "connect_ack", "status": "connected", **fields})


def writing_text(content: dict[str, Any], token: str) -> Steps[str]:
    """Do as `as_text` does, step by step; see `session.longtexts.Writer`."""
    writer = longtexts.Writer(token)
    marked = yield from writer.marking(content)
    written = yield from writer.writing(marked)
    return written.decode()


def as_text(content: dict[str, Any]) -> str:
    """Return a form's fields as the text that callers see who know only texts."""
    return _encode(content).decode()
