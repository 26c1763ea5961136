"""Large answers, written in steps before the calls that wait for them are finished.

A call that ends meanwhile is left alone: its answer is in the store. So is whatever else is
large of what callers are told of questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from gateway.ids import Ids
from gateway.large import in_steps
from gateway.mcp.call import LATER, Call, Later, Pieces
from gateway.mcp.jsonrpc import BUSY, RpcError, id_bytes
from gateway.mcp.outcomes import busy_result
from gateway.mcp.refusals import OVERLOADED
from gateway.mcp.results import Encoded, LargeAnswer
from pool.workers import QueueFullError, Workers, to_worker
from session import longtexts
from session.steps import Steps

# Whose calls a batch has is known, but not to the response that they share.
_BATCHES: Final = "(batches)"


@final
class Writing:
    """Writes them, one after the other.

    Args:
        workers: who does it; see `gateway.large`.
    """

    def __init__(self, workers: Workers, ids: Ids) -> None:
        self._workers = workers
        self._ids = ids

    def finish(self, call: Call, answer: LargeAnswer) -> None:
        """Finish a call once its answer is written, or say how to get that later."""
        try:
            self._workers.start(call.principal.tenant, self._write(call, answer.pieces))
        except QueueFullError:
            call.finish(busy_result(answer.structured))

    def reply(self, call: Call, make: Pieces, *, private: bool = False) -> Later:
        """Finish a call with what is large once it is written; ``make`` gets a token for that.

        ``private``: what may be kept of it is for this caller only.

        Raises:
            RpcError: too much waits to be written.
        """
        try:
            self._workers.start(call.principal.tenant, self._write(call, make, private=private))
        except QueueFullError:
            raise RpcError(BUSY, OVERLOADED) from None
        return LATER

    def tell(self, call: Call, make: Pieces) -> None:
        """Send a call a large notification; where too much waits, who asks learns of it."""
        try:
            self._workers.start(call.principal.tenant, self._tell(call, make))
        except QueueFullError:
            return

    def join(self, parts: list[bytes], send: Callable[[bytes], None]) -> None:
        """Send JSON as one array, once it is one; where too much waits, that is now."""
        pieces = [piece for part in parts for piece in (b",", part)]
        pieces[0] = b"["
        pieces.append(b"]")
        try:
            self._workers.start(_BATCHES, _join(pieces, send))
        except QueueFullError:
            send(b"".join(pieces))

    async def _tell(self, call: Call, make: Pieces) -> None:
        await to_worker()
        if not call.done:
            call.exchange.notify(await in_steps(_joined(make(self._ids.new()))))

    async def _write(self, call: Call, make: Pieces, *, private: bool = False) -> None:
        await to_worker()
        if not call.done:
            token = self._ids.new()
            reply = _reply(call, make(token), token.encode(), private=private)
            call.finish_written(await in_steps(reply))


async def _join(pieces: list[bytes], send: Callable[[bytes], None]) -> None:
    await to_worker()
    send(await in_steps(longtexts.joining(pieces)))


def _joined(making: Steps[list[bytes]]) -> Steps[bytes]:
    return (yield from longtexts.joining((yield from making)))


def _reply(call: Call, making: Steps[list[bytes]], token: bytes, *, private: bool) -> Steps[bytes]:
    """Return the reply that carries a result, which is copied once."""
    shape = Encoded(b"{%b}" % token, cacheable=private, private=private)
    before, behind = call.revision.reply(id_bytes(call.id), shape).split(token)
    pieces = yield from making
    # Without its brackets, which are around the token.
    pieces[0], pieces[-1] = pieces[0][1:], pieces[-1][:-1]
    return (yield from longtexts.joining((before, *pieces, behind)))
