"""Results as JSON, held against the models of the protocol's own package."""

from __future__ import annotations

from typing import Any

import mcp_types
import msgspec
import pytest

from gateway.mcp import results


@pytest.mark.parametrize(
    ("result", "model"),
    [
        (results.Empty(), mcp_types.EmptyResult),
        (results.text("t"), mcp_types.CallToolResult),
        (results.text("t", {"a": 1}, is_error=True), mcp_types.CallToolResult),
        (
            results.ToolResult(
                (
                    results.TextContent("t"),
                    results.ImageContent("AA==", "image/png"),
                    results.AudioContent("AA==", "audio/wav"),
                    results.EmbeddedResource(results.ResourceContents("a://b", text="x")),
                    results.EmbeddedResource(
                        results.ResourceContents("a://b", "image/png", blob="AA==")
                    ),
                    results.ResourceLink("a://b", "name", mime_type="text/plain"),
                ),
                meta={"com.example/x": 1},
            ),
            mcp_types.CallToolResult,
        ),
        (
            results.PromptResult(
                (results.PromptMessage("user", results.TextContent("t")),), "words"
            ),
            mcp_types.GetPromptResult,
        ),
        (
            results.ReadResult((results.ResourceContents("a://b", "text/plain", "x"),)),
            mcp_types.ReadResourceResult,
        ),
    ],
)
def test_the_protocols_models_read_what_we_write(result: Any, model: Any) -> None:
    """And would write the same."""
    written = msgspec.json.encode(result)
    read = model.model_validate_json(written)
    again = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    for added in ("resultType", "ttlMs", "cacheScope"):
        again.pop(added, None)
    if again.get("isError") is False:
        del again["isError"]
    assert again == msgspec.json.decode(written)
