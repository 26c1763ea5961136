"""What a tool asks its own caller while the call is under way (handshake revisions).

The request leaves on the stream of the call, and the caller sends its response by a POST
of its own. It is matched by an id that only this caller knows, within its own session.
That POST may come to another instance, which passes it on to all; whoever asked takes it.
A wait ends with its call, whoever ends that, and after a while in any case. The modern
revision has no such requests: see `gateway.mcp.rounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.mcp import capabilities, jsonrpc, responses
from gateway.mcp.call import Call, Departure, Progress
from gateway.mcp.jsonrpc import RpcError
from pool.promises import Promise

if TYPE_CHECKING:
    from gateway.ids import Ids
    from gateway.mcp.jsonrpc import Message
    from pool.connection import Callback
    from pool.timers import Timer, Timers
    from session.model import McpSession

_SHOWN: Final = 200


@final
class Inquiry:
    """One request of ours, and the call that it belongs to."""

    __slots__ = ("_inquiries", "call", "id", "method", "promise", "timer")

    def __init__(self, inquiries: Inquiries, call: Call, inquiry_id: str, method: str) -> None:
        self._inquiries = inquiries
        self.call = call
        self.id = inquiry_id
        self.method = method
        self.promise: Promise[dict[str, Any]] = Promise()
        self.timer: Timer[Callback] | None = None

    def departed(self, departure: Departure) -> None:
        """Nobody can answer any more; see `gateway.mcp.call.Waiting`."""
        self._inquiries.forget(self)
        why = "was cancelled" if departure is Departure.CANCELLED else "has lost its caller"
        self.promise.fail(RpcError(jsonrpc.BUSY, f"This call {why}."))

    def progress(self) -> Progress | None:
        """Return nothing: the handler knows how far it is."""
        return None


@final
class Inquiries:
    """The requests of ours that are not answered yet, bounded.

    Args:
        seconds: how long a caller may take.
        limit: how many there may be in all; each call has one at a time.
        pass_on: sends a response to all other instances; returns whether it could be sent.
            ``None`` where there are none.
    """

    __slots__ = ("_ids", "_limit", "_open", "_pass_on", "_seconds", "_timers")

    def __init__(
        self,
        timers: Timers[Callback],
        ids: Ids,
        *,
        seconds: float,
        limit: int,
        pass_on: Callable[[str, bytes], bool] | None = None,
    ) -> None:
        self._pass_on = pass_on
        self._timers = timers
        self._ids = ids
        self._seconds = seconds
        self._limit = limit
        self._open: dict[str, Inquiry] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, call: Call, method: str, params: dict[str, Any]) -> Promise[dict[str, Any]]:
        """Ask the caller; the promise is its result. Awaiting that holds no worker.

        The promise fails with an `RpcError` when the caller refuses, leaves, or is silent
        for too long: a handler that does not catch it answers its call with it.

        Raises:
            RpcError: the caller does not declare that it can be asked, it has no stream on
                which to hear us, or there are too many inquiries.
            RuntimeError: this call waits for something already.
        """
        session = call.session
        if session is None:
            words = f"Revision {call.revision.name} has no requests from servers to callers."
            raise RpcError(jsonrpc.INVALID_REQUEST, words)
        capabilities.require(call, ((method, params),))
        if len(self._open) >= self._limit:
            raise RpcError(jsonrpc.BUSY, f"{self._limit} callers are being asked something here.")
        if call.waiting is not None:
            raise RuntimeError("a call waits for one thing at a time")
        inquiry = Inquiry(self, call, self._ids.new(), method)
        self._open[inquiry.id] = inquiry
        inquiry.timer = self._timers.arm(self._seconds, lambda: self._too_late(inquiry))
        call.wait_for(inquiry)
        if not call.departed and not call.exchange.notify(
            jsonrpc.request_bytes(inquiry.id, method, params)
        ):
            self.forget(inquiry)
            words = f"{method} needs a stream: the header Accept must allow text/event-stream."
            raise RpcError(jsonrpc.INVALID_REQUEST, words)
        return inquiry.promise

    def answer(self, session: McpSession, message: Message) -> None:
        """Take a caller's response, or pass it on to whoever waits for it.

        One that nobody waits for means nothing.

        Raises:
            RpcError: nobody here waits for it, and it cannot be passed on.
        """
        inquiry_id = responses.asked_id(message)
        inquiry = self._open.get(inquiry_id)
        if inquiry is not None:
            asking = inquiry.call.session
            if asking is not None and asking.id == session.id:
                self._settle(inquiry, message.params)
        elif inquiry_id and self._pass_on is not None:
            data = responses.packed(session, message)
            if not self._pass_on(inquiry_id, data):
                words = "This response cannot be passed on to the call now; send it again."
                raise RpcError(jsonrpc.BUSY, words)

    def heard(self, inquiry_id: str, data: bytes) -> None:
        """Take a response that came to another instance, if it is to a request of ours."""
        inquiry = self._open.get(inquiry_id)
        if inquiry is None:
            return
        try:
            response = responses.unpacked(data)
        except msgspec.DecodeError:
            # An instance of another version.
            return
        asking = inquiry.call.session
        if asking is not None and response.is_of(asking):
            self._settle(inquiry, response.said)

    def _settle(self, inquiry: Inquiry, said: dict[str, Any]) -> None:
        self.forget(inquiry)
        result = said.get("result")
        if type(result) is dict:
            inquiry.promise.set(result)
        else:
            error = said.get("error")
            why = error.get("message") if type(error) is dict else None
            words = why[:_SHOWN] if type(why) is str else "its response has no result object"
            inquiry.promise.fail(
                RpcError(jsonrpc.INVALID_REQUEST, f"The caller refused {inquiry.method}: {words}")
            )

    def forget(self, inquiry: Inquiry) -> None:
        """Nothing is waited for any more."""
        if self._open.pop(inquiry.id, None) is None:
            return
        if inquiry.timer is not None:
            inquiry.timer.cancel()
        if inquiry.call.waiting is inquiry:
            inquiry.call.waiting = None

    def _too_late(self, inquiry: Inquiry) -> None:
        self.forget(inquiry)
        words = f"The caller did not answer {inquiry.method} within {self._seconds:g} seconds."
        told = {"requestId": inquiry.id, "reason": words}
        inquiry.call.exchange.notify(jsonrpc.notification_bytes("notifications/cancelled", told))
        inquiry.promise.fail(RpcError(jsonrpc.BUSY, words))
