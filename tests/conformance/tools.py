"""The tools that the suite calls, apart from those of several rounds."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, final

import trio

from gateway.mcp.call import Call, Progress
from gateway.mcp.capabilities import require
from gateway.mcp.results import (
    AudioContent,
    Content,
    EmbeddedResource,
    ImageContent,
    ResourceContents,
    TextContent,
    ToolResult,
    text,
)
from gateway.mcp.rounds import elicitation, sampling
from pool.workers import to_worker

if TYPE_CHECKING:
    from gateway.mcp.registry import Registry

_STEP_SECONDS: Final = 0.05


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


#: One red pixel (PNG), and a hundredth of a second of silence (WAV).
PIXEL: Final = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
).decode()
SILENCE: Final = base64.b64encode(
    b"RIFF"
    + struct.pack("<I", 36 + 80)
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data"
    + struct.pack("<I", 80)
    + b"\x80" * 80
).decode()

IMAGE: Final = ImageContent(PIXEL, "image/png")
_TEXT: Final = TextContent("This is a simple text response for testing.")

_CONTENTS: Final[dict[str, tuple[Content, ...]]] = {
    "test_simple_text": (_TEXT,),
    "test_image_content": (IMAGE,),
    "test_audio_content": (AudioContent(SILENCE, "audio/wav"),),
    "test_embedded_resource": (
        EmbeddedResource(
            ResourceContents(
                "test://embedded-resource", "text/plain", "This is an embedded resource content."
            )
        ),
    ),
    "test_multiple_content_types": (
        TextContent("Multiple content types test:"),
        IMAGE,
        EmbeddedResource(
            ResourceContents("test://mixed-content-resource", "application/json", '{"value":123}')
        ),
    ),
}

_DEFAULTS: Final = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_TITLED: Final = [
    {"const": "value1", "title": "First option"},
    {"const": "value2", "title": "Second option"},
]
_PLAIN: Final = ["option1", "option2", "option3"]
_ENUMS: Final = {
    "untitledSingle": {"type": "string", "enum": _PLAIN},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": _PLAIN, "enumNames": ["One", "Two", "Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _PLAIN}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}
_FORMS: Final[dict[str, dict[str, Any]]] = {
    "test_elicitation": {
        "username": {"type": "string", "description": "Who is there"},
        "email": {"type": "string", "description": "Where to write to"},
    },
    "test_elicitation_sep1034_defaults": _DEFAULTS,
    "test_elicitation_sep1330_enums": _ENUMS,
    "test_streaming_elicitation": {"username": {"type": "string"}},
}

_SCHEMA_2020_12: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
_REGION: Final = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}


def _one(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


async def pause(seconds: float = _STEP_SECONDS) -> None:
    """Take a moment, as work does; this holds a worker."""
    await to_worker()
    await trio.sleep(seconds)


@final
class Tools:
    """The handlers, and the registry that some of them change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def declare(self) -> None:
        """Declare them all."""
        tool = self._registry.tool
        for name in _CONTENTS:
            tool(name, self._content, description="Returns content of some kind")
        for name in _FORMS:
            schema = _one("message") if name == "test_elicitation" else None
            tool(name, self._elicit, description="Asks a person", input_schema=schema)
        tool(
            "test_sampling",
            self._sample,
            description="Asks the caller's model",
            input_schema=_one("prompt"),
        )
        tool("test_error_handling", self._fail, description="Fails")
        tool("test_tool_with_progress", self._progress, description="Tells how far it is")
        tool("test_tool_with_logging", self._log, description="Logs")
        tool("test_logging_tool", self._log, description="Logs")
        tool("test_reconnection", self._reconnect, description="Has its caller come back")
        tool("test_missing_capability", self._sample, description="Needs sampling")
        tool("test_trigger_tool_change", self._change_tools, description="Changes the tools")
        tool("test_trigger_prompt_change", self._change_prompts, description="Changes the prompts")
        tool(
            "json_schema_2020_12_tool",
            self._content,
            description="Has a schema with all there is",
            input_schema=_SCHEMA_2020_12,
        )
        tool(
            "test_custom_header",
            self._content,
            description="Has an argument that a header repeats",
            input_schema=_REGION,
        )

    async def _content(self, call: Call, _arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(_CONTENTS.get(call.label, (_TEXT,)))

    async def _fail(self, _call: Call, _arguments: dict[str, Any]) -> ToolResult:
        return text("This tool intentionally returns an error for testing", is_error=True)

    async def _progress(self, call: Call, _arguments: dict[str, Any]) -> ToolResult:
        for done in (0, 50, 100):
            call.progress(Progress(done, 100, f"{done} of 100"))
            await pause()
        return text("Done.")

    async def _log(self, call: Call, _arguments: dict[str, Any]) -> ToolResult:
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            call.log("info", words)
            await pause()
        return text("Done.")

    async def _reconnect(self, call: Call, _arguments: dict[str, Any]) -> ToolResult:
        call.part()
        await pause(0.2)
        return text("You came back.")

    async def _sample(self, call: Call, arguments: dict[str, Any]) -> ToolResult:
        method, params = sampling(str(arguments.get("prompt", "Hello?")), 100)
        require(call, ((method, params),))
        said = await call.ask(method, dict(params))
        content = said.get("content")
        words = content.get("text") if isinstance(content, dict) else None
        return text(f"LLM response: {words}")

    async def _elicit(self, call: Call, arguments: dict[str, Any]) -> ToolResult:
        if call.session is None:
            return text("Nobody can be asked on a stream any more.", is_error=True)
        message = str(arguments.get("message", "Please fill this in."))
        method, params = elicitation(message, _FORMS[call.label])
        said = await call.ask(method, dict(params))
        return text(f"User response: {said}")

    async def _change_tools(self, _call: Call, _arguments: dict[str, Any]) -> ToolResult:
        self._registry.tool("test_added", self._content, description="Was not there before")
        self._registry.tools.remove("test_added")
        return text("The tools have changed.")

    async def _change_prompts(self, _call: Call, _arguments: dict[str, Any]) -> ToolResult:
        prompts = self._registry.prompts
        prompt = prompts.get("test_simple_prompt")
        assert prompt is not None
        prompts.remove("test_simple_prompt")
        prompts.put("test_simple_prompt", prompt)
        return text("The prompts have changed.")
