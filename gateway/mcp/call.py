"""One request as its handler sees it.

A handler returns its result, or `LATER` and calls `Call.finish` when it has one:
a person's wait holds no worker. A call is known by this object alone; the id its
caller gave it is only echoed, as a thousand callers may all use 1.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, final

from gateway.mcp import jsonrpc
from gateway.mcp.results import LargeAnswer

if TYPE_CHECKING:
    from gateway.mcp.exchange import Exchange
    from gateway.mcp.ledger import Key, Ledger
    from gateway.mcp.revisions.family import Reply, Revision
    from pool.portions import Slots
    from session.model import McpSession, Principal
    from session.steps import Steps

#: The levels of log messages, from chatty to grave (RFC 5424 section 6.2.1).
LEVELS: Final = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)

#: What returns something as JSON in pieces, given a token that nobody can guess.
Pieces = Callable[[str], "Steps[list[bytes]]"]

_NO_META: Final[dict[str, Any]] = {}


@final
class Later(enum.Enum):
    """What a handler returns that finishes its call afterwards."""

    LATER = "later"


LATER: Final = Later.LATER


class Departure(enum.Enum):
    """Why nobody waits for a call's result any more."""

    #: The caller gave the request up: what is done for it should end.
    CANCELLED = "cancelled"
    #: Only the connection is gone; the caller may come back for the result.
    LEFT = "left"


class Progress(NamedTuple):
    """How far a call is."""

    done: float
    total: float | None = None
    message: str = ""


class Waiting(Protocol):
    """What a call that finishes later is waiting for."""

    def departed(self, departure: Departure) -> None:
        """Nobody waits any more. Called at most once, and never after `Call.finish`."""

    def progress(self) -> Progress | None:
        """Return how far it is."""


class Asker(Protocol):
    """Who can ask the caller of a call for something."""

    def ask(self, call: Call, method: str, params: dict[str, Any]) -> Awaitable[dict[str, Any]]:
        """Ask; see `gateway.mcp.inquiries`."""


class Parter(Protocol):
    """Who can send the caller of a call away, for it to come back."""

    def part(self, call: Call) -> bool:
        """Close the call's stream, for now; see `gateway.mcp.partings`."""


class Writer(Protocol):
    """Who can write large answers."""

    def finish(self, call: Call, answer: LargeAnswer) -> None:
        """Finish a call once its answer is written; see `gateway.mcp.writing`."""

    def reply(self, call: Call, make: Pieces, *, private: bool = False) -> Later:
        """Finish a call with what is large once it is written."""

    def tell(self, call: Call, make: Pieces) -> None:
        """Send a large notification once it is written."""

    def join(self, parts: list[bytes], send: Callable[[bytes], None]) -> None:
        """Send what is large together as one array, once it is one."""


@final
class Call:
    """One request: who asked what, and the one way to answer."""

    __slots__ = (
        "departure",
        "done",
        "exchange",
        "held",
        "id",
        "key",
        "label",
        "last_progress",
        "ledger",
        "method",
        "params",
        "principal",
        "question_id",
        "revision",
        "scope",
        "session",
        "started",
        "stream_id",
        "waiting",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what there is to know of a request
        self,
        ledger: Ledger,
        exchange: Exchange,
        revision: Revision,
        principal: Principal,
        message: jsonrpc.Message,
        started: float,
    ) -> None:
        assert message.id is not None
        self.ledger = ledger
        self.exchange = exchange
        self.revision = revision
        self.principal = principal
        #: What its caller named it; only echoed.
        self.id: jsonrpc.RequestId = message.id
        self.method = message.method
        self.params = message.params
        self.started = started
        #: The caller's session; ``None`` where the revision has none.
        self.session: McpSession | None = None
        #: What it uses of quotas until it is over.
        self.held: tuple[Slots, ...] = ()
        #: Where the ledger keeps it.
        self.key: Key | None = None
        #: What metrics call the thing that is called: a tool's name.
        self.label = ""
        #: What its credential had to allow; empty where any does.
        self.scope = ""
        #: The question whose outcome is this call's result, once it has one.
        self.question_id = ""
        self.done = False
        self.waiting: Waiting | None = None
        self.departure: Departure | None = None
        self.stream_id = ""
        self.last_progress = -math.inf

    @property
    def meta(self) -> dict[str, Any]:
        """What the request says about itself (``params._meta``)."""
        meta = self.params.get("_meta")
        return meta if type(meta) is dict else _NO_META

    @property
    def progress_token(self) -> str | int | None:
        """Under which token the caller wants to hear of progress, if it does."""
        token = self.meta.get("progressToken")
        return token if type(token) is str or type(token) is int else None

    # -- for handlers

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the caller says it can do."""
        return self.revision.capabilities_of(self)

    @property
    def caller_name(self) -> str:
        """What the caller says it is: for people to read, not to be relied on."""
        return self.revision.name_of(self)

    def finish(self, result: Reply, how: str = "success") -> None:
        """Answer. Only the first answer counts. ``how`` is what metrics call this end."""
        if self.done:
            return
        if type(result) is LargeAnswer:
            self.writer.finish(self, result)
            return
        self.done = True
        # Reference cycles would leave the work to the garbage collector.
        self.waiting = None
        self.ledger.leave(self, how)
        self.exchange.deliver(self.revision.reply(jsonrpc.id_bytes(self.id), result))

    def finish_written(self, payload: bytes) -> None:
        """Answer with a reply that is written already."""
        if not self.done:
            self.done = True
            self.waiting = None
            self.ledger.leave(self, "success")
            self.exchange.deliver(payload)

    def refuse(self, error: jsonrpc.RpcError) -> None:
        """Answer with an error."""
        if self.done:
            return
        self.done = True
        self.waiting = None
        self.ledger.leave(self, "error")
        payload = jsonrpc.error_bytes(
            jsonrpc.id_bytes(self.id), error.code, error.message, error.data
        )
        status = error.status or self.revision.status(error.code)
        self.exchange.deliver(payload, status, error.headers)

    def wait_for(self, waiting: Waiting, question_id: str = "") -> None:
        """Say what the result depends on; it hears when nobody wants it any more.

        With ``question_id`` a stream of this call can be resumed: the outcome of
        that question is its reply.
        """
        self.question_id = question_id
        if question_id and self.stream_id:
            # Also for a caller that has left: it may come back for this very stream.
            self.ledger.remember(self, self.stream_id)
        if self.departure is not None:
            waiting.departed(self.departure)
        else:
            self.waiting = waiting

    def progress(self, progress: Progress) -> bool:
        """Tell the caller how far this is, if it asked to know. Returns whether it was told."""
        if self.done:
            return False
        payload = self._progress_payload(progress)
        return payload is not None and self.exchange.notify(payload)

    def log(self, level: str, data: object, logger: str = "") -> bool:
        """Send a log message, if the caller wants those of this level."""
        wanted = self.revision.log_level_of(self)
        if self.done or not wanted or LEVELS.index(level) < LEVELS.index(wanted):
            return False
        params: dict[str, Any] = {"level": level, "data": data}
        if logger:
            params["logger"] = logger
        return self.exchange.notify(jsonrpc.notification_bytes("notifications/message", params))

    def ask(self, method: str, params: dict[str, Any]) -> Awaitable[dict[str, Any]]:
        """Ask the caller for something; see `gateway.mcp.inquiries.Inquiries.ask`."""
        inquiries = self.exchange.conduct.inquiries
        assert inquiries is not None
        return inquiries.ask(self, method, params)

    def part(self) -> bool:
        """Have the caller come back for the rest; see `gateway.mcp.partings.Partings.part`."""
        partings = self.exchange.conduct.partings
        assert partings is not None
        return partings.part(self)

    @property
    def writer(self) -> Writer:
        """Who writes what is large; see `gateway.mcp.writing.Writing`."""
        writer = self.exchange.conduct.writer
        assert writer is not None
        return writer

    @property
    def departed(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self.departure is not None

    def hold(self, slots: tuple[Slots, ...]) -> None:
        """Use these of quotas until this is over."""
        if self.done:
            for slot in slots:
                slot.take_back()
        else:
            self.held = slots

    # -- for the exchange and the endpoint

    def take_revision(self, revision: Revision) -> None:
        """Follow the revision of the session, now that this is known."""
        self.revision = revision
        self.exchange.revision = revision

    def cancel(self) -> None:
        """The caller takes the request back: no reply is owed."""
        if not self.done:
            exchange = self.exchange
            self._depart(Departure.CANCELLED)
            exchange.forgo()

    def break_off(self) -> bool:
        """End a stream that the caller can resume elsewhere. Returns whether it is one."""
        exchange = self.exchange
        if not exchange.stream_id or not exchange.events:
            return False
        self.done = True
        self.waiting = None
        self.ledger.leave(self, "resumed elsewhere")
        exchange.end()
        return True

    def caller_left(self) -> None:
        """The peer is gone before the reply was sent."""
        if not self.done:
            self._depart(self.revision.on_disconnect)

    def streaming(self, stream_id: str) -> None:
        """The reply will come on a stream."""
        self.stream_id = stream_id
        if stream_id and self.question_id:
            self.ledger.remember(self, stream_id)

    def progress_bytes(self) -> bytes | None:
        """Return the next progress notification, if there is anything to tell."""
        if self.progress_token is None or self.waiting is None or self.done:
            return None
        progress = self.waiting.progress()
        return None if progress is None else self._progress_payload(progress)

    def _progress_payload(self, progress: Progress) -> bytes | None:
        # It MUST increase with each notification.
        if self.progress_token is None or progress.done <= self.last_progress:
            return None
        self.last_progress = progress.done
        params: dict[str, Any] = {"progressToken": self.progress_token, "progress": progress.done}
        if progress.total is not None:
            params["total"] = progress.total
        if progress.message:
            params["message"] = progress.message
        return jsonrpc.notification_bytes("notifications/progress", params)

    def _depart(self, departure: Departure) -> None:
        self.done = True
        self.departure = departure
        self.ledger.leave(self, departure.value)
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.departed(departure)
