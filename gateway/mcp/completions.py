"""What an argument may be, while somebody types it.

Pure module. Arguments of prompts and of resource templates are completed by whoever
declares them; one that nobody completes has no suggestions, which is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from gateway.mcp.results import Encoded
from gateway.mcp.revisions.family import encode

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.registry import Prompt, Registry, Resource

#: The most suggestions in one result (MCP's schema), and the longest thing to complete.
VALUES: Final = 100
TYPED: Final = 1024

_PROMPT: Final = "ref/prompt"
_RESOURCE: Final = "ref/resource"


@final
class Completions:
    """Suggests, from what is registered."""

    __slots__ = ("_registry",)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def complete(self, call: Call) -> Encoded:
        """Return what an argument may be."""
        if not self._registry.completes:
            raise RpcError(METHOD_NOT_FOUND, f"Method not found: {call.method}")
        argument = call.params.get("argument")
        if type(argument) is not dict:
            raise RpcError(INVALID_PARAMS, "completion/complete needs argument, an object.")
        name, typed = argument.get("name"), argument.get("value")
        if type(name) is not str or type(typed) is not str or len(typed) > TYPED:
            words = f"argument needs name and value, strings; value has at most {TYPED} characters."
            raise RpcError(INVALID_PARAMS, words)
        of = self._referred(call.params.get("ref"))
        if name not in of.known:
            raise RpcError(INVALID_PARAMS, f"Unknown argument: {name[:100]}")
        completer = of.completers.get(name)
        values = [] if completer is None else await completer(call, typed, _others(call.params))
        shown = list(values[:VALUES])
        completion: dict[str, Any] = {"values": shown}
        if len(values) > VALUES:
            completion |= {"total": len(values), "hasMore": True}
        return Encoded(encode({"completion": completion}))

    def _referred(self, ref: object) -> Prompt | Resource:
        kind = ref.get("type") if type(ref) is dict else None
        if type(ref) is not dict or kind not in (_PROMPT, _RESOURCE):
            words = f"completion/complete needs ref, with type {_PROMPT} or {_RESOURCE}."
            raise RpcError(INVALID_PARAMS, words)
        key = "name" if kind == _PROMPT else "uri"
        name = ref.get(key)
        if type(name) is not str:
            raise RpcError(INVALID_PARAMS, f"{kind} needs {key}, a string.")
        found: Prompt | Resource | None
        if kind == _PROMPT:
            found = self._registry.prompts.get(name)
        else:
            found = self._registry.templates.get(name) or self._registry.resources.get(name)
        if found is None:
            raise RpcError(INVALID_PARAMS, f"There is no {kind} {name[:100]}")
        return found


def _others(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments that are filled in already."""
    context = params.get("context")
    given = context.get("arguments") if type(context) is dict else None
    if given is None:
        return {}
    if type(given) is not dict or not all(type(value) is str for value in given.values()):
        raise RpcError(INVALID_PARAMS, "context.arguments must be an object of strings.")
    return given
