"""The handshake family: 2025-03-26, 2025-06-18 and 2025-11-25.

Pure module. A caller says `initialize` once and gets a session that knows the
rest. A broken connection is no cancellation; streams can be resumed. Nothing is
added to a result: callers validate against a schema that knows no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp import jsonrpc
from gateway.mcp.call import Departure
from gateway.mcp.results import Encoded, Implementation
from gateway.mcp.revisions import versions
from gateway.mcp.revisions.family import (
    COMMON_METHODS,
    STATUSES,
    Reply,
    body_of,
    encode,
    offered,
)

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.registry import Registry

_NAME_LENGTH: Final = 128
# What a session keeps of its caller's capabilities.
_CAPABILITIES_BYTES: Final = 16 * 1024


@final
class Handshake:
    """One revision of the family."""

    __slots__ = ("batches", "methods", "name", "on_disconnect", "primes", "resumable")

    def __init__(self, name: str) -> None:
        self.name = name
        self.resumable = True
        # Older callers would take the empty event for a broken message.
        self.primes = name == "2025-11-25"
        self.batches = name == "2025-03-26"
        self.on_disconnect = Departure.LEFT
        self.methods = COMMON_METHODS | {
            "ping",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
        }

    def reply(self, id_json: bytes, result: Reply) -> bytes:
        """Return the reply that carries ``result``, as it is."""
        return jsonrpc.result_bytes(id_json, body_of(result))

    def status(self, code: int) -> int:
        """Return 200 for what a method refused: these callers read the body then only."""
        return STATUSES.get(code, 200)

    def batch_problem(self, values: list[object], limit: int) -> str:
        """Return why several messages cannot be taken together; empty if they can."""
        if not self.batches:
            return f"Revision {self.name} has no batches: send one message in a request."
        if not values:
            return "A batch must not be empty."
        return f"A batch may have {limit} messages." if len(values) > limit else ""

    def capabilities_of(self, call: Call) -> dict[str, Any]:
        """Return what the session's `initialize` said."""
        return call.session.capabilities if call.session else {}

    def name_of(self, call: Call) -> str:
        """Return what the session's `initialize` said."""
        return call.session.client_name if call.session else ""

    def log_level_of(self, call: Call) -> str:
        """Return what `logging/setLevel` said last."""
        return call.session.log_level if call.session else ""


REVISIONS: Final = {name: Handshake(name) for name in versions.HANDSHAKE}


def negotiate(requested: str) -> Handshake:
    """Return the revision that is asked for, or the latest one to offer instead."""
    return REVISIONS.get(requested) or REVISIONS[versions.LATEST_HANDSHAKE]


@final
class Introduction:
    """What a caller said in `initialize`, bounded."""

    __slots__ = ("capabilities", "client_name", "revision")

    def __init__(self, params: dict[str, Any]) -> None:
        requested = params.get("protocolVersion")
        capabilities = params.get("capabilities")
        client = params.get("clientInfo")
        if type(requested) is not str:
            raise jsonrpc.RpcError(
                jsonrpc.INVALID_PARAMS, "initialize needs protocolVersion, a string."
            )
        if type(capabilities) is not dict or type(client) is not dict:
            raise jsonrpc.RpcError(
                jsonrpc.INVALID_PARAMS, "initialize needs capabilities and clientInfo, two objects."
            )
        if len(encode(capabilities)) > _CAPABILITIES_BYTES:
            raise jsonrpc.RpcError(
                jsonrpc.INVALID_PARAMS, f"capabilities may have {_CAPABILITIES_BYTES} bytes."
            )
        name = client.get("name")
        self.revision = negotiate(requested)
        self.capabilities: dict[str, Any] = capabilities
        self.client_name = name[:_NAME_LENGTH] if type(name) is str else ""


def initialize_result(
    revision: Handshake, registry: Registry, server: Implementation, instructions: str
) -> Encoded:
    """Return what `initialize` is answered with."""
    result = {
        "protocolVersion": revision.name,
        "capabilities": offered(registry),
        "serverInfo": server,
    }
    if instructions:
        result["instructions"] = instructions
    return Encoded(encode(result))
