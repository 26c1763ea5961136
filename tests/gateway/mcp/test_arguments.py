"""The schemas that models read; what is refused is shown in `test_tools`."""

from __future__ import annotations

import jsonschema_rs
import msgspec
import pytest

from gateway.mcp import arguments
from gateway.mcp.schemas import schema_of

ALL = [
    arguments.AskUser,
    arguments.CollectAnswer,
    arguments.CancelQuestion,
    arguments.NotifyUser,
    arguments.ListFrontends,
]


@pytest.mark.parametrize("each", ALL)
def test_every_schema_is_one_and_refuses_what_is_not_in_it(each: type[msgspec.Struct]) -> None:
    schema = schema_of(each)
    jsonschema_rs.meta.validate(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert not jsonschema_rs.Draft202012Validator(schema).is_valid({"surprise": 1})


@pytest.mark.parametrize(
    "value",
    [
        {"question": "q"},
        {"question": "q", "timeout_seconds": 1},
        {"question": "q", "choices": ["a", {"value": "b", "label": "B"}]},
        {"question": "q", "audience": {"kind": "group", "name": "ops"}, "wait": "return"},
        {"question": "q", "schema": {"type": "object"}, "if_absent": "fail"},
        {},
        {"question": 1},
        {"question": "q", "timeout_seconds": 0},
        {"question": "q", "timeout_seconds": "1"},
        {"question": "q", "choices": [{"label": "no value"}]},
        {"question": "q", "audience": {"kind": "all"}},
        {"question": "q", "audience": "everyone"},
        {"question": "q", "wait": "task"},
        {"question": "q", "idempotency_key": "k" * 257},
    ],
)
def test_the_schema_and_the_type_agree(value: dict[str, object]) -> None:
    """A model that follows what it reads is never refused, and the other way round."""
    valid = jsonschema_rs.Draft202012Validator(schema_of(arguments.AskUser)).is_valid(value)
    try:
        msgspec.convert(value, arguments.AskUser)
        converted = True
    except msgspec.ValidationError:
        converted = False
    assert converted is valid
