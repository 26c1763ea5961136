"""The resources and prompts that the suite reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.mcp.call import Call
from gateway.mcp.results import (
    EmbeddedResource,
    PromptMessage,
    PromptResult,
    ReadResult,
    ResourceContents,
    TextContent,
)
from tests.conformance.tools import IMAGE, PIXEL

if TYPE_CHECKING:
    from gateway.mcp.registry import Registry


def declare(registry: Registry) -> None:
    """Declare them all."""
    text: dict[str, Any] = {"description": "Some text", "mimeType": "text/plain"}
    picture: dict[str, Any] = {"description": "A picture", "mimeType": "image/png"}
    data: dict[str, Any] = {"description": "Some data", "mimeType": "application/json"}
    registry.resource("test://static-text", "Static text", _static_text, **text)
    registry.resource("test://static-binary", "Static binary", _static_binary, **picture)
    registry.resource("test://watched-resource", "Watched", _static_text, **text)
    registry.template("test://template/{id}/data", "Template", _template, **data)
    registry.prompt("test_simple_prompt", _simple, description="A simple prompt")
    registry.prompt(
        "test_prompt_with_arguments",
        _with_arguments,
        description="A prompt to fill in",
        arguments=(_argument("arg1"), _argument("arg2")),
        completers={"arg1": _suggest},
    )
    registry.prompt(
        "test_prompt_with_embedded_resource",
        _with_resource,
        description="A prompt with a resource in it",
        arguments=(_argument("resourceUri"),),
    )
    registry.prompt("test_prompt_with_image", _with_image, description="A prompt with a picture")


def _argument(name: str) -> dict[str, Any]:
    return {"name": name, "description": f"What {name} is", "required": True}


def _said(*content: Any) -> PromptResult:
    return PromptResult(tuple(PromptMessage("user", each) for each in content))


async def _static_text(_call: Call, uri: str, _values: dict[str, str]) -> ReadResult:
    words = "This is the content of the static text resource."
    return ReadResult((ResourceContents(uri, "text/plain", words),))


async def _static_binary(_call: Call, uri: str, _values: dict[str, str]) -> ReadResult:
    return ReadResult((ResourceContents(uri, "image/png", blob=PIXEL),))


async def _template(_call: Call, uri: str, values: dict[str, str]) -> ReadResult:
    words = f'{{"id":"{values["id"]}","templateTest":true}}'
    return ReadResult((ResourceContents(uri, "application/json", words),))


async def _simple(_call: Call, _arguments: dict[str, str]) -> PromptResult:
    return _said(TextContent("This is a simple prompt for testing."))


async def _with_arguments(_call: Call, arguments: dict[str, str]) -> PromptResult:
    first, second = arguments["arg1"], arguments["arg2"]
    return _said(TextContent(f"Prompt with arguments: arg1='{first}', arg2='{second}'"))


async def _with_resource(_call: Call, arguments: dict[str, str]) -> PromptResult:
    uri = arguments["resourceUri"]
    words = "Embedded resource content for testing."
    return _said(
        EmbeddedResource(ResourceContents(uri, "text/plain", words)),
        TextContent("Please process the embedded resource above."),
    )


async def _with_image(_call: Call, _arguments: dict[str, str]) -> PromptResult:
    return _said(IMAGE, TextContent("Please analyze the image above."))


async def _suggest(_call: Call, typed: str, _others: dict[str, str]) -> list[str]:
    return [word for word in ("paris", "park", "party") if word.startswith(typed)]
