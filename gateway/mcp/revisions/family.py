"""What every revision has to say to the core, whichever family it is of.

Pure module: the contract between `gateway.mcp.endpoint`, which serves all
revisions alike, and the modules beside this one, each of which knows one family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from gateway.mcp import jsonrpc
from gateway.mcp.results import Encoded, Result

if TYPE_CHECKING:
    from gateway.mcp.call import Call, Departure
    from gateway.mcp.registry import Registry

#: What a handler may answer with.
Reply = Result | Encoded

encode: Final = msgspec.json.Encoder().encode


class Revision(Protocol):
    """One revision of MCP, as far as revisions differ."""

    name: str
    #: Whether a stream that broke can be resumed.
    resumable: bool
    #: Whether a stream begins with an event that makes it resumable at once.
    primes: bool
    #: Whether several messages may come in one body.
    batches: bool
    #: What a caller that disconnects has done.
    on_disconnect: Departure
    #: The methods there are.
    methods: frozenset[str]

    def reply(self, id_json: bytes, result: Reply) -> bytes:
        """Return the reply that carries ``result``."""

    def status(self, code: int) -> int:
        """Return the HTTP status of an error that came before anything was sent."""

    def capabilities_of(self, call: Call) -> dict[str, Any]:
        """Return what the caller says it can do."""

    def name_of(self, call: Call) -> str:
        """Return what the caller calls itself."""

    def log_level_of(self, call: Call) -> str:
        """Return the level from which on the caller wants log messages; empty for none."""


def offered(registry: Registry) -> dict[str, Any]:
    """Return the capabilities of the server: true to what is registered, and no more."""
    capabilities: dict[str, Any] = {"logging": {}}
    if registry.tools:
        capabilities["tools"] = {"listChanged": True}
    if registry.resources or registry.templates:
        capabilities["resources"] = {"listChanged": True, "subscribe": True}
    if registry.prompts:
        capabilities["prompts"] = {"listChanged": True}
    if registry.completes:
        capabilities["completions"] = {}
    return capabilities


def body_of(result: Reply) -> bytes:
    """Return a result as a JSON object."""
    return result.body if type(result) is Encoded else encode(result)


#: The methods that both families have.
COMMON_METHODS: Final = frozenset(
    (
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "prompts/list",
        "prompts/get",
        "completion/complete",
    )
)

#: The parameter that names what a method is about; in the modern era a header repeats it.
NAMED_BY: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}

#: Statuses that hold in every revision.
STATUSES: Final = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.HEADER_MISMATCH: 400,
    jsonrpc.UNSUPPORTED_VERSION: 400,
    jsonrpc.BUSY: 503,
}
