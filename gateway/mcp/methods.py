"""What each method does, for all revisions alike.

It refuses to know how a request came and how its reply leaves: parameters in,
a result (or `LATER`) out, and an `RpcError` for what a caller has to do differently.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.mcp import jsonrpc
from gateway.mcp.call import LEVELS, Call, Later
from gateway.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from gateway.mcp.registry import InvalidCursorError, Registry, Shelf, Tool
from gateway.mcp.results import Empty, Encoded, text

if TYPE_CHECKING:
    from gateway.mcp.revisions.family import Reply
    from session import Store

Method = Callable[[Call], Awaitable["Reply | Later"]]

# What handshake revisions answer for a resource that is not there; the modern
# ones must not (MCP 2026-07-28, "Error Codes").
_RESOURCE_NOT_FOUND: Final = -32002
_SHOWN: Final = 100
_CALL_PARAMS: Final = frozenset(("name", "arguments", "_meta"))
_NO_ARGUMENTS: Final[dict[str, Any]] = {}
_EMPTY: Final = Empty()

_convert = msgspec.convert


@final
class Methods:
    """The methods that both families share."""

    __slots__ = ("_registry", "_store", "table")

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self.table: dict[str, Method] = {
            "tools/call": self.call_tool,
            "tools/list": self._lister(registry.tools),
            "resources/list": self._lister(registry.resources, registry.templates),
            "resources/templates/list": self._lister(registry.templates, registry.resources),
            "resources/read": self.read_resource,
            "prompts/list": self._lister(registry.prompts),
            "prompts/get": self.get_prompt,
            "ping": self.ping,
            "logging/setLevel": self.set_level,
        }

    def tool(self, params: dict[str, Any]) -> Tool:
        """Return the tool that a call names.

        Raises:
            RpcError: there is none.
        """
        name = params.get("name")
        if type(name) is not str:
            raise RpcError(INVALID_PARAMS, "tools/call needs name, a string.")
        tool = self._registry.tools.get(name)
        if tool is None:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:_SHOWN]}")
        return tool

    async def call_tool(self, call: Call) -> Reply | Later:
        """Call a tool. Wrong arguments are the tool's result: a model can correct them."""
        params = call.params
        if not params.keys() <= _CALL_PARAMS:
            _refuse_lookalikes(params)
        tool = self.tool(params)
        call.label = tool.name
        arguments = params.get("arguments", _NO_ARGUMENTS)
        if type(arguments) is not dict:
            raise RpcError(INVALID_PARAMS, "arguments must be an object.")
        if tool.arguments is None:
            return await tool.handler(call, arguments)
        try:
            typed = _convert(arguments, tool.arguments)
        except msgspec.ValidationError as error:
            return text(_explain(tool, error), is_error=True)
        return await tool.handler(call, typed)

    async def read_resource(self, call: Call) -> Reply | Later:
        """Read a resource."""
        if not (self._registry.resources or self._registry.templates):
            raise _not_served(call)
        uri = _string(call.params, "uri", "resources/read")
        found = self._registry.find_resource(uri)
        if found is None:
            code = INVALID_PARAMS if call.session is None else _RESOURCE_NOT_FOUND
            raise RpcError(code, "Resource not found", {"uri": uri})
        resource, values = found
        return await resource.read(call, uri, values)

    async def get_prompt(self, call: Call) -> Reply | Later:
        """Fill in a prompt."""
        if not self._registry.prompts:
            raise _not_served(call)
        name = _string(call.params, "name", "prompts/get")
        prompt = self._registry.prompts.get(name)
        if prompt is None:
            raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:_SHOWN]}")
        given = call.params.get("arguments", _NO_ARGUMENTS)
        if type(given) is not dict or not all(type(value) is str for value in given.values()):
            raise RpcError(INVALID_PARAMS, "The arguments of a prompt must be strings.")
        missing = prompt.required - given.keys()
        if missing:
            raise RpcError(INVALID_PARAMS, f"Missing arguments: {', '.join(sorted(missing))}")
        return await prompt.make(call, given)

    async def ping(self, _call: Call) -> Reply:
        """Show that we are there."""
        return _EMPTY

    async def set_level(self, call: Call) -> Reply:
        """Remember from which level on the session wants log messages."""
        level = call.params.get("level")
        if level not in LEVELS:
            raise RpcError(INVALID_PARAMS, f"level must be one of: {', '.join(LEVELS)}")
        session = call.session
        assert session is not None
        session.log_level = level
        await self._store.save_session(session)
        return _EMPTY

    def _lister(self, shelf: Shelf[Any], *same_capability: Shelf[Any]) -> Method:
        async def page(call: Call) -> Encoded:
            if not (shelf or any(same_capability)):
                raise _not_served(call)
            cursor = call.params.get("cursor")
            if cursor is not None and type(cursor) is not str:
                raise RpcError(INVALID_PARAMS, "cursor must be a string.")
            try:
                return shelf.page(cursor)
            except InvalidCursorError:
                raise RpcError(
                    INVALID_PARAMS, "This cursor is none of ours; begin again without one."
                ) from None

        return page


def _not_served(call: Call) -> RpcError:
    """Return the error for a method whose capability was not declared: nothing is there."""
    return RpcError(METHOD_NOT_FOUND, f"Method not found: {call.method}")


def _string(params: dict[str, Any], key: str, method: str) -> str:
    value = params.get(key)
    if type(value) is not str:
        raise RpcError(INVALID_PARAMS, f"{method} needs {key}, a string.")
    return value


def _refuse_lookalikes(params: dict[str, Any]) -> None:
    """Refuse "Name" beside "name": another reader could decide by the other one."""
    try:
        jsonrpc.refuse_lookalikes(params, _CALL_PARAMS)
    except jsonrpc.MalformedError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None


def _explain(tool: Tool, error: msgspec.ValidationError) -> str:
    """Return what a model needs to call the tool rightly the next time."""
    required = tool.schema.get("required", ())
    known = ", ".join(
        f"{name} (required)" if name in required else name
        for name in tool.schema.get("properties", {})
    )
    return f"Invalid arguments for {tool.name}: {error}. Its arguments are: {known or 'none'}."
