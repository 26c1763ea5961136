"""Resources that somebody watches: in a session, or on one stream.

Pure module. Who may watch a resource is who may read it, and is found out by the resource.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from gateway.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, notification_bytes

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.registry import Registry
    from session.model import Principal

#: How many resources one session, or one stream, may watch.
WATCHED: Final = 100
#: The notification that a resource is another than it was.
UPDATED: Final = "notifications/resources/updated"
#: How long a URI may be.
URI_LENGTH: Final = 2048


class Watching(NamedTuple):
    """A resource that is watched from now on."""

    #: Stops that.
    stop: Callable[[], None]
    #: It may be another than it was before that: whoever wanted to hear is told at once.
    may_have_changed: bool = True
    #: It stays as it is, for good.
    is_final: bool = False


#: Has a callback called whenever what a URI names has changed, for a principal; returns
#: ``None`` when the principal has no such thing.
Watcher = Callable[
    ["Principal", str, dict[str, str], Callable[[], None]], Awaitable[Watching | None]
]


@final
class Watches:
    """The resources that one session or stream watches."""

    __slots__ = ("_stops", "gone")

    def __init__(self) -> None:
        self._stops: dict[str, Callable[[], None]] = {}
        #: Nobody hears any more.
        self.gone = False

    def __len__(self) -> int:
        return len(self._stops)

    def __contains__(self, uri: str) -> bool:
        return uri in self._stops

    def __iter__(self) -> Iterator[str]:
        """Go through the URIs as they are now."""
        return iter(list(self._stops))

    def put(self, uri: str, stop: Callable[[], None]) -> None:
        """Watch a URI, unless nobody hears; ``stop`` is called when it is watched no longer."""
        self.drop(uri)
        if self.gone:
            # It ended while the store was asked.
            stop()
        else:
            self._stops[uri] = stop

    def drop(self, uri: str) -> None:
        """Watch a URI no longer."""
        stop = self._stops.pop(uri, None)
        if stop is not None:
            stop()

    def end(self) -> None:
        """Watch nothing any more."""
        self.gone = True
        for uri in self:
            self.drop(uri)


async def watch(
    registry: Registry, principal: Principal, uri: str, changed: Callable[[], None]
) -> Watching | None:
    """Have ``changed`` called when a resource changes; ``None``: this principal has none such."""
    found = registry.find_resource(uri)
    if found is None:
        return None
    resource, values = found
    if resource.scope and resource.scope not in principal.scopes:
        return None
    if resource.watch is None:
        # Whoever changes it says so: see `gateway.mcp.subscriptions.Subscriptions.updated`.
        return Watching(_nothing_to_stop)
    return await resource.watch(principal, uri, values, changed)


def updated_bytes(uri: str) -> bytes:
    """Return the notification for a session that a resource has changed."""
    return notification_bytes(UPDATED, {"uri": uri})


def uri_of(call: Call, registry: Registry) -> str:
    """Return the URI that a call is about.

    Raises:
        RpcError: it names none, or there are no resources.
    """
    if not (registry.resources or registry.templates):
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {call.method}")
    uri = call.params.get("uri")
    if type(uri) is not str or len(uri) > URI_LENGTH:
        raise RpcError(INVALID_PARAMS, f"{call.method} needs uri, a string.")
    return uri


def are_short(texts: list[Any]) -> bool:
    """Whether all are texts that may be URIs."""
    return all(type(text) is str and len(text) <= URI_LENGTH for text in texts)


def _nothing_to_stop() -> None:
    """Nobody was asked to watch."""
