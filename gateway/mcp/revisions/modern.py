"""The modern family: 2026-07-28.

Pure module. Every request says everything about itself, in `_meta` and once more
in headers that proxies can read; the two must agree, as somebody on the way may
have decided by the header. There are no sessions, and a caller that disconnects
has cancelled its request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
from msgspec import UNSET

from gateway.mcp.call import LEVELS, Departure
from gateway.mcp.capabilities import TASKS
from gateway.mcp.heads import Era, decode_value, unsupported_data
from gateway.mcp.jsonrpc import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    RpcError,
)
from gateway.mcp.results import COMPLETE, Encoded, Implementation
from gateway.mcp.revisions import versions
from gateway.mcp.revisions.family import (
    COMMON_METHODS,
    NAMED_BY,
    STATUSES,
    Reply,
    encode,
    offered,
)
from session.steps import WHOLE

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.heads import Facts
    from gateway.mcp.mirroring import HeaderParameter
    from gateway.mcp.registry import Registry

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"

_NAME_LENGTH: Final = 128
# What is one caller's own, and may be another thing the next moment.
_PRIVATE: Final = b',"ttlMs":0,"cacheScope":"private"'
_STATUSES: Final = STATUSES | {
    INVALID_PARAMS: 400,
    MISSING_CAPABILITY: 400,
    METHOD_NOT_FOUND: 404,
}
_NUMBER: Final = re.compile(r"(-?[0-9]{1,16})(?:\.0+)?")


@final
class Modern:
    """The revision 2026-07-28, for a server that introduces itself in every result."""

    __slots__ = (
        "_about",
        "_caching",
        "_prefix",
        "_server",
        "batches",
        "methods",
        "name",
        "on_disconnect",
        "primes",
        "resumable",
    )

    def __init__(self, server: Implementation, ttl_milliseconds: int) -> None:
        self.name = versions.MODERN
        self.resumable = self.primes = self.batches = False
        self.on_disconnect = Departure.CANCELLED
        self.methods = COMMON_METHODS | {
            "server/discover",
            "subscriptions/listen",
            "tasks/get",
            "tasks/update",
            "tasks/cancel",
        }
        self._server = server
        # All of a result but what the handler says, made once.
        self._about = b',"_meta":%b' % encode({SERVER_KEY: server})
        self._prefix = b'{"resultType":"complete"' + self._about
        self._caching = b',"ttlMs":%d,"cacheScope":"public"' % ttl_milliseconds

    def reply(self, id_json: bytes, result: Reply) -> bytes:
        """Return the reply that carries ``result``, with what this revision adds to it."""
        prefix = self._prefix
        if type(result) is Encoded:
            body = result.body
            if result.kind != COMPLETE or result.private:
                return self._reply_unusual(id_json, result)
        else:
            if result.meta is not UNSET:
                return self._reply_with_meta(id_json, result)
            body = encode(result)
        hints = self._caching if result.cacheable else b""
        if len(body) == len(b"{}"):
            return b'{"jsonrpc":"2.0","id":%b,"result":%b%b}}' % (id_json, prefix, hints)
        if len(body) > WHOLE:
            # A slice would be a copy more, which takes time.
            head = b'{"jsonrpc":"2.0","id":%b,"result":%b%b,' % (id_json, prefix, hints)
            return b"".join((head, memoryview(body)[1:], b"}"))
        return b'{"jsonrpc":"2.0","id":%b,"result":%b%b,%b}' % (id_json, prefix, hints, body[1:])

    def _reply_unusual(self, id_json: bytes, result: Encoded) -> bytes:
        """Return the reply that carries what is not complete, or is for this caller only."""
        hints = _PRIVATE if result.cacheable else b""
        head = b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":%b%b%b' % (
            id_json,
            encode(result.kind),
            self._about,
            hints,
        )
        if len(result.body) == len(b"{}"):
            return head + b"}}"
        # A slice would be a copy more, as above.
        return b"".join((head, b",", memoryview(result.body)[1:], b"}"))

    def _reply_with_meta(self, id_json: bytes, result: Reply) -> bytes:
        members = msgspec.to_builtins(result)
        members["resultType"] = "complete"
        members["_meta"] = {**members["_meta"], SERVER_KEY: self._server}
        if result.cacheable:
            members |= msgspec.json.decode(b"{" + self._caching[1:] + b"}")
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_json, encode(members))

    def status(self, code: int) -> int:
        """Return the status that tells proxies what the error tells the caller."""
        return _STATUSES.get(code, 200)

    def capabilities_of(self, call: Call) -> dict[str, Any]:
        """Return what this request says."""
        capabilities: dict[str, Any] = call.meta[CAPABILITIES_KEY]
        return capabilities

    def name_of(self, call: Call) -> str:
        """Return what this request says."""
        client = call.meta.get(CLIENT_KEY)
        if type(client) is not dict:
            return ""
        name = client.get("name")
        return name[:_NAME_LENGTH] if type(name) is str else ""

    def log_level_of(self, call: Call) -> str:
        """Return what this request says."""
        level = call.meta.get(LOG_LEVEL_KEY)
        return level if level in LEVELS else ""

    def discover_result(self, registry: Registry, instructions: str) -> Encoded:
        """Return what `server/discover` is answered with."""
        result: dict[str, Any] = {
            "supportedVersions": list(versions.SUPPORTED),
            "capabilities": offered(registry),
        }
        if registry.tasks:
            result["capabilities"]["extensions"] = {TASKS: {}}
        if instructions:
            result["instructions"] = instructions
        return Encoded(encode(result), cacheable=True)


def claims(facts: Facts, params: dict[str, Any]) -> bool:
    """Whether a request calls itself modern where its header says otherwise, or nothing."""
    meta = params.get("_meta")
    if type(meta) is not dict:
        return False
    version = meta.get(VERSION_KEY)
    return version is not None and (version != facts.version or facts.era is Era.UNKNOWN)


def check(facts: Facts, method: str, params: dict[str, Any]) -> None:
    """Refuse a request whose metadata is missing, or says other things than its headers.

    Raises:
        RpcError: with the code of the first rule it breaks.
    """
    meta = params.get("_meta")
    if (
        type(meta) is not dict
        or VERSION_KEY not in meta
        or type(meta.get(CAPABILITIES_KEY)) is not dict
    ):
        raise RpcError(
            INVALID_PARAMS,
            f'params._meta needs "{VERSION_KEY}", a string, and "{CAPABILITIES_KEY}", an object.',
        )
    version = meta[VERSION_KEY]
    if facts.version != version:
        raise _mismatch("MCP-Protocol-Version", facts.version, version)
    if facts.method != method:
        raise _mismatch("Mcp-Method", facts.method, method)
    key = NAMED_BY.get(method)
    if key is not None:
        name = params.get(key)
        if type(name) is str and facts.name != name:
            raise _mismatch("Mcp-Name", facts.name, name)
    if version != versions.MODERN:
        raise RpcError(
            UNSUPPORTED_VERSION, "Unsupported protocol version", unsupported_data(version)
        )


def check_parameters(
    facts: Facts, declared: tuple[HeaderParameter, ...], arguments: dict[str, Any]
) -> None:
    """Refuse a tool call whose ``Mcp-Param-*`` headers say other things than its arguments.

    Raises:
        RpcError: one is missing, is there without its argument, or differs.
    """
    for parameter in declared:
        name = f"Mcp-Param-{parameter.header}"
        raw = facts.params.get(parameter.header.lower())
        value: Any = arguments
        for key in parameter.path:
            value = value.get(key) if type(value) is dict else None
        if value is None and raw is None:
            continue
        said = decode_value(raw)
        if said is None or value is None or not _same(said, value):
            raise _mismatch(name, said, value)


def _same(said: str, value: object) -> bool:
    if type(value) is bool:
        return said == ("true" if value else "false")
    if type(value) is int or type(value) is float:
        found = _NUMBER.fullmatch(said)
        return found is not None and int(found[1]) == value
    return said == value


def _mismatch(header: str, said: str | None, meant: object) -> RpcError:
    if said is None:
        return RpcError(HEADER_MISMATCH, f"Header mismatch: {header} is missing or malformed.")
    shown = meant[:100] if type(meant) is str else type(meant).__name__
    return RpcError(
        HEADER_MISMATCH, f"Header mismatch: {header} says {said[:100]!r}, the body {shown!r}."
    )
