"""What each method does, for all revisions alike.

It refuses to know how a request came and how its reply leaves: parameters in,
a result (or `LATER`) out, and an `RpcError` for what a caller has to do differently.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.mcp import jsonrpc
from gateway.mcp.call import LEVELS, Call, Later
from gateway.mcp.completions import Completions
from gateway.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from gateway.mcp.refusals import forbidden
from gateway.mcp.registry import InvalidCursorError, Registry, Shelf, Tool
from gateway.mcp.results import Empty, Encoded, text

if TYPE_CHECKING:
    from gateway.mcp.revisions.family import Reply
    from gateway.mcp.session_watches import SessionWatches
    from gateway.mcp.subscriptions import Subscriptions
    from session import Store
    from session.model import Principal

Method = Callable[[Call], Awaitable["Reply | Later"]]

_SHOWN: Final = 100
_ENUM_PATH: Final = re.compile(r"^Invalid enum value .* - at `\$((?:\.\w+)+)`$", re.DOTALL)
_CALL_PARAMS: Final = frozenset(
    ("name", "arguments", "_meta", "inputResponses", "requestState", "task")
)
_NO_ARGUMENTS: Final[dict[str, Any]] = {}
_EMPTY: Final = Empty()

_convert: Final = msgspec.convert


@final
class Methods:
    """The methods that both families share."""

    __slots__ = ("_list_declared", "_registry", "_resource", "_store", "table")

    def __init__(
        self,
        registry: Registry,
        store: Store,
        resource: str,
        subscriptions: Subscriptions,
        watches: SessionWatches,
    ) -> None:
        self._registry = registry
        self._resource = resource
        self._store = store
        self._list_declared = self._lister(registry.tools)
        tasks = subscriptions.tasks
        self.table: dict[str, Method] = {
            "tools/call": self.call_tool,
            "tools/list": self.list_tools,
            "resources/list": self._lister(registry.resources, registry.templates),
            "resources/templates/list": self._lister(registry.templates, registry.resources),
            "resources/read": self.read_resource,
            "prompts/list": self._lister(registry.prompts),
            "prompts/get": self.get_prompt,
            "completion/complete": Completions(registry).complete,
            "resources/subscribe": watches.subscribe,
            "resources/unsubscribe": watches.unsubscribe,
            "subscriptions/listen": subscriptions.listen,
            "tasks/get": tasks.get,
            "tasks/update": tasks.update,
            "tasks/cancel": tasks.cancel,
            "ping": self.ping,
            "logging/setLevel": self.set_level,
        }

    def check_scope(self, principal: Principal, scope: str) -> None:
        """Look whether a credential allows what takes a scope, if it takes one.

        Raises:
            RpcError: it does not, which is recorded.
        """
        if scope and scope not in principal.scopes:
            raise self._denied(principal, scope)

    def _denied(self, principal: Principal, scope: str) -> RpcError:
        """Return the error for a credential that does not allow something, and record it."""
        self._registry.denied(principal, scope)
        return forbidden(scope, self._resource)

    def declared(self, params: dict[str, Any]) -> Tool | None:
        """Return the tool that a call names, if it is declared.

        Raises:
            RpcError: it names none.
        """
        name = params.get("name")
        if type(name) is not str:
            raise RpcError(INVALID_PARAMS, "tools/call needs name, a string.")
        return self._registry.tools.get(name)

    async def list_tools(self, call: Call) -> Encoded:
        """Return a page of the tools that are declared, and of those that there are besides."""
        registry = self._registry
        page: Encoded | None = None
        if registry.more_tools is not None:
            cursor = call.params.get("cursor")
            if cursor is None or type(cursor) is str:
                try:
                    page = await registry.more_tools.page(call, cursor)
                except InvalidCursorError:
                    raise _no_cursor() from None
        return page or await self._list_declared(call)

    def call_tool(self, call: Call, tool: Tool | None = None) -> Awaitable[Reply | Later]:
        """Call a tool. Wrong arguments are the tool's result: a model can correct them.

        This is no coroutine: it would be one more for every question.
        """
        params = call.params
        if tool is None:
            # Nearly all calls have these alone, the last one in the modern era only.
            usual = 2 if "_meta" not in params else 3
            is_usual = len(params) == usual and "name" in params and "arguments" in params
            if not (is_usual or params.keys() <= _CALL_PARAMS):
                _refuse_lookalikes(params)
            tool = self.declared(params)
            if tool is None:
                return self._call_other(call)
        call.label = tool.name
        call.scope = tool.scope
        # Every question comes this way: as `check_scope`, without a call of it.
        if tool.scope and tool.scope not in call.principal.scopes:
            raise self._denied(call.principal, tool.scope)
        arguments = params.get("arguments", _NO_ARGUMENTS)
        if type(arguments) is not dict:
            raise RpcError(INVALID_PARAMS, "arguments must be an object.")
        if tool.arguments is None:
            return tool.handler(call, arguments)
        try:
            typed = _convert(arguments, tool.arguments)
        except msgspec.ValidationError as error:
            return _at_once(text(_explain(tool, error), is_error=True))
        return tool.handler(call, typed)

    async def _call_other(self, call: Call) -> Reply | Later:
        return await self.call_tool(call, await self._other_tool(call))

    async def _other_tool(self, call: Call) -> Tool:
        name: str = call.params["name"]
        more = self._registry.more_tools
        tool = None if more is None else await more.find(call, name)
        if tool is None:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:_SHOWN]}")
        return tool

    async def read_resource(self, call: Call) -> Reply | Later:
        """Read a resource."""
        if not (self._registry.resources or self._registry.templates):
            raise _not_served(call)
        uri = _string(call.params, "uri", "resources/read")
        found = self._registry.find_resource(uri)
        if found is None:
            code = INVALID_PARAMS if call.session is None else jsonrpc.RESOURCE_NOT_FOUND
            raise RpcError(code, "Resource not found", {"uri": uri})
        resource, values = found
        call.scope = resource.scope
        self.check_scope(call.principal, resource.scope)
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
        missing = [argument for argument in sorted(prompt.required) if argument not in given]
        if missing:
            raise RpcError(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
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

    def _lister(
        self, shelf: Shelf[Any], *same_capability: Shelf[Any]
    ) -> Callable[[Call], Awaitable[Encoded]]:
        async def page(call: Call) -> Encoded:
            if not (shelf or any(same_capability)):
                raise _not_served(call)
            cursor = call.params.get("cursor")
            if cursor is not None and type(cursor) is not str:
                raise RpcError(INVALID_PARAMS, "cursor must be a string.")
            try:
                return shelf.page(cursor)
            except InvalidCursorError:
                raise _no_cursor() from None

        return page


def _no_cursor() -> RpcError:
    return RpcError(INVALID_PARAMS, "This cursor is none of ours; begin again without one.")


async def _at_once(reply: Reply) -> Reply:
    return reply


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
    wrong = f"{error}{_one_of(tool.schema, str(error))}"
    return f"Invalid arguments for {tool.name}: {wrong}. Its arguments are: {known or 'none'}."


def _one_of(schema: Any, error: str) -> str:
    """Return which values there are, where an error is about one that is none of them."""
    found = _ENUM_PATH.search(error)
    for name in found[1].split(".")[1:] if found else ():
        schema = schema.get("properties", {}).get(name, {})
    values = schema.get("enum", ()) if found else ()
    return f" (one of {', '.join(map(str, values))})" if values else ""
