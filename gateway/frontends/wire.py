"""The types of the frontend protocol's messages, field by field as they are on the wire.

Pure module of declarations; what they mean and how they are checked is in `messages`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from session.model import Choice


class Connect(msgspec.Struct, tag="connect", omit_defaults=True):
    """The frontend says who it is; all of it is optional, as for Go's frontends.

    Where there are credentials, ``token`` is one, unless the handshake had it; it says who
    the user is and which groups they are in. ``dictionaries`` are the ids of the zstd
    dictionaries that it has.
    """

    frontend_id: str = ""
    user: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    token: str = ""
    dictionaries: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """Return what may be in logs: a credential is not."""
        return f"Connect(frontend_id={self.frontend_id!r})"


class UserResponse(msgspec.Struct, tag="user_response", omit_defaults=True, gc=False):
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


class RegisterTools(msgspec.Struct, tag="register_tools", omit_defaults=True):
    """All tools that this connection offers from now on; none, when the list is empty.

    Each is checked by itself, in `gateway.tool_definitions`: one that is refused keeps no
    other from being offered.
    """

    namespace: str
    tools: list[dict[str, Any]]


class ToolProgress(msgspec.Struct, tag="tool_progress", omit_defaults=True):
    """How far a call is."""

    call_id: str
    progress: float
    total: float | None = None
    message: str = ""


class ToolResultMessage(msgspec.Struct, tag="tool_result", omit_defaults=True):
    """What a tool has returned: ``result`` is MCP's ``CallToolResult``."""

    call_id: str
    result: dict[str, Any]


Message = (
    Connect
    | UserResponse
    | DraftMessage
    | Seen
    | Disconnect
    | RegisterTools
    | ToolProgress
    | ToolResultMessage
)


class Asker(msgspec.Struct, omit_defaults=True, gc=False):
    """Who asks."""

    subject: str
    name: str = ""


class ApprovalAsked(msgspec.Struct, omit_defaults=True):
    """What would run; all of it, as JSON for people."""

    tool: str
    arguments: str
    digest: str
    reason: str = ""


class AskUser(
    msgspec.Struct, tag="ask_user", omit_defaults=True, rename={"asker": "from"}, gc=False
):
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
    heading: str = ""
    approval: ApprovalAsked | None = None
    urgency: str = ""


class SettledBy(msgspec.Struct, omit_defaults=True, gc=False):
    """The frontend that settled a question."""

    frontend_id: str
    user: str = ""


class QuestionClosed(msgspec.Struct, tag="question_closed", omit_defaults=True, gc=False):
    """A question is no longer this frontend's."""

    request_id: str
    reason: str
    by: SettledBy | None = None


class ResponseAck(msgspec.Struct, tag="response_ack", omit_defaults=True, gc=False):
    """What became of an answer."""

    request_id: str
    status: str
    message: str = ""
    state: str = ""
    by: SettledBy | None = None


class RefusedTool(msgspec.Struct):
    """A tool that is not offered, by its place in the list or its name, and why."""

    name: str
    message: str


class ToolsRegistered(msgspec.Struct, tag="tools_registered"):
    """What is offered from now on: all other tools of this connection are not."""

    namespace: str
    tools: tuple[str, ...]
    refused: tuple[RefusedTool, ...]


class ToolCall(msgspec.Struct, tag="tool_call", rename={"asker": "from"}):
    """A tool is called; the same ``call_id`` is the same call, however often it comes."""

    call_id: str
    tool: str
    arguments: msgspec.Raw
    asker: Asker
    created_at: str
    deadline: str


class ToolCancel(msgspec.Struct, tag="tool_cancel", omit_defaults=True):
    """A call has ended without this page's result, which nobody waits for any more."""

    call_id: str
    reason: str
    message: str = ""


class ToolAck(msgspec.Struct, tag="tool_ack", omit_defaults=True):
    """What became of a result: none needs to be sent again."""

    call_id: str
    status: str
    message: str = ""
    state: str = ""
