"""What can be declared, and how it is listed."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from gateway.mcp.call import Call
from gateway.mcp.mirroring import DeclarationError
from gateway.mcp.registry import InvalidCursorError, Registry
from gateway.mcp.results import PromptResult, ReadResult, ToolResult, text


async def _tool(_call: Call, _arguments: Any) -> ToolResult:
    return text("")


async def _read(_call: Call, _uri: str, _values: dict[str, str]) -> ReadResult:
    return ReadResult(())


async def _prompt(_call: Call, _arguments: dict[str, str]) -> PromptResult:
    return PromptResult(())


def _names(page: Any) -> list[str]:
    return [each["name"] for each in json.loads(page.body)["tools"]]


@pytest.mark.parametrize("name", ["a", "A-Z_0.9/x", "x" * 64])
def test_names_of_tools_that_every_caller_takes(name: str) -> None:
    registry = Registry()
    registry.tool(name, _tool, description="d")
    assert registry.tools.get(name) is not None


@pytest.mark.parametrize("name", ["", "x" * 65, "with blank", "ä", "a,b", "a\n", "x\x00"])
def test_names_of_tools_that_some_caller_refuses(name: str) -> None:
    with pytest.raises(DeclarationError):
        Registry().tool(name, _tool, description="d")


def test_a_tool_is_declared_once_with_words_and_an_object_for_arguments() -> None:
    registry = Registry()
    registry.tool("t", _tool, description="d")
    with pytest.raises(DeclarationError, match="already"):
        registry.tool("t", _tool, description="d")
    with pytest.raises(DeclarationError, match="description"):
        registry.tool("u", _tool, description="")
    with pytest.raises(DeclarationError, match="object"):
        registry.tool("u", _tool, description="d", input_schema={"type": "array"})


def test_a_schema_is_derived_or_given_verbatim() -> None:
    class Arguments(msgspec.Struct):
        city: str

    verbatim = {"type": "object", "$schema": "x", "$defs": {"a": {"$anchor": "b"}}, "if": {}}
    registry = Registry()
    registry.tool("derived", _tool, description="d", arguments=Arguments)
    registry.tool("none", _tool, description="d")
    registry.tool("verbatim", _tool, description="d", input_schema=verbatim, title="T")
    listed = {each["name"]: each for each in json.loads(registry.tools.page(None).body)["tools"]}
    assert listed["derived"]["inputSchema"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    assert listed["none"]["inputSchema"] == {"type": "object", "properties": {}}
    assert listed["verbatim"]["inputSchema"] == verbatim
    assert listed["verbatim"]["title"] == "T"


def test_pages_cover_everything_once_and_stay_good_while_things_come_and_go() -> None:
    registry = Registry(page_size=10)
    for number in range(25):
        registry.tool(f"t{number:02}", _tool, description="d")
    first = registry.tools.page(None)
    cursor = json.loads(first.body)["nextCursor"]
    assert registry.tools.page(None) is first
    registry.tools.remove("t09")
    registry.tools.remove("t00")
    registry.tools.remove("unknown")
    registry.tool("t101", _tool, description="d")
    seen = _names(first)
    while cursor is not None:
        page = registry.tools.page(cursor)
        seen += _names(page)
        cursor = json.loads(page.body).get("nextCursor")
    assert seen == [f"t{n:02}" for n in range(11)] + ["t101"] + [f"t{n}" for n in range(11, 25)]


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "YWZ0ZXI6", base64.b64encode(b"after:\xff").decode(), "10", "ä"]
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        Registry().tools.page(cursor)


def test_a_cursor_past_the_end_is_an_empty_page() -> None:
    registry = Registry()
    registry.tool("a", _tool, description="d")
    cursor = base64.urlsafe_b64encode(b"after:zzz").decode()
    assert json.loads(registry.tools.page(cursor).body) == {"tools": []}


def test_any_number_of_cursors_keeps_a_bounded_number_of_pages() -> None:
    registry = Registry(page_size=1)
    registry.tool("m", _tool, description="d")
    for number in range(100):
        registry.tools.page(base64.urlsafe_b64encode(b"after:%d" % number).decode())
    assert len(registry.tools._pages) <= 2


def test_a_uri_finds_its_resource_or_the_template_it_is_made_from() -> None:
    registry = Registry()
    registry.resource("test://fixed{odd}", "fixed", _read)
    registry.template("test://item/{id}/data.{kind}", "items", _read, mimeType="text/plain")
    fixed = registry.find_resource("test://fixed{odd}")
    assert fixed is not None
    assert fixed[1] == {}
    made = registry.find_resource("test://item/12 3/data.json")
    assert made is not None
    assert made[1] == {"id": "12 3", "kind": "json"}
    for other in (
        "test://fixed",
        "test://item/1/2/data.x",
        "test://item//data.x",
        "test://item/1/dataxx",
    ):
        assert registry.find_resource(other) is None


def test_a_prompt_knows_what_it_must_be_told() -> None:
    registry = Registry()
    registry.prompt(
        "p",
        _prompt,
        description="d",
        arguments=({"name": "a", "required": True}, {"name": "b"}),
    )
    prompt = registry.prompts.get("p")
    assert prompt is not None
    assert prompt.required == {"a"}
    assert prompt.known == {"a", "b"}
    assert len(registry.prompts) == 1


def test_a_thousand_tools_are_listed_fast_and_whole() -> None:
    registry = Registry(page_size=1000)
    for number in range(1000):
        registry.tool(f"t{number:03}", _tool, description="d" * 100)
    assert len(_names(registry.tools.page(None))) == 1000
