"""Arguments that a header repeats; how they are compared is in `revisions.test_modern`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.mirroring import DeclarationError, HeaderParameter
from gateway.mcp.registry import Registry
from gateway.mcp.results import ToolResult, text


async def _tool(_call: Call, _arguments: Any) -> ToolResult:
    return text("")


def _schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_arguments_that_a_header_repeats_are_found_also_inside_objects() -> None:
    registry = Registry()
    registry.tool("plain", _tool, description="d")
    assert not registry.mirrors_arguments
    schema = _schema(
        region={"type": "string", "x-mcp-header": "Region"},
        deep=_schema(count={"type": "integer", "x-mcp-header": "Count"}),
        odd=True,
    )
    registry.tool("t", _tool, description="d", input_schema=schema)
    tool = registry.tools.get("t")
    assert tool is not None
    assert tool.header_parameters == (
        HeaderParameter(("region",), "Region"),
        HeaderParameter(("deep", "count"), "Count"),
    )
    assert registry.mirrors_arguments


@pytest.mark.parametrize(
    "schema",
    [
        _schema(a={"type": "string", "x-mcp-header": ""}),
        _schema(a={"type": "string", "x-mcp-header": "a b"}),
        _schema(a={"type": "string", "x-mcp-header": 5}),
        _schema(a={"type": "number", "x-mcp-header": "A"}),
        _schema(a={"x-mcp-header": "A"}),
        _schema(
            a={"type": "string", "x-mcp-header": "A"}, b={"type": "string", "x-mcp-header": "a"}
        ),
        _schema(
            a={"type": "string", "x-mcp-header": "A"},
            b=_schema(c={"type": "string", "x-mcp-header": "A"}),
        ),
    ],
)
def test_annotations_that_callers_would_refuse_are_refused_here(schema: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Registry().tool("t", _tool, description="d", input_schema=schema)
