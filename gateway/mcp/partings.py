"""Streams that we close before their reply is there, so that their caller comes back for it.

A connection that is held for long costs all that are between; a caller of 2025-11-25 can
poll instead (its "Sending Messages to the Server", 6): it was told how to come back, and
by when. What is sent meanwhile is kept here, bounded, until it does. Only this process
can go on with such a call; what waits for a question needs none of this, as the question
is in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from gateway.mcp import sse

if TYPE_CHECKING:
    from gateway.http.messages import Headers, Responder
    from gateway.mcp.call import Call
    from gateway.mcp.exchange import Exchange
    from pool.connection import Callback, Connection, ConnectionProtocol
    from pool.timers import Timer, Timers

#: How many callers may be away at once, and how much is kept for each of them.
PARTED: Final = 1_000
BYTES: Final = 256 * 1024
#: For how long.
SECONDS: Final = 60.0


@final
class Absence:
    """Where a response goes while nobody is there: a `gateway.http.messages.Responder`."""

    def __init__(self, full: Callable[[], None]) -> None:
        self.on_disconnect: Callable[[], None] | None = None
        self.leaves_at_end = False
        self.is_complete = False
        self.pieces: list[bytes] = []
        self._bytes = 0
        self._full = full

    def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Do nothing: a stream was begun already."""

    def start_stream(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Do nothing, as above."""

    def send_piece(self, data: bytes) -> None:
        """Keep what is said; that we live need not be said to nobody."""
        if data == sse.COMMENT or self.is_complete:
            return
        self._bytes += len(data)
        if self._bytes > BYTES:
            self._full()
        else:
            self.pieces.append(data)

    def end_stream(self) -> None:
        """Nothing follows."""
        self.is_complete = True

    def upgrade(self, response: bytes, make: Callable[[Connection], ConnectionProtocol]) -> None:
        """Do nothing, as above."""

    def notice_leaving(self) -> None:
        """Do nothing: nobody is there who could leave."""

    @property
    def is_open(self) -> bool:
        """Whether what is sent is still kept."""
        return not self.is_complete


@final
class _Parted:
    """An exchange whose caller is away."""

    __slots__ = ("absence", "call", "exchange", "timer")

    def __init__(
        self, exchange: Exchange, absence: Absence, call: Call, timer: Timer[Callback]
    ) -> None:
        self.exchange = exchange
        self.absence = absence
        self.call = call
        self.timer = timer


@final
class Partings:
    """The exchanges whose callers are to come back, by session and stream."""

    def __init__(self, timers: Timers[Callback]) -> None:
        self._timers = timers
        self._parted: dict[tuple[str, str], _Parted] = {}

    def __len__(self) -> int:
        return len(self._parted)

    def part(self, call: Call) -> bool:
        """Close a call's stream, if its caller knows how to come back for the rest.

        Returns whether it was closed by this. When too many are away already it stays open,
        which does as well.
        """
        exchange, session = call.exchange, call.session
        if (
            session is None
            or call.done
            or not exchange.parts_streams
            or len(self._parted) >= PARTED
        ):
            return False
        if not exchange.is_streaming:
            exchange.impatient()
        key = (session.id, exchange.stream_id)
        if key in self._parted:
            return False
        absence = Absence(lambda: self._give_up(key))
        timer = self._timers.arm(SECONDS, lambda: self._give_up(key))
        self._parted[key] = _Parted(exchange, absence, call, timer)
        closed = exchange.responder
        closed.on_disconnect = None
        exchange.responder = absence
        closed.end_stream()
        return True

    def call_of(self, session_id: str, stream_id: str) -> Call | None:
        """Return the call of a stream, if its caller is away."""
        parted = self._parted.get((session_id, stream_id))
        return None if parted is None else parted.call

    def come_back(self, session_id: str, stream_id: str, responder: Responder) -> bool:
        """Go on with a stream, if it is one of these; first comes what was missed."""
        parted = self._parted.pop((session_id, stream_id), None)
        if parted is None:
            return False
        parted.timer.cancel()
        responder.start_stream(200, sse.CONTENT_TYPE, sse.HEADERS)
        responder.send_piece(sse.COMMENT)
        for piece in parted.absence.pieces:
            responder.send_piece(piece)
        if parted.absence.is_complete:
            responder.end_stream()
        else:
            responder.leaves_at_end = True
            responder.on_disconnect = parted.exchange.disconnected
            parted.exchange.responder = responder
        return True

    def _give_up(self, key: tuple[str, str]) -> None:
        parted = self._parted.pop(key, None)
        if parted is not None:
            parted.timer.cancel()
            parted.call.cancel()
