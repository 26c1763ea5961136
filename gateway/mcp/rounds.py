"""Calls of several rounds (2026-07-28): a result that asks the caller for something first.

Pure module. The caller repeats its request with the responses, and with whatever state
it was given: nothing is kept here between the rounds. Responses are data of somebody
else's; a handler checks them as it does its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.mcp import capabilities
from gateway.mcp.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, RpcError
from gateway.mcp.results import INPUT_REQUIRED, Encoded
from gateway.mcp.revisions.family import encode

if TYPE_CHECKING:
    from gateway.mcp.call import Call

#: The most that one result may ask for, and that one request may answer.
REQUESTS: Final = 32

_NO_RESPONSES: Final[dict[str, dict[str, Any]]] = {}

#: What is asked for under a key: a method, and its parameters.
InputRequest = tuple[str, Mapping[str, Any]]


def elicitation(message: str, properties: Mapping[str, Any], *required: str) -> InputRequest:
    """Return the request for what a person fills into a form."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return "elicitation/create", {"mode": "form", "message": message, "requestedSchema": schema}


def sampling(prompt: str, most_tokens: int) -> InputRequest:
    """Return the request for what the caller's model says to a prompt."""
    content = {"role": "user", "content": {"type": "text", "text": prompt}}
    return "sampling/createMessage", {"messages": [content], "maxTokens": most_tokens}


def roots() -> InputRequest:
    """Return the request for the folders that the caller works in."""
    return "roots/list", {}


def ask(call: Call, requests: Mapping[str, InputRequest], state: str = "") -> Encoded:
    """Return a result that asks the caller for something, each under a key.

    ``state`` comes back as it is, from whoever makes the next request: seal it
    (`gateway.mcp.seals`) where anything depends on it.

    Raises:
        RpcError: the caller does not declare that it can be asked this, or its revision
            has no rounds.
        ValueError: nothing is asked for, or too much.
    """
    if call.session is not None:
        words = f"Revision {call.revision.name} has no results that ask for input."
        raise RpcError(INVALID_REQUEST, words)
    if len(requests) > REQUESTS or not (requests or state):
        raise ValueError(f"a result asks for 1 to {REQUESTS} things, or carries a state")
    capabilities.require(call, requests.values())
    body: dict[str, Any] = {}
    if requests:
        body["inputRequests"] = inputs(requests)
    if state:
        body["requestState"] = state
    return Encoded(encode(body), kind=INPUT_REQUIRED)


def inputs(requests: Mapping[str, InputRequest]) -> dict[str, Any]:
    """Return requests as results and tasks carry them."""
    return {
        key: {"method": method, "params": params} if params else {"method": method}
        for key, (method, params) in requests.items()
    }


def responses(call: Call) -> dict[str, dict[str, Any]]:
    """Return what the request answers, by the keys of what was asked for.

    Raises:
        RpcError: these are no responses.
    """
    given = call.params.get("inputResponses")
    if given is None:
        return _NO_RESPONSES
    return checked(given)


def checked(given: object) -> dict[str, dict[str, Any]]:
    """Return responses that came from outside.

    Raises:
        RpcError: these are none.
    """
    if type(given) is not dict or len(given) > REQUESTS:
        raise RpcError(
            INVALID_PARAMS, f"inputResponses must be an object of at most {REQUESTS} members."
        )
    for key, response in given.items():
        if type(response) is not dict:
            raise RpcError(INVALID_PARAMS, f"inputResponses: {key[:100]} must be an object.")
    return given


def accepted(response: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a person filled in, if one did and agreed to send it."""
    if response is None or response.get("action") != "accept":
        return None
    content = response.get("content")
    return content if type(content) is dict else None
