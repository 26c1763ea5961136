"""What a page may say of a tool, and what is said to it."""

import json
from typing import Any

import msgspec
import pytest

from gateway.tool_definitions import (
    Definition,
    InvalidToolError,
    Target,
    arguments_refusal,
    check_namespace,
    check_schemas,
    definition_of,
    listing_of,
    result_of,
    target_of,
)
from session.model import Question
from session.steps import WHOLE

SAID: dict[str, Any] = {
    "name": "lookup",
    "description": "Looks an order up",
    "inputSchema": {"properties": {"order": {"type": "integer"}}, "required": ["order"]},
}
STATE = {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]}


def defined(**more: Any) -> Definition:
    return definition_of("shop", {**SAID, **more}, 10_000)


def tool(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(defined(**more).data)
    return found


def called(schema: dict[str, Any] | None = None) -> Question:
    return Question("1", "acme", "agent", "shop.a", 0, 9, schema=schema, tool="shop.a")


def result(said: dict[str, Any], schema: dict[str, Any] | None = None) -> Any:
    text, wrong = result_of(called(schema), said, 1_000)
    found = json.loads(text)
    assert (wrong != "") == ("cannot be passed on" in text)
    return found


def test_what_a_page_returns_is_no_longer_than_what_is_done_in_one_go() -> None:
    """Nobody looks at it, then, whatever the settings allow."""
    said: dict[str, Any] = {"structuredContent": {}}
    assert result_of(called(), said, 16 * WHOLE, WHOLE)[1] == ""
    text, wrong = result_of(called(STATE), said, 16 * WHOLE, WHOLE + 1)
    assert wrong.endswith(f"it is longer than {WHOLE} bytes.")
    assert json.loads(text)["isError"]


def test_a_definition_has_its_whole_name_and_what_mcp_knows_and_nothing_else() -> None:
    annotations = {"readOnlyHint": True, "untrusted": 1, "title": "Look", "openWorldHint": "yes"}
    found = tool(title="Look up", annotations=annotations, execute="x", icons=[])
    assert found == {
        "name": "shop.lookup",
        "title": "Look up",
        "description": "Looks an order up",
        "inputSchema": {"type": "object", **SAID["inputSchema"]},
        "annotations": {"readOnlyHint": True, "title": "Look"},
    }
    assert tool(inputSchema=None)["inputSchema"] == {"type": "object", "properties": {}}


def test_equal_definitions_have_one_digest_and_others_have_others() -> None:
    assert defined() == defined()
    assert defined().digest != defined(description="Looks it up").digest
    assert defined().digest != definition_of("desk", SAID, 10_000).digest


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "look up"}, "a tool's name has"),
        ({"name": "a.b"}, "a tool's name has"),
        ({"name": None}, "a tool's name has"),
        ({"name": "a" * 60}, "with its namespace"),
        ({"description": " "}, "needs a description"),
        ({"description": 7}, "needs a description"),
        ({"inputSchema": []}, 'schema with "type": "object"'),
        ({"inputSchema": {"type": "array"}}, 'schema with "type": "object"'),
        ({"outputSchema": {"type": "string"}}, 'outputSchema must be a schema with "type"'),
        ({"inputSchema": {"properties": []}}, "properties must be an object"),
        ({"inputSchema": {"properties": {"_target": {}}}}, "the gateway's own"),
        ({"description": "a" * 10_000}, "larger than 10000 bytes"),
        ({"inputSchema": {"properties": {"a": {"x-mcp-header": "A"}}}}, "x-mcp-header"),
    ],
)
def test_what_cannot_be_offered_is_refused_with_what_to_change(
    more: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidToolError, match=words):
        defined(**more)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "https://example.org/a.json"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"type": "no such type"}}},
        {"properties": {"a": {"pattern": "(a{99}){99}"}}},
    ],
    ids=["elsewhere", "malformed", "unknown type", "too much work"],
)
@pytest.mark.parametrize("member", ["inputSchema", "outputSchema"])
def test_a_schema_with_which_nothing_could_be_checked_is_refused(
    member: str, schema: dict[str, Any]
) -> None:
    check_schemas(defined())
    with pytest.raises(InvalidToolError, match=f"shop.lookup: {member}"):
        check_schemas(defined(**{member: schema}))


@pytest.mark.parametrize(
    "namespace", ["", "1shop", "a b", "a" * 33, "a.b", "mcp", "Frontend-Router"]
)
def test_a_namespace_is_a_short_word_and_not_ours(namespace: str) -> None:
    check_namespace("shop-2")
    with pytest.raises(InvalidToolError):
        check_namespace(namespace)


def test_callers_are_shown_how_to_say_which_page_they_mean() -> None:
    shown = json.loads(listing_of(tool()))
    assert shown["inputSchema"]["properties"].keys() == {"order", "_target"}
    assert shown["inputSchema"]["required"] == ["order"]
    assert json.loads(listing_of(tool(inputSchema=None)))["inputSchema"]["properties"].keys() == {
        "_target"
    }


def test_which_page_is_meant_is_no_argument_of_the_tool() -> None:
    arguments: dict[str, Any] = {"order": 1, "_target": {"user": "ann"}}
    assert target_of(arguments) == Target("ann", "")
    assert arguments == {"order": 1}
    assert target_of(arguments) == Target()
    for wrong in (7, {"tab": "x"}, {"user": 7}, {"frontend_id": "x" * 129}):
        assert isinstance(target_of({"_target": wrong}), str)


def test_arguments_that_break_the_schema_are_told_with_those_there_are() -> None:
    assert arguments_refusal(tool(), {"order": 7}) == ""
    words = arguments_refusal(tool(), {"order": "7"})
    assert words.startswith("Invalid arguments for shop.lookup: order: ")
    assert words.endswith("Its arguments are: order.")


def test_a_result_is_passed_on_as_mcp_has_it() -> None:
    text = {"type": "text", "text": "shipped"}
    assert result({"content": [text], "_meta": {"a": 1}, "more": 1}) == {"content": [text]}
    structured = {"state": "shipped"}
    assert result({"structuredContent": structured}, STATE) == {
        "content": [{"type": "text", "text": '{"state":"shipped"}'}],
        "structuredContent": structured,
    }
    assert result({"content": [text], "isError": True}, STATE) == {
        "content": [text],
        "isError": True,
    }


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "audio", "data": "aGk=", "mimeType": "audio/ogg"},
        {"type": "resource_link", "uri": "a:b", "name": "b"},
        {"type": "resource", "resource": {"uri": "a:b", "text": "hi"}},
        {"type": "resource", "resource": {"uri": "a:b", "blob": "aGk="}},
    ],
    ids=lambda block: block["type"],
)
def test_every_kind_of_content_is_passed_on(block: dict[str, Any]) -> None:
    assert result({"content": [block]}) == {"content": [block]}
    broken = {"type": block["type"]}
    assert result({"content": [broken]})["isError"] is True


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "there is nothing in it"),
        ({"content": "hi"}, "content is no list"),
        ({"content": ["hi"]}, "no content of MCP"),
        ({"content": [{"type": "video"}]}, "no content of MCP"),
        ({"content": [{"type": ["text"]}]}, "no content of MCP"),
        ({"content": [{"type": "text", "text": "a" * 1_000}]}, "longer than 1000"),
        ({"structuredContent": [1]}, "structuredContent is no object"),
    ],
)
def test_what_cannot_be_passed_on_is_an_error_that_says_why(
    said: dict[str, Any], words: str
) -> None:
    found = result(said)
    assert found["isError"] is True
    assert words in found["content"][0]["text"]


def test_a_result_has_to_be_what_its_tool_said_it_returns() -> None:
    assert "missing" in str(result({"content": []}, STATE))
    assert "required property" in str(result({"structuredContent": {}}, STATE))
