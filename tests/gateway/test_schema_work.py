"""What a schema makes to check is known before it is checked (B17)."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers import InvalidSchemaError, check_schema, refusal
from gateway.schema_work import MOST, ForeignReferenceError, TooMuchWorkError, Work
from session.model import Question


def form(field: Any, **definitions: Any) -> dict[str, Any]:
    return {"type": "object", "$defs": definitions, "properties": {"x": field}}


def forking(depth: int, word: str) -> dict[str, Any]:
    """A schema of references each of which is followed twice."""
    links: dict[str, Any] = {
        f"a{each}": {word: [{"$ref": f"#/$defs/a{each + 1}"}] * 2} for each in range(depth)
    }
    return form({"$ref": "#/$defs/a0"}, **links, **{f"a{depth}": {"type": "integer"}})


def looking_again(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"x": {}}}
    for _ in range(depth):
        schema = {"type": "object", "allOf": [schema], "unevaluatedProperties": False}
    return schema


# What the validator takes seconds to hours for, or gigabytes.
TOO_MUCH: dict[str, dict[str, Any]] = {
    **{f"forks of {word}": forking(60, word) for word in ("allOf", "anyOf", "oneOf")},
    "forks of if": form(
        {"$ref": "#/$defs/a0"},
        **{
            f"a{each}": {
                word: {"$ref": f"#/$defs/a{(each + 1) % 40}"} for word in ("if", "then", "else")
            }
            for each in range(40)
        },
    ),
    "itself": form({"$ref": "#/$defs/n"}, n={"$ref": "#/$defs/n"}),
    "itself, by a fork": form({"$ref": "#/$defs/n"}, n={"anyOf": [{"$ref": "#/$defs/n"}] * 2}),
    "looking again and again": looking_again(30),
    "a pattern of a million states": form({"pattern": "(((a{0,50}){0,50}){0,50})$"}),
    "a repetition without a lower bound": form({"pattern": "(a{,900}b{,900})$"}),
    "a thousand patterns": form({"allOf": [{"pattern": f"a{each}"} for each in range(3000)]}),
    "a name's pattern": {"type": "object", "patternProperties": {"(a{99}){99}": {}}},
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_no_answer_could_be_checked_with_is_refused_at_the_ask(name: str) -> None:
    with pytest.raises(TooMuchWorkError):
        Work(TOO_MUCH[name]).check()
    with pytest.raises(InvalidSchemaError, match="cannot be used"):
        check_schema(TOO_MUCH[name])


@pytest.mark.parametrize(
    "field",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json#/a"},
        {"$ref": 7},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "#/type/nothing"},
        {"allOf": [{"$id": "http://127.0.0.1:1/", "$ref": "schema.json"}]},
        {"$dynamicRef": "#n"},
        {"$recursiveRef": "#"},
    ],
)
def test_what_is_not_in_a_schema_is_not_looked_for(field: Any) -> None:
    with pytest.raises(ForeignReferenceError):
        Work(form(field)).check()
    with pytest.raises(InvalidSchemaError):
        check_schema(form(field))


# Schemas that are all right, and what would be too much to check against them.
LARGE: dict[str, tuple[dict[str, Any], Any]] = {
    "a tree that forks": (
        {"$defs": {"n": {"properties": {"x": {"anyOf": [{"$ref": "#/$defs/n"}] * 2}}}},
         "type": "object", "$ref": "#/$defs/n"},
        json.loads('{"x":' * 40 + "{}" + "}" * 40),
    ),
    "constants": (
        form({"items": {"anyOf": [{"const": each} for each in range(3000)]}}),
        {"x": ["a"] * 3000},
    ),
    "an enumeration": (form({"items": {"enum": list(range(4000))}}), {"x": ["a"] * 1000}),
    "items": (form({"items": {"type": "string"}}), {"x": ["a"] * 6000}),
    "the items of a tuple": (form({"prefixItems": [{"enum": [1] * 6000}]}), {"x": [1, 2]}),
    "what an array contains": (form({"contains": {"enum": list(range(900))}}), {"x": [-1] * 9}),
    "names": (form({"propertyNames": {"enum": ["a"] * 1000}}), {"x": dict.fromkeys("bcdefg", 1)}),
    "other properties": ({"additionalProperties": {"enum": ["a"] * 3000}}, {"b": 1, "c": 2}),
    "patterns of names": (
        {"patternProperties": {"a.*": {"enum": ["a"] * 3000}}}, {"a1": 1, "a2": 2}
    ),
    "a long text and a pattern": (form({"pattern": "^(a{0,20}){0,10}$"}), {"x": "a" * 99_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_an_answer_that_is_too_much_to_check_is_refused_and_said_so(name: str) -> None:
    schema, content = LARGE[name]
    check_schema(schema)
    with pytest.raises(TooMuchWorkError):
        Work(schema).of(content)
    question = Question("q", "acme", "agent", "?", 0.0, 1.0, schema=schema)
    assert "too much to check" in refusal(question, "", content)


def test_what_is_wrong_is_told_in_detail_only_when_that_is_cheap() -> None:
    schema = forking(10, "anyOf")
    question = Question("q", "acme", "agent", "?", 0.0, 1.0, schema=schema)
    assert refusal(question, "", {"x": 1}) == ""
    assert refusal(question, "", {"x": "s"}) == "It is not as its schema says: the form."


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        ({"$ref": "#"}, {}),
        (form({"$ref": "#/$defs/a~1b"}, **{"a/b": {"type": "integer"}}), {"x": 1}),
        (form({"$ref": "#/$defs/n/allOf/0"}, n={"allOf": [{"type": "integer"}]}), {"x": 1}),
        ({"$id": "https://example.com/form", "properties": {"x": {"type": "integer"}}}, {"x": 1}),
        (form({"$ref": "#"}), json.loads('{"x":' * 50 + "{}" + "}" * 50)),
        (form(True), {"x": 1}),
        ({"dependentSchemas": {"x": {"required": ["y"]}}}, {"x": 1, "y": 1}),
        (form({"items": [{"type": "string"}]}), {"x": ["a"]}),
    ],
)
def test_ordinary_schemas_cost_little(schema: dict[str, Any], content: Any) -> None:
    if schema != {"$ref": "#"}:
        Work(schema).check()
        assert Work(schema).of(content) < 300
    else:
        with pytest.raises(TooMuchWorkError):
            Work(schema).check()


_NAMES = st.sampled_from(["x", "y"])
_LEAVES = st.sampled_from(
    [{"type": "integer"}, {"type": "string"}, True, False, {"enum": [1]}, {"$ref": "#/$defs/d"}]
)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(inner, min_size=1, max_size=3)
    words = st.sampled_from(
        ["not", "if", "items", "contains", "additionalProperties", "propertyNames",
         "unevaluatedProperties", "unevaluatedItems"]
    )  # fmt: skip
    return st.one_of(
        st.tuples(st.sampled_from(["allOf", "anyOf", "oneOf"]), many).map(lambda p: {p[0]: p[1]}),
        st.tuples(words, inner).map(lambda pair: {pair[0]: pair[1]}),
        st.dictionaries(_NAMES, inner, max_size=2).map(lambda each: {"properties": each}),
        st.dictionaries(_NAMES, inner, max_size=2).map(lambda each: {"patternProperties": each}),
        st.tuples(inner, inner).map(lambda pair: {"allOf": [*pair], "unevaluatedItems": False}),
    )


@given(
    st.recursive(_LEAVES, _larger, max_leaves=12),
    st.recursive(
        st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=2),
        max_leaves=8,
    ),
)
def test_any_schema_is_counted_and_what_passes_is_checked(field: Any, content: Any) -> None:
    schema = form(field, d={"type": ["integer", "object"]})
    try:
        Work(schema).check()
        steps = Work(schema).of({"x": content})
    except TooMuchWorkError:
        return
    assert 0 < steps <= MOST
    # The validator takes it, and ends.
    jsonschema_rs.Draft202012Validator(schema).is_valid({"x": content})


_WORDS = st.sampled_from(["$ref", "allOf", "items", "properties", "not", "pattern", "$id", "x"])


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner) | st.dictionaries(_WORDS, inner),
    )
)
def test_any_json_is_a_schema_or_refused(schema: Any) -> None:
    if isinstance(schema, dict):
        try:
            check_schema(schema)
        except InvalidSchemaError:
            pass
