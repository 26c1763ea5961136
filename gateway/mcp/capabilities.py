"""What a caller has to be able to do for something that it asks for.

Pure module. What is required and not declared is an error that says what to declare:
an agent's host can show it to a person who is able to change that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.mcp.jsonrpc import MISSING_CAPABILITY, RpcError

if TYPE_CHECKING:
    from gateway.mcp.call import Call

#: The extension in which a call may become a task (SEP-2663).
TASKS: Final = "io.modelcontextprotocol/tasks"

_NEEDED: Final = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
_FORM: Final = "form"
_MODES: Final = (_FORM, "url")


def declares(call: Call, method: str, params: Mapping[str, Any]) -> bool:
    """Whether the caller of ``call`` says that it can be asked this."""
    declared = call.capabilities.get(_NEEDED[method])
    if type(declared) is not dict:
        return False
    if method != "elicitation/create":
        return True
    mode = params.get("mode", _FORM)
    # Before there were modes, and when none is named, it is a form.
    return mode in declared or (mode == _FORM and not any(each in declared for each in _MODES))


def require(call: Call, requests: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse a call whose caller cannot be asked what has to be asked.

    Raises:
        RpcError: with all that is missing.
    """
    missing: dict[str, Any] = {}
    for method, params in requests:
        if not declares(call, method, params):
            mode = params.get("mode", _FORM) if method == "elicitation/create" else _FORM
            missing.setdefault(_NEEDED[method], {})
            if mode != _FORM:
                missing[_NEEDED[method]][mode] = {}
    if missing:
        raise _error(missing, ", ".join(missing))


def has_tasks(call: Call) -> bool:
    """Whether this very request says that its caller knows tasks."""
    extensions = call.capabilities.get("extensions")
    return type(extensions) is dict and type(extensions.get(TASKS)) is dict


def require_tasks(call: Call) -> None:
    """Refuse a call whose caller does not know tasks.

    Raises:
        RpcError: it says nothing of them in this request.
    """
    if not has_tasks(call):
        raise _error({"extensions": {TASKS: {}}}, TASKS)


def _error(missing: dict[str, Any], words: str) -> RpcError:
    return RpcError(
        MISSING_CAPABILITY,
        f"This needs a client capability that the request does not declare: {words}",
        {"requiredCapabilities": missing},
    )
