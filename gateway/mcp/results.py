"""What handlers answer with, as typed values.

Pure module: MCP's content blocks and results. A result says nothing of the
revision it is sent under; `gateway.mcp.revisions` adds what a revision wants.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import msgspec
from msgspec import UNSET, UnsetType


class Implementation(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A program, as it introduces itself."""

    name: str
    version: str
    title: str = ""
    website_url: str = ""


class Result(msgspec.Struct, omit_defaults=True, kw_only=True):
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


@final
class ToolResult(Result, gc=False):
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


class QuestionState(msgspec.Struct, omit_defaults=True, gc=False):
    """The structured content of every result about a question."""

    question_id: str
    state: str
    answer: str | UnsetType = UNSET
    content: dict[str, Any] | UnsetType = UNSET
    answered_by: AnsweredBy | UnsetType = UNSET
    reason: str = ""
    online: int | UnsetType = UNSET


@final
class Encoded:
    """A result that is JSON already, such as a page of a list that everybody gets."""

    __slots__ = ("body", "cacheable")

    def __init__(self, body: bytes, *, cacheable: bool = False) -> None:
        self.body = body
        self.cacheable = cacheable


def text(words: str, structured: object = UNSET, *, is_error: bool = False) -> ToolResult:
    """Return a tool result of one text."""
    return ToolResult((TextContent(words),), structured, is_error)
