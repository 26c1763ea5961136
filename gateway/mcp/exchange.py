"""How one POST is answered, from the moment it arrives until its last byte.

A small state machine; time reaches it as calls (`impatient`, `beat`) and it
acts on a `Responder`, so it needs neither a clock nor a task:

    OPEN       nothing was sent; a result that comes now is plain JSON
    STREAMING  an event stream was begun, because the result takes its time
    DONE       nothing more is sent, whatever still happens

A caller that cannot read event streams stays OPEN until its result is there.
It refuses to decide what a leaving caller means for the work: the revision does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from gateway.mcp import sse
from session.steps import WHOLE

if TYPE_CHECKING:
    from gateway.http.messages import Headers, Responder
    from gateway.ids import Ids
    from gateway.mcp.call import Asker, Parter, Writer
    from gateway.mcp.heads import Facts
    from gateway.mcp.pacing import Pace
    from gateway.mcp.revisions.family import Revision
    from pool.portions import Slots
    from session.model import Principal

OPEN: Final = 0
STREAMING: Final = 1
DONE: Final = 2


class Participant(Protocol):
    """A call whose reply is part of an exchange."""

    def progress_bytes(self) -> bytes | None:
        """Return the notification that tells how far it is, if its caller wants one."""

    def streaming(self, stream_id: str) -> None:
        """Hear that the reply will come on a stream, resumable if it has an id."""

    def caller_left(self) -> None:
        """Hear that the peer is gone before the reply was sent."""


class Beating(Protocol):
    """A stream that must not fall silent."""

    def beat(self) -> None:
        """Send something, unless the stream has ended."""


@final
class Conduct:
    """What all exchanges of an endpoint share: its patience and its heartbeat."""

    __slots__ = (
        "ids",
        "inquiries",
        "keep_alive",
        "partings",
        "patience",
        "retry_milliseconds",
        "writer",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the endpoint
        self,
        patience: Pace[Exchange],
        keep_alive: Pace[Beating],
        ids: Ids,
        retry_milliseconds: int,
        inquiries: Asker | None = None,
        partings: Parter | None = None,
        writer: Writer | None = None,
    ) -> None:
        #: What calls ask their callers, and the streams that callers come back for.
        self.inquiries = inquiries
        self.partings = partings
        self.patience = patience
        self.keep_alive = keep_alive
        self.ids = ids
        self.retry_milliseconds = retry_milliseconds
        #: Who writes what is large.
        self.writer = writer


@final
class Exchange:
    """One POST and its response."""

    __slots__ = (
        "calls",
        "conduct",
        "events",
        "expected",
        "facts",
        "headers",
        "parts",
        "responder",
        "revision",
        "state",
        "stream_id",
    )

    def __init__(
        self,
        conduct: Conduct,
        responder: Responder,
        facts: Facts,
        revision: Revision,
        expected: int | None = None,
    ) -> None:
        self.conduct = conduct
        self.responder = responder
        self.facts = facts
        #: What is assumed until the session says it.
        self.revision = revision
        #: The replies a batch waits for; ``None`` for a message that came alone.
        self.expected = expected
        #: The calls that are not answered yet.
        self.calls: tuple[Participant, ...] = ()
        #: The replies of a batch that has not all of them.
        self.parts: list[bytes] | None = None
        self.events = 0
        #: What HTTP says beside the reply, whichever way that comes.
        self.headers: Headers = ()
        self.state = OPEN
        self.stream_id = ""

    def hold(self) -> None:
        """The result is not there: wait for it, at first silently."""
        responder = self.responder
        responder.on_disconnect = self.disconnected
        responder.leaves_at_end = True
        if not self.facts.accepts_sse:
            return
        if self.facts.accepts_json:
            self.conduct.patience.add(self)
        else:
            self._commit()

    def deliver(self, payload: bytes, status: int = 200, headers: Headers = ()) -> None:
        """Send the reply to one call; the last one ends the response."""
        if self.state == DONE:
            return
        if self.expected is not None:
            self._deliver_part(payload)
        elif self.state == OPEN and (self.facts.accepts_json or status != 200):  # noqa: PLR2004 - HTTP
            self._finished()
            if self.headers or headers:
                self.responder.respond(status, payload, headers=(*self.headers, *headers))
            else:
                self.responder.respond(status, payload)
        else:
            if self.state == OPEN:
                self._commit()
            self._send(payload)
            self.end()

    def notify(self, payload: bytes) -> bool:
        """Send a notification that belongs to the response. Returns whether it could be sent."""
        if self.state == OPEN and self.facts.accepts_sse:
            self._commit()
        if self.state != STREAMING:
            return False
        self._send(payload)
        return True

    @property
    def is_streaming(self) -> bool:
        """Whether a stream was begun, and has not ended."""
        return self.state == STREAMING

    @property
    def parts_streams(self) -> bool:
        """Whether its caller is told, as a stream begins, how to come back for the rest."""
        return self.facts.accepts_sse and self.revision.primes and self.expected is None

    def impatient(self) -> None:
        """The result has taken its time: begin a stream at once."""
        # Of a batch that waits for nothing more it is there, and comes whole.
        if self.state == OPEN and self.expected != 0:
            self._commit()

    def beat(self) -> None:
        """Show that we live: with progress if it is wanted, with a comment otherwise."""
        if self.state != STREAMING:
            return
        told = False
        for call in self.calls:
            progress = call.progress_bytes()
            if progress is not None:
                self._send(progress)
                told = True
        if not told:
            self.responder.send_piece(sse.COMMENT)
        self.conduct.keep_alive.add(self)

    def disconnected(self) -> None:
        """The peer is gone. What that means is for the calls' revision to say."""
        if self.state == DONE:
            return
        calls = self.calls
        self._finished()
        for call in calls:
            call.caller_left()

    def forgo(self) -> None:
        """Owe one reply less: the caller took that request back."""
        if self.expected is None:
            self.end()
            return
        # The other calls of a batch go on, and with the last of them it is answered.
        self.expected -= 1
        if not self.expected:
            self._complete()

    def end(self) -> None:
        """End the response as it is; a caller that cancelled is owed no reply."""
        if self.state == DONE:
            return
        if self.state == OPEN and not self.facts.accepts_sse:
            self._finished()
            self.responder.respond(204)
            return
        if self.state == OPEN:
            self.responder.start_stream(200, sse.CONTENT_TYPE, sse.HEADERS)
        self._finished()
        self.responder.end_stream()

    def resume(self, stream_id: str) -> None:
        """Be the continuation of a stream that broke."""
        self.stream_id = stream_id
        self.events = 1
        self.hold_stream(sse.COMMENT)

    def hold_stream(self, opening: bytes) -> None:
        """Begin the stream with ``opening``, and keep it alive."""
        self.state = STREAMING
        self.responder.on_disconnect = self.disconnected
        self.responder.leaves_at_end = True
        self.responder.start_stream(200, sse.CONTENT_TYPE, (*sse.HEADERS, *self.headers))
        self.responder.send_piece(opening)
        self.conduct.keep_alive.add(self)

    def _commit(self) -> None:
        """Begin the stream: the first bytes leave now, not with the result."""
        opening = sse.COMMENT
        if self.revision.resumable and self.expected is None:
            self.stream_id = self.conduct.ids.new()
            if self.revision.primes:
                opening = sse.priming(
                    sse.event_id(self.stream_id, 0), self.conduct.retry_milliseconds
                )
                self.events = 1
        self.hold_stream(opening)
        if self.parts is not None:
            for part in self.parts:
                self._send(part)
            self.parts = None
        for call in self.calls:
            call.streaming(self.stream_id)
            progress = call.progress_bytes()
            if progress is not None:
                self._send(progress)

    def _deliver_part(self, payload: bytes) -> None:
        assert self.expected is not None
        self.expected -= 1
        if self.state == OPEN and not self.facts.accepts_json:
            self._commit()
        if self.state == STREAMING:
            self._send(payload)
        else:
            if self.parts is None:
                self.parts = []
            self.parts.append(payload)
        if not self.expected:
            self._complete()

    def _complete(self) -> None:
        """A batch waits for nothing more: answer with what there is."""
        if self.parts is None:
            # It was streamed, or all of it was taken back.
            self.end()
            return
        writer = self.conduct.writer
        if writer is None or sum(map(len, self.parts)) <= WHOLE:
            self._respond(b"[%b]" % b",".join(self.parts))
            return
        writer.join(self.parts, self._respond)

    def _respond(self, body: bytes) -> None:
        if self.state == OPEN:
            self._finished()
            self.responder.respond(200, body, headers=self.headers)

    def _send(self, payload: bytes) -> None:
        event_id = ""
        if self.stream_id:
            event_id = sse.event_id(self.stream_id, self.events)
            self.events += 1
        if len(payload) > WHOLE:
            before, behind = sse.around(event_id)
            for piece in (before, payload, behind):
                self.responder.send_piece(piece)
            return
        self.responder.send_piece(sse.message(payload, event_id))

    def _finished(self) -> None:
        if self.state == OPEN:
            self.conduct.patience.discard(self)
        else:
            self.conduct.keep_alive.discard(self)
        self.state = DONE
        self.responder.on_disconnect = None
        self.calls = ()


@final
class Listener:
    """A stream a caller opened by GET: it hears of what no call of its own asked for."""

    __slots__ = (
        "_conduct",
        "_held",
        "_on_end",
        "_on_touch",
        "_responder",
        "open",
        "opened_at",
        "order",
        "principal",
    )

    def __init__(  # noqa: PLR0913 - made in one place, by `Listeners`
        self,
        conduct: Conduct,
        responder: Responder,
        principal: Principal,
        *,
        on_touch: Callable[[], None],
        on_end: Callable[[Listener], None],
        held: tuple[Slots, ...] = (),
    ) -> None:
        self._held = held
        self._conduct = conduct
        self._responder = responder
        self._on_touch = on_touch
        self._on_end = on_end
        #: Who listens.
        self.principal = principal
        self.open = True
        #: Where it comes among the streams of its session, at all instances; 0: not known yet,
        #: and then it comes where it opened.
        self.order, self.opened_at = 0, 0.0

    def start(self) -> None:
        """Begin the stream; its first bytes leave at once."""
        self._responder.on_disconnect = self.ended
        self._responder.leaves_at_end = True
        self._responder.start_stream(200, sse.CONTENT_TYPE, sse.HEADERS)
        self._responder.send_piece(sse.COMMENT)
        self._conduct.keep_alive.add(self)

    def send(self, payload: bytes) -> None:
        """Send a notification."""
        if self.open:
            self._responder.send_piece(sse.message(payload))

    def beat(self) -> None:
        """Show that we live, and that the session is in use."""
        if self.open:
            self._responder.send_piece(sse.COMMENT)
            self._conduct.keep_alive.add(self)
            self._on_touch()

    def cut_off(self) -> None:
        """The credential of whoever listens is not good any more."""
        self.close()

    def close(self) -> None:
        """End the stream."""
        if self.open:
            self.ended()
            self._responder.end_stream()

    def ended(self) -> None:
        """The stream is over, whoever ended it."""
        if self.open:
            self.open = False
            self._conduct.keep_alive.discard(self)
            for slots in self._held:
                slots.take_back()
            self._on_end(self)
