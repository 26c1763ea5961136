"""What a page says of a tool, what a call of it may say, and what it may return.

Pure module. A definition comes from a page, is shown to models, and decides what is let
through both ways: so it is checked whole before anybody is offered it, and is short. The
names are the namespace and the page's own, with a dot between them: no product tool has
one, so none can be shadowed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from gateway.answers import InvalidSchemaError, check_schema, mismatch
from pool.settings import setting
from session.model import Question
from session.steps import WHOLE

#: The argument of every call that says which page is meant.
TARGET: Final = "_target"

_NAMESPACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What all hosts of models take, and what a header may carry.
_LONGEST: Final = 64
_RESERVED: Final = frozenset(("frontend-router", "frontend_router", "mcp"))
_TITLE: Final = 200
_HINTS: Final = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
# It would have callers repeat arguments in headers, which nobody here compares.
_MIRRORED: Final = b'"x-mcp-header"'
_TARGET_SCHEMA: Final = {
    "type": "object",
    "description": "Which page to call, where several offer this tool; yours or the newest "
    "otherwise.",
    "properties": {"user": {"type": "string"}, "frontend_id": {"type": "string"}},
    "additionalProperties": False,
}
_WHO: Final = 128
_EMPTY_SCHEMA: Final = {"type": "object", "properties": {}}
#: What each kind of content has to have (MCP 2025-11-25, "Tool Result").
_CONTENT: Final = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri", "name"),
}

_encode: Final = msgspec.json.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How much pages may offer, and how long their tools may take."""

    per_frontend: int = setting(
        64, "Tools that one frontend offers; more are refused.", unit="tools", minimum=1,
        maximum=1_000,
    )  # fmt: skip
    definition_bytes: int = setting(
        16 * 1024, "The longest definition of a tool, with its schemas.", unit="bytes", minimum=512
    )
    maximum: int = setting(
        20_000, "Tools that all frontends of an instance offer; more are refused.", unit="tools",
        minimum=1,
    )  # fmt: skip
    bytes: int = setting(
        64 * 1024 * 1024,
        "Memory for their definitions; those of further ones are refused.",
        unit="bytes",
        minimum=64 * 1024,
    )
    calls: int = setting(
        32, "Calls of one page under way, from callers of an instance; more are refused.",
        unit="calls", minimum=1,
    )  # fmt: skip
    call_seconds: float = setting(
        60.0, "How long a call may take when its caller does not say.", unit="seconds", minimum=0.1
    )
    return_seconds: float = setting(
        10.0,
        "How long a page may be away, as while it reloads, before its calls end.",
        unit="seconds",
        minimum=0.1,
    )


class InvalidToolError(ValueError):
    """A tool that cannot be offered; the message says what to change."""


class Definition(NamedTuple):
    """A tool as it is stored: its whole name, its definition, and what tells that from others."""

    name: str
    digest: str
    data: bytes


class Target(NamedTuple):
    """Which page a caller means; empty texts for any."""

    user: str = ""
    frontend_id: str = ""


def check_namespace(namespace: str) -> None:
    """Refuse a namespace that no tool can be in.

    Raises:
        InvalidToolError: as it says.
    """
    if not _NAMESPACE.fullmatch(namespace):
        words = "a namespace is a letter and up to 31 more of A-Z a-z 0-9 _ -"
        raise InvalidToolError(f"{namespace[:_LONGEST]!r}: {words}")
    if namespace.lower() in _RESERVED:
        raise InvalidToolError(f"{namespace!r} is reserved: choose another namespace")


def definition_of(namespace: str, said: Mapping[str, Any], most_bytes: int) -> Definition:
    """Return a tool as it is offered.

    Its schemas are not compiled here, which takes a while: `check_schemas` does that.

    Raises:
        InvalidToolError: what was said of it cannot be used.
    """
    own = said.get("name")
    if not isinstance(own, str) or not _NAME.fullmatch(own):
        raise InvalidToolError("a tool's name has 1 to 64 of A-Z a-z 0-9 _ -")
    name = f"{namespace}.{own}"
    if len(name) > _LONGEST:
        raise InvalidToolError(f"{name}: with its namespace a name has {_LONGEST} characters")
    tool: dict[str, Any] = {"name": name}
    title = said.get("title")
    if isinstance(title, str) and title:
        tool["title"] = title[:_TITLE]
    description = said.get("description")
    if not isinstance(description, str) or not description.strip():
        raise InvalidToolError(f"{name}: a tool needs a description: models choose by it")
    tool["description"] = description
    tool["inputSchema"] = _schema(said, "inputSchema", name) or _EMPTY_SCHEMA
    output = _schema(said, "outputSchema", name)
    if output is not None:
        tool["outputSchema"] = output
    annotations = _annotations(said.get("annotations"))
    if annotations:
        tool["annotations"] = annotations
    data = _encode(tool)
    if len(data) > most_bytes:
        raise InvalidToolError(f"{name}: its definition is larger than {most_bytes} bytes")
    if _MIRRORED in data:
        raise InvalidToolError(f"{name}: x-mcp-header is not served for tools of pages")
    return Definition(name, blake2b(data, digest_size=16).hexdigest(), data)


def check_schemas(definition: Definition) -> None:
    """Refuse a tool whose schemas nothing could be checked with.

    Raises:
        InvalidToolError: as it says.
    """
    tool = msgspec.json.decode(definition.data)
    for member in ("inputSchema", "outputSchema"):
        schema = tool.get(member)
        if schema is None:
            continue
        try:
            check_schema(schema)
        except InvalidSchemaError as error:
            raise InvalidToolError(f"{definition.name}: {member}: {error}") from None


def listing_of(tool: Mapping[str, Any]) -> bytes:
    """Return a definition as callers are shown it: with the argument that names a page."""
    schema = tool["inputSchema"]
    properties = {**schema.get("properties", {}), TARGET: _TARGET_SCHEMA}
    return _encode({**tool, "inputSchema": {**schema, "properties": properties}})


def target_of(arguments: dict[str, Any]) -> Target | str:
    """Take out of arguments which page is meant; return that, or what is wrong with it."""
    said = arguments.pop(TARGET, None)
    if said is None:
        return Target()
    if not isinstance(said, dict) or not said.keys() <= {"user", "frontend_id"}:
        return f"{TARGET} has user or frontend_id, and nothing else."
    user, frontend_id = said.get("user", ""), said.get("frontend_id", "")
    if not isinstance(user, str) or not isinstance(frontend_id, str):
        return f"{TARGET}: user and frontend_id are texts."
    if len(user) > _WHO or len(frontend_id) > _WHO:
        return f"{TARGET}: user and frontend_id have {_WHO} characters at most."
    return Target(user, frontend_id)


def arguments_refusal(tool: Mapping[str, Any], arguments: dict[str, Any]) -> str:
    """Return why a tool cannot be called with these, or nothing."""
    wrong = mismatch(tool["inputSchema"], arguments, "the arguments")
    if not wrong:
        return ""
    known = ", ".join(tool["inputSchema"].get("properties", {})) or "none"
    wrong = wrong.removesuffix(".")
    return f"Invalid arguments for {tool['name']}: {wrong}. Its arguments are: {known}."


def result_of(
    question: Question, said: Mapping[str, Any], most: int, size: int = 0
) -> tuple[str, str]:
    """Return the result of a call as callers get it, in JSON, and what was wrong with it.

    What a page returns that cannot be passed on is a result, too: one that says so. It came in
    ``size`` bytes; whatever the settings allow, it is no longer than what is done in one go.
    """
    wrong = f"it is longer than {WHOLE} bytes" if size > WHOLE else _result_fault(question, said)
    if not wrong:
        result: dict[str, Any] = {"content": said.get("content") or []}
        structured = said.get("structuredContent")
        if structured is not None:
            result["structuredContent"] = structured
            if not result["content"]:
                result["content"] = [{"type": "text", "text": _encode(structured).decode()}]
        if said.get("isError") is True:
            result["isError"] = True
        text = _encode(result).decode()
        if len(text) <= most:
            return text, ""
        wrong = f"it is longer than {most} characters"
    words = f"The page returned what cannot be passed on: {wrong}."
    content = [{"type": "text", "text": words}]
    return _encode({"content": content, "isError": True}).decode(), words


def _result_fault(  # noqa: PLR0911 - one way to be wrong after the other
    question: Question, said: Mapping[str, Any]
) -> str:
    content, structured = said.get("content"), said.get("structuredContent")
    if content is not None and not isinstance(content, list):
        return "content is no list"
    if not all(map(_is_content, content or ())):
        return "something in content is no content of MCP"
    if structured is not None and not isinstance(structured, dict):
        return "structuredContent is no object"
    if said.get("isError") is True:
        return ""
    if question.schema is None:
        return "" if content is not None or structured is not None else "there is nothing in it"
    if structured is None:
        return "structuredContent is missing, which its outputSchema asks for"
    return mismatch(question.schema, structured, "structuredContent")


def _is_content(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    if kind == "resource":
        inside = block.get("resource")
        return (
            isinstance(inside, dict)
            and isinstance(inside.get("uri"), str)
            and (isinstance(inside.get("text"), str) or isinstance(inside.get("blob"), str))
        )
    wanted = _CONTENT.get(kind) if isinstance(kind, str) else None
    return wanted is not None and all(isinstance(block.get(member), str) for member in wanted)


def _schema(said: Mapping[str, Any], member: str, name: str) -> dict[str, Any] | None:
    schema = said.get(member)
    if schema is None:
        return None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise InvalidToolError(f'{name}: {member} must be a schema with "type": "object"')
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidToolError(f"{name}: {member}: properties must be an object")
    if member == "inputSchema" and TARGET in properties:
        raise InvalidToolError(f"{name}: the argument {TARGET} is the gateway's own")
    return {"type": "object", **schema}


def _annotations(said: object) -> dict[str, Any]:
    if not isinstance(said, dict):
        return {}
    annotations: dict[str, Any] = {
        hint: said[hint] for hint in _HINTS if isinstance(said.get(hint), bool)
    }
    title = said.get("title")
    if isinstance(title, str) and title:
        annotations["title"] = title[:_TITLE]
    return annotations
