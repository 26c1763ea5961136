"""What handlers answer with, as typed values.

Pure module: MCP's content blocks and results. A result says nothing of the
revision it is sent under; `gateway.mcp.revisions` adds what a revision wants.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from session import longtexts
from session.steps import WHOLE, Steps

#: From how many characters an answer is a large one: written in one go, each may become
#: several bytes, and that twice, for each of those who wait for the same question.
LARGE: Final = WHOLE // 16
#: What the modern revisions call a result that is all there is.
COMPLETE: Final = "complete"
#: And one that asks the caller for something first.
INPUT_REQUIRED: Final = "input_required"


class Implementation(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A program, as it introduces itself."""

    name: str
    version: str
    title: str = ""
    website_url: str = ""


class Result(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """The base of every result. ``meta`` is the member ``_meta``."""

    #: Whether the modern revisions want cache hints on it.
    cacheable: ClassVar[bool] = False

    meta: dict[str, Any] | UnsetType = msgspec.field(default=UNSET, name="_meta")


@final
class Empty(Result):
    """A result that says no more than that it was done."""


class TextContent(msgspec.Struct, tag_field="type", tag="text", omit_defaults=True, gc=False):
    """Text."""

    text: str


class ImageContent(msgspec.Struct, tag_field="type", tag="image"):
    """An image; ``data`` is base64."""

    data: str
    mime_type: str = msgspec.field(name="mimeType")


class AudioContent(msgspec.Struct, tag_field="type", tag="audio"):
    """A sound; ``data`` is base64."""

    data: str
    mime_type: str = msgspec.field(name="mimeType")


class ResourceContents(msgspec.Struct, omit_defaults=True):
    """What is in a resource: ``text``, or ``blob`` in base64."""

    uri: str
    mime_type: str | UnsetType = msgspec.field(default=UNSET, name="mimeType")
    text: str | UnsetType = UNSET
    blob: str | UnsetType = UNSET


class EmbeddedResource(msgspec.Struct, tag_field="type", tag="resource"):
    """A resource carried whole."""

    resource: ResourceContents


class ResourceLink(msgspec.Struct, tag_field="type", tag="resource_link", omit_defaults=True):
    """A resource that can be read."""

    uri: str
    name: str
    description: str | UnsetType = UNSET
    mime_type: str | UnsetType = msgspec.field(default=UNSET, name="mimeType")


Content = TextContent | ImageContent | AudioContent | EmbeddedResource | ResourceLink


class ToolResult(Result):
    """What a tool has to say. ``is_error`` tells the model that it can try differently."""

    content: tuple[Content, ...]
    structured: Any = msgspec.field(default=UNSET, name="structuredContent")
    is_error: bool = msgspec.field(default=False, name="isError")


class PromptMessage(msgspec.Struct):
    """One message of a prompt."""

    role: str
    content: Content


@final
class PromptResult(Result):
    """A prompt, filled in."""

    messages: tuple[PromptMessage, ...]
    description: str | UnsetType = UNSET


@final
class ReadResult(Result):
    """What was read of a resource."""

    cacheable: ClassVar[bool] = True

    contents: tuple[ResourceContents, ...]


class AnsweredBy(msgspec.Struct, omit_defaults=True, gc=False):
    """Who answered."""

    frontend_id: str
    user: str = ""


class HistoryEvent(msgspec.Struct, omit_defaults=True, gc=False):
    """What happened to a question: asked, offered, seen, answered, and how it ended.

    ``at`` is in seconds since the epoch; ``by`` a caller, or a frontend with its ``user``.
    """

    event: str
    at: float
    by: str = ""
    frontend_id: str = ""
    user: str = ""


class AnswerGiven(msgspec.Struct, omit_defaults=True, gc=False):
    """One of several answers."""

    answer: str
    answered_by: AnsweredBy
    at: float
    content: dict[str, Any] | UnsetType = UNSET


class QuestionState(msgspec.Struct, omit_defaults=True, gc=False):
    """The structured content of every result about a question."""

    question_id: str
    state: str
    answer: str | UnsetType = UNSET
    content: dict[str, Any] | UnsetType = UNSET
    answered_by: AnsweredBy | UnsetType = UNSET
    reason: str = ""
    online: int | UnsetType = UNSET
    approval: dict[str, Any] | UnsetType = UNSET
    history: tuple[HistoryEvent, ...] | UnsetType = UNSET
    #: Where several people answer: how many must, what each said, and the counts of choices.
    quorum: int | UnsetType = UNSET
    answers: tuple[AnswerGiven, ...] | UnsetType = UNSET
    counts: dict[str, int] | UnsetType = UNSET


@final
class LargeAnswer(ToolResult):
    """What is said of a question, in steps: one text, and a `QuestionState`."""

    def pieces(self, token: str) -> Steps[list[bytes]]:
        """Return it as JSON in pieces; see `session.longtexts.Writer`."""
        writer = longtexts.Writer(token)
        (words,) = self.content
        assert isinstance(words, TextContent)
        shown = yield from _marked(self.structured, writer)
        marked = text(writer.mark(words.text), shown, is_error=self.is_error)
        return (yield from writer.pieces(marked))


def _marked(state: QuestionState, writer: longtexts.Writer) -> Steps[QuestionState]:
    marked = replace(state)
    if isinstance(state.answer, str):
        marked.answer = writer.mark(state.answer)
    marked.content = yield from writer.marking(state.content)
    if isinstance(state.answers, tuple):
        answers = []
        for each in state.answers:
            content = yield from writer.marking(each.content)
            answers.append(replace(each, answer=writer.mark(each.answer), content=content))
        marked.answers = tuple(answers)
    return marked


@final
class Encoded:
    """A result that is JSON already, such as a page of a list that everybody gets.

    ``kind`` is what the modern revisions call it, if it is none of the usual; ``private``:
    what may be kept of it is for this caller only, and not for long.
    """

    __slots__ = ("body", "cacheable", "kind", "private")

    def __init__(
        self,
        body: bytes,
        *,
        cacheable: bool = False,
        private: bool = False,
        kind: str = COMPLETE,
    ) -> None:
        self.body = body
        self.cacheable = cacheable
        self.private = private
        self.kind = kind


def sentence(error: Exception) -> str:
    """Return an error as a sentence."""
    words = str(error)
    return words if words.endswith((".", "!")) else f"{words}."


def text(words: str, structured: object = UNSET, *, is_error: bool = False) -> ToolResult:
    """Return a tool result of one text."""
    return ToolResult((TextContent(words),), structured, is_error)
