"""Several questions in one, as a form: a property for each, under its id.

Pure module. So one schema says what a right answer is, on both ends, and whoever shows forms
shows these.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.answers import is_too_large
from gateway.errors import InvalidAskError
from gateway.mcp.arguments import AskUser, PartArgument, choice_of

# What is data in a schema, and may look like a reference.
_DATA: Final = frozenset(("const", "enum", "default", "examples"))


def form_of(arguments: AskUser) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the ids of the questions, and the schema of an answer to all of them.

    Raises:
        InvalidAskError: they cannot be asked together; the message says why.
    """
    if arguments.choices or arguments.schema is not msgspec.UNSET:
        raise InvalidAskError("Give choices or a schema to each of the questions, not beside them.")
    ids = tuple(part.id or f"q{number}" for number, part in enumerate(arguments.questions, 1))
    if len(set(ids)) < len(ids):
        raise InvalidAskError("Two questions have the same id.")
    schemas = [part.schema for part in arguments.questions]
    if is_too_large([schema for schema in schemas if schema is not msgspec.UNSET]):
        # The one that they are put into would be, and to make it takes time.
        raise InvalidAskError("The schemas are together too large.")
    parts = zip(ids, arguments.questions, strict=True)
    return ids, {
        "type": "object",
        "properties": {part_id: _property(part_id, part) for part_id, part in parts},
        "required": list(ids),
        "additionalProperties": False,
    }


def _property(part_id: str, part: PartArgument) -> dict[str, Any]:
    if part.schema is not msgspec.UNSET:
        if part.choices:
            raise InvalidAskError(f"{part_id}: give either choices or a schema, not both.")
        own = _moved(part.schema, f"#/properties/{part_id}")
        own.pop("$schema", None)
        return own | {"title": part.question}
    if not part.choices:
        return {"type": "string", "minLength": 1, "title": part.question}
    choices = [choice_of(choice) for choice in part.choices]
    if len({choice.value for choice in choices}) < len(choices):
        raise InvalidAskError(f"{part_id}: two choices have the same value.")
    options = [
        {"const": choice.value, "title": _label(choice.label or choice.value, choice.description)}
        for choice in choices
    ]
    return {"type": "string", "oneOf": options, "title": part.question}


def _label(label: str, description: str) -> str:
    return f"{label}: {description}" if description else label


def _moved(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a schema whose references to its own root are good inside another one."""
    moved: dict[str, Any] = {}
    for word, value in schema.items():
        if word == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
            moved[word] = where + value[1:]
        else:
            moved[word] = value if word in _DATA else _moved_in(value, where)
    return moved


def _moved_in(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return _moved(value, where)
    if isinstance(value, list):
        return [_moved_in(item, where) for item in value]
    return value
