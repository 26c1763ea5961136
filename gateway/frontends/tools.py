"""What a frontend says of its tools and their calls, and what that leads to.

A part of the dialogue. What a page offers is looked at tool by tool, as schemas take a
while to compile; meanwhile it may say something else, and the last it said counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from gateway.errors import OverQuotaError, told_of
from gateway.frontends import messages, quota, wire
from gateway.frontends.frames import encode_text
from gateway.offers import Ack
from gateway.tool_calls import PageProgress, ToolCalls
from gateway.tool_definitions import (
    Definition,
    InvalidToolError,
    check_namespace,
    check_schemas,
    definition_of,
)
from gateway.tool_offers import ToolOffers, TooManyToolsError
from pool.workers import QueueFullError, to_worker
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.frontends.socket import FrontendSocket

_NOT_SERVED: Final = "This gateway takes no tools from frontends."
_SHOWN: Final = 128


def take(socket: FrontendSocket, message: wire.Message, size: int) -> None:
    """Take a message about tools, of so many bytes."""
    calls = socket.endpoint.calls
    if calls is None:
        socket.complain("unknown_type", _NOT_SERVED)
        return
    match message:
        case wire.RegisterTools():
            if _may_offer(socket):
                is_busy = socket.registering is not None
                socket.registering = message
                if not is_busy:
                    socket.start(_register(socket))
        case wire.ToolProgress():
            said = PageProgress(message.progress, message.total, message.message)
            calls.progress(socket, message.call_id, said)
        case wire.ToolResultMessage():
            socket.start(_finish(socket, calls, message, size))


async def attached(socket: FrontendSocket) -> None:
    """A frontend is somebody now: what it offered, or wanted to, it offers as such."""
    offers = socket.endpoint.tools
    if offers is not None and socket.tools:
        await offers.say_anew(socket)
        await socket.endpoint.router.catch_up(socket)
    if socket.registering is not None:
        await _register(socket)


async def _finish(
    socket: FrontendSocket, calls: ToolCalls, message: wire.ToolResultMessage, size: int
) -> None:
    """End a call, and say what became of its result."""
    try:
        ack = await calls.finish(socket, message.call_id, message.result, size)
    except StoreUnavailableError as error:
        text = f"The result is not stored yet; send it again. {told_of(error)}"
        socket.complain("unavailable", text, retryable=True, request_id=message.call_id)
    else:
        _acknowledge(socket, message.call_id, ack)


def _acknowledge(socket: FrontendSocket, call_id: str, ack: Ack) -> None:
    socket.send_message("tool_ack", encode_text(messages.tool_ack(call_id, ack)))


def _may_offer(socket: FrontendSocket) -> bool:
    if "tools" in socket.principal.scopes:
        return True
    socket.complain("forbidden", "This credential does not have the scope tools: no tool of it.")
    return False


async def _register(socket: FrontendSocket) -> None:
    """Offer what the frontend wants to, and again if it wants something else by then."""
    offers = socket.endpoint.tools
    while offers is not None and socket.attached:
        message = socket.registering
        if message is None:
            return
        done = False
        try:
            done = await _offer(socket, offers, message)
        finally:
            # What it said meanwhile is another thing to do.
            if (done or socket.attached) and socket.registering is message:
                socket.registering = None


async def _offer(socket: FrontendSocket, offers: ToolOffers, message: wire.RegisterTools) -> bool:
    """Offer tools; return whether that is done with."""
    try:
        definitions, refused = await _checked(offers, message)
        if not await offers.put(socket, definitions):
            return False
    except InvalidToolError as error:
        socket.complain("invalid_tools", str(error))
    except TooManyToolsError as full:
        socket.complain("busy", f"No tools are taken now: {full}.", retryable=True)
    except QueueFullError:
        socket.complain("busy", "The gateway is busy; send this again.", retryable=True)
    except OverQuotaError as over:
        quota.complain(socket, over)
    except StoreUnavailableError as away:
        socket.complain("unavailable", told_of(away), retryable=True)
    else:
        names = [each.name for each in definitions]
        told = messages.tools_registered(message.namespace, names, refused)
        socket.send_message("tools_registered", encode_text(told))
        # Calls that waited for it to come back with its tools.
        await socket.endpoint.router.catch_up(socket)
    return True


async def _checked(
    offers: ToolOffers, message: wire.RegisterTools
) -> tuple[list[Definition], list[tuple[str, str]]]:
    """Return the tools that can be offered, and why others cannot."""
    settings = offers.settings
    check_namespace(message.namespace)
    definitions: dict[str, Definition] = {}
    refused: list[tuple[str, str]] = []
    for number, said in enumerate(message.tools):
        own = said.get("name")
        called = own[:_SHOWN] if isinstance(own, str) else f"tools[{number}]"
        if len(definitions) >= settings.per_frontend:
            rest = len(message.tools) - number
            refused.append((called, f"{rest} too many: a frontend offers {settings.per_frontend}"))
            break
        try:
            definition = definition_of(message.namespace, said, settings.definition_bytes)
            if not offers.knows(definition.digest):
                check_schemas(definition)
                await to_worker()
                await trio.lowlevel.checkpoint()
        except InvalidToolError as error:
            refused.append((called, str(error)))
            continue
        if definition.name in definitions:
            refused.append((called, "another tool has this name"))
        else:
            definitions[definition.name] = definition
    return list(definitions.values()), refused
