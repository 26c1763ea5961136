"""What `schema-fields.js` makes of schemas and of what people enter, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.pages import Page, origin_of
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

_READ = """
const { readSchema, problemWith } = await import("/schema-fields.js");
const kinds = (field) => field.kind === "group"
  ? Object.fromEntries(field.fields.map((inner) => [inner.key, kinds(inner)])) : field.kind;
"""


@pytest.fixture
def read(gateway: GatewayProcess, page: Page) -> Page:
    """A page of the gateway's origin that has nothing else in it."""
    page.driver.get(origin_of(gateway) + "/health")
    return page


def test_each_kind_of_property_has_its_field(read: Page) -> None:
    schema: dict[str, Any] = {
        "$defs": {"port": {"type": "integer", "maximum": 65535}},
        "type": "object",
        "properties": {
            "words": {"type": "string"},
            "maybe": {"type": ["string", "null"]},
            "port": {"$ref": "#/$defs/port"},
            "share": {"type": "number"},
            "sure": {"type": "boolean"},
            "one": {"type": "string", "enum": ["a", "b"]},
            "titled": {"oneOf": [{"const": 1, "title": "One"}, {"const": 2}]},
            "some": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "titles": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
            "lines": {"type": "array", "items": {"type": "string"}},
            "inner": {"type": "object", "properties": {"deep": {"type": "string"}}},
            "open": {"type": "object"},
            "numbers": {"type": "array", "items": {"type": "number"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "elsewhere": {"$ref": "https://example.com/schema.json"},
        },
    }
    assert read.run(_READ + "return kinds(readSchema(given[0]));", schema) == {
        "words": "text",
        "maybe": "text",
        "port": "integer",
        "share": "number",
        "sure": "boolean",
        "one": "option",
        "titled": "option",
        "some": "options",
        "titles": "options",
        "lines": "list",
        "inner": {"deep": "text"},
        "open": "json",
        "numbers": "json",
        "either": "json",
        "elsewhere": "json",
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{number}": {} for number in range(101)}},
        {"type": "object"},
        {"type": "array", "items": {"type": "number"}},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {},
    ],
    ids=["too many", "without properties", "a list", "itself", "a circle", "nothing"],
)
def test_a_schema_that_is_no_form_is_one_field_for_json(read: Page, schema: dict[str, Any]) -> None:
    assert read.run(_READ + "return kinds(readSchema(given[0]));", schema) == "json"


def test_what_is_wrong_is_said_in_a_sentence(read: Page) -> None:
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({"type": "string", "minLength": 3}, "ab", "At least 3 characters; this has 2."),
        ({"type": "string", "maxLength": 2}, "a😀", ""),
        ({"type": "string", "maxLength": 2}, "a😀b", "At most 2 characters; this has 3."),
        (
            {"type": "string", "pattern": "^[a-z]+$"},
            "A1",
            "This does not look as asked for (^[a-z]+$).",
        ),
        ({"type": "string", "pattern": "("}, "A1", ""),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 40 + "b", ""),
        ({"type": "string", "format": "email"}, "ada", "An e-mail address, like ada@example.com."),
        ({"type": "string", "format": "email"}, "ada@example.com", ""),
        (
            {"type": "string", "format": "uri"},
            "example",
            "A whole address, like https://example.com.",
        ),
        ({"type": "string", "format": "uri"}, "https://example.com/a?b", ""),
        ({"type": "string", "format": "date"}, "2026-02-30", "A date, like 2026-03-31."),
        ({"type": "string", "format": "date"}, "2026-02-28", ""),
        ({"type": "string", "format": "nobody-knows"}, "x", ""),
        ({"type": "integer"}, 1.5, "A whole number."),
        ({"type": "integer"}, 2**53, "This number is too large to be kept exactly."),
        ({"type": "integer", "minimum": 3}, 2, "At least 3."),
        ({"type": "integer", "maximum": 3}, 4, "At most 3."),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "More than 0."),
        ({"type": "number", "exclusiveMaximum": 1}, 1, "Less than 1."),
        ({"type": "number", "multipleOf": 0.1}, 0.3, ""),
        ({"type": "number", "multipleOf": 0.1}, 0.35, "A multiple of 0.1."),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2}, ["a"], "At least 2."),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 1}, ["a", "b"], "At most 1."),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            ["a", "a"],
            "Each only once.",
        ),
    ]
    said = read.run(
        _READ
        + """
        return given[0].map(([schema, value]) =>
          problemWith(readSchema({ type: "object", properties: { p: schema } }).fields[0], value));
        """,
        [[schema, value] for schema, value, _ in cases],
    )
    assert said == [problem for *_, problem in cases]


_MATCH = """
return given[0].map(([pattern, value]) => {
  const schema = { type: "object", properties: { p: { type: "string", pattern } } };
  return problemWith(readSchema(schema).fields[0], value) === "";
});
"""


def test_what_a_pattern_asks_for_is_tried_where_that_is_quick(read: Page) -> None:
    """Each pattern with what it takes, and what it does not."""
    cases = [
        (r"^[A-Z]{2}\d{4}$", "AB1234", "AB123"),
        (r"^[a-z][a-z0-9-]{0,30}$", "a-1", "-a"),
        (r"^v?\d{1,3}\.\d$", "v10.2", "v.2"),
        (r"^v\d+\.\d+$", "v10.2", "v10"),
        (r"^[\]{(|]+$", "]{(|", "]a"),
        (r"^\$\{\(\|\*$", "${(|*", "${(|+"),
        ("^.\U0001f3e8[^\U0001f3e9]$", "a\U0001f3e8b", "a\U0001f3e8\U0001f3e9"),
        ("b+", "abc", "ac"),
    ]
    tried = [[pattern, value] for pattern, *both in cases for value in both]
    assert read.run(_READ + _MATCH, tried) == [True, False] * len(cases)


@pytest.mark.parametrize(
    "pattern",
    [
        "^a{0,40}a{0,40}a{0,40}a{0,40}a{0,40}b$",
        "^" + "(a|aa)" * 20 + "b$",
        "^" + "(?:a|a)" * 28 + "b$",
        "^" + "a?" * 90 + "b$",
        "^(a+)+$",
        "^(a{1,9}){1,9}$",
        "^(?=a*a*a*a*b)",
        "^a*a*a*b$",
        "a*a*b",
        r"^(a*)\1\1\1b$",
        r"^\p{L}*\p{L}*\p{L}*b$",
        r"^[a\]]*[a\]]*[a\]]*b$",
    ],
)
def test_a_pattern_that_may_take_long_is_left_to_the_gateway(read: Page, pattern: str) -> None:
    # The driver gives up on a script that takes PATIENCE seconds.
    assert read.run(_READ + _MATCH, [[pattern, "a" * 256]]) == [True]


def test_the_slowest_pattern_that_is_tried_does_not_take_long(read: Page) -> None:
    patterns = ["^" + "." * 90 + ".*.*" + "." * 90 + "b$", "[^]*[^]{120}b"]
    cases = [[pattern, "a" * 256] for pattern in patterns] * 20
    assert read.run(_READ + _MATCH, cases) == [False] * 40


def test_what_is_required_may_not_be_left_empty(read: Page) -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    script = "return readSchema(given[0]).fields.map((field) => problemWith(field, undefined));"
    assert read.run(_READ + script, schema) == ["This is needed.", ""]


def test_a_label_is_the_title_or_the_name_in_words(read: Page) -> None:
    schema = {
        "type": "object",
        "properties": {"firstName": {}, "zip_code": {}, "x": {"title": "The X"}},
    }
    script = "return readSchema(given[0]).fields.map((field) => field.label);"
    assert read.run(_READ + script, schema) == ["First name", "Zip code", "The X"]
