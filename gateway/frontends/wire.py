"""The types of the frontend protocol's messages, field by field as they are on the wire.

Pure module of declarations; what they mean and how they are checked is in `messages`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from session.model import Choice


class Connect(msgspec.Struct, tag="connect", omit_defaults=True):
    """The frontend says who it is; all of it is optional, as for Go's frontends."""

    frontend_id: str = ""
    user: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()


class UserResponse(msgspec.Struct, tag="user_response", omit_defaults=True):
    """A person's answer, or refusal to give one."""

    request_id: str
    answer: str | None = None
    content: dict[str, Any] | None = None
    rejected: bool = False
    reason: str = ""


class DraftMessage(msgspec.Struct, tag="draft", omit_defaults=True):
    """What a person has typed so far."""

    request_id: str
    text: str


class Seen(msgspec.Struct, tag="seen", omit_defaults=True):
    """A person looks at a question."""

    request_id: str


class Disconnect(msgspec.Struct, tag="disconnect", omit_defaults=True):
    """The frontend says goodbye."""


Message = Connect | UserResponse | DraftMessage | Seen | Disconnect


class Asker(msgspec.Struct, omit_defaults=True):
    """Who asks."""

    subject: str
    name: str = ""


class AskUser(msgspec.Struct, tag="ask_user", omit_defaults=True, rename={"asker": "from"}):
    """The fields in their order on the wire; what is empty is left out."""

    request_id: str
    question: str
    asker: Asker
    created_at: str
    deadline: str
    delivery: str
    choices: tuple[Choice, ...] = ()
    schema: dict[str, Any] | None = None
    context: str = ""
    draft: str = ""


class SettledBy(msgspec.Struct, omit_defaults=True):
    """The frontend that settled a question."""

    frontend_id: str
    user: str = ""


class QuestionClosed(msgspec.Struct, tag="question_closed", omit_defaults=True):
    """A question is no longer this frontend's."""

    request_id: str
    reason: str
    by: SettledBy | None = None


class ResponseAck(msgspec.Struct, tag="response_ack", omit_defaults=True):
    """What became of an answer."""

    request_id: str
    status: str
    message: str = ""
    state: str = ""
    by: SettledBy | None = None
