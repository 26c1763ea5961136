"""Whether an answer is one: the choices and the schema of its question.

Pure module. Schemas come from outside: they are bounded, references to other
documents are never followed, and patterns run on an engine in linear time.
"""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs
import msgspec

from session.model import Question

_SCHEMA_BYTES: Final = 64 * 1024
_SHOWN: Final = 300


class InvalidSchemaError(ValueError):
    """A question's schema cannot be used; the message says why."""


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that no answer could be checked with.

    Raises:
        InvalidSchemaError: it is too large, malformed or refers elsewhere.
    """
    if len(msgspec.json.encode(schema)) > _SCHEMA_BYTES:
        raise InvalidSchemaError(f"the schema is larger than {_SCHEMA_BYTES} bytes")
    if schema.get("type", "object") != "object":
        raise InvalidSchemaError('the schema must describe an object ("type": "object")')
    _compile(schema)


def refusal(question: Question, answer: str, content: dict[str, Any] | None) -> str:
    """Return why this does not answer the question, or an empty string when it does."""
    if question.schema is not None:
        if content is None:
            return "This question is answered by a form: send its fields as `content`."
        error = next(_compile(question.schema).iter_errors(content), None)
        if error is None:
            return ""
        where = ".".join(map(str, error.instance_path)) or "the form"
        return f"{where}: {error.message}"[:_SHOWN]
    if question.choices:
        if any(choice.value == answer for choice in question.choices):
            return ""
        offered = ", ".join(choice.value for choice in question.choices)
        return f"The answer must be one of: {offered}"[:_SHOWN]
    return "" if answer else "The answer is empty."


def _refuse_reference(uri: str) -> Any:
    raise InvalidSchemaError(f"the schema refers to another document: {uri[:_SHOWN]}")


def _compile(schema: dict[str, Any]) -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_refuse_reference,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InvalidSchemaError(f"the schema cannot be used: {error}"[:_SHOWN]) from None
