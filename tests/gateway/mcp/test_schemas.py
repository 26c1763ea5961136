"""Schemas as models read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from gateway.mcp.schemas import schema_of


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """For programmers."""

    kind: Literal["a", "b"] = "a"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """For programmers."""

    name: Annotated[str, Meta(description="Its name.", min_length=1)]
    inner: Annotated[Inner | msgspec.UnsetType, Meta(description="What is in it.")] = msgspec.UNSET
    many: tuple[Inner, ...] = ()
    title: str = ""


class Recursive(msgspec.Struct):
    """Contains itself."""

    child: Recursive | None = None


class Nothing(msgspec.Struct):
    """Has no fields."""


def test_a_schema_has_no_references_and_no_words_of_ours() -> None:
    schema = schema_of(Outer)
    inner = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"], "default": "a"}},
        "additionalProperties": False,
    }
    assert schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Its name.", "minLength": 1},
            "inner": {**inner, "description": "What is in it."},
            "many": {"type": "array", "items": inner},
            "title": {"type": "string"},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_no_arguments_is_an_object_without_properties() -> None:
    assert schema_of(Nothing) == {"type": "object", "properties": {}}


def test_a_type_that_contains_itself_has_to_be_given_verbatim() -> None:
    with pytest.raises(TypeError, match="contains itself"):
        schema_of(Recursive)


def test_a_property_may_be_called_title() -> None:
    properties: dict[str, Any] = schema_of(Outer)["properties"]
    assert properties["title"]["type"] == "string"
