"""Whether an answer is one: the choices and the schema of its question.

Pure module. Schemas come from outside: what they and their answers make to check is
bounded before it is done (`gateway.schema_work`), references to other documents are never
followed, and patterns run on an engine in linear time.
"""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs
import msgspec

from gateway.schema_work import MOST_EXPLAINED, ForeignReferenceError, TooMuchWorkError, Work
from session import longtexts
from session.model import Question

_SCHEMA_BYTES: Final = 64 * 1024
_SHOWN: Final = 300
# What a pattern may grow to when it is compiled; the engine's own default.
_PATTERN_BYTES: Final = 10 * 1024 * 1024


class InvalidSchemaError(ValueError):
    """A question's schema cannot be used; the message says why."""


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that no answer could be checked with.

    Raises:
        InvalidSchemaError: it is too large, malformed or refers elsewhere.
    """
    if is_too_large(schema) or len(msgspec.json.encode(schema)) > _SCHEMA_BYTES:
        raise InvalidSchemaError(f"the schema is larger than {_SCHEMA_BYTES} bytes")
    if schema.get("type", "object") != "object":
        raise InvalidSchemaError('the schema must describe an object ("type": "object")')
    try:
        Work(schema).check()
    except (TooMuchWorkError, ForeignReferenceError) as error:
        raise InvalidSchemaError(f"the schema cannot be used: {error}") from None
    _compile(schema)


def is_too_large(schema: object) -> bool:
    """Whether a look is enough to see that a schema, or some in one, would be refused for it."""
    return longtexts.is_long(schema, _SCHEMA_BYTES, 1)


def refusal(question: Question, answer: str, content: dict[str, Any] | None) -> str:
    """Return why this does not answer the question, or an empty string when it does."""
    if question.tool:
        return "This is a call of a tool: send its result as `tool_result`."
    if question.schema is not None:
        if content is None and question.parts:
            return f"Answer in {len(question.parts)} lines, one for each question."
        return _form_refusal(question.schema, content)
    if question.choices:
        if any(choice.value == answer for choice in question.choices):
            return ""
        offered = ", ".join(choice.value for choice in question.choices)
        return f"The answer must be one of: {offered}"[:_SHOWN]
    return "" if answer else "The answer is empty."


def _form_refusal(schema: dict[str, Any], content: dict[str, Any] | None) -> str:
    if content is None:
        return "This question is answered by a form: send its fields as `content`."
    return mismatch(schema, content, "the form")


def mismatch(schema: dict[str, Any], content: dict[str, Any], what: str) -> str:
    """Return how ``content``, which is called ``what``, breaks a schema; empty if it does not."""
    try:
        work = Work(schema).of(content)
    except (TooMuchWorkError, ForeignReferenceError) as error:
        return f"This cannot be checked: {error}."
    form = _compile(schema)
    if form.is_valid(content):
        return ""
    if work > MOST_EXPLAINED:
        return f"It is not as its schema says: {what}."
    wrong = next(form.iter_errors(content))
    where = ".".join(map(str, wrong.instance_path)) or what
    return f"{where}: {wrong.message}"[:_SHOWN]


def _refuse_reference(uri: str) -> Any:
    raise InvalidSchemaError(f"the schema refers to another document: {uri[:_SHOWN]}")


def _compile(schema: dict[str, Any]) -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_refuse_reference,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES
            ),
            validate_formats=True,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InvalidSchemaError(f"the schema cannot be used: {error}"[:_SHOWN]) from None
