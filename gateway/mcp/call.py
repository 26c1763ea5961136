"""One request as its handler sees it.

A handler returns its result, or `LATER` and calls `Call.finish` when it has one:
a person's wait holds no worker. A call is known by this object alone; the id its
caller gave it is only echoed, as a thousand callers may all use 1.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, final

from gateway.mcp import jsonrpc

if TYPE_CHECKING:
    from gateway.mcp.exchange import Exchange
    from gateway.mcp.ledger import Key, Ledger
    from gateway.mcp.revisions.family import Reply, Revision
    from session.model import McpSession, Principal

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


@final
class Call:
    """One request: who asked what, and the one way to answer."""

    __slots__ = (
        "departure",
        "done",
        "exchange",
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
        #: Where the ledger keeps it.
        self.key: Key | None = None
        #: What metrics call the thing that is called: a tool's name.
        self.label = ""
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

    def finish(self, result: Reply) -> None:
        """Answer. Only the first answer counts."""
        if self.done:
            return
        self.done = True
        # Reference cycles would leave the work to the garbage collector.
        self.waiting = None
        self.ledger.leave(self, "success")
        self.exchange.deliver(self.revision.reply(jsonrpc.id_bytes(self.id), result))

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
        headers = jsonrpc.RETRY if error.code == jsonrpc.BUSY else ()
        self.exchange.deliver(payload, status, headers)

    def wait_for(self, waiting: Waiting, question_id: str = "") -> None:
        """Say what the result depends on; it hears when nobody wants it any more.

        With ``question_id`` a stream of this call can be resumed: the outcome of
        that question is its reply.
        """
        if self.departure is not None:
            waiting.departed(self.departure)
            return
        self.waiting = waiting
        self.question_id = question_id
        if question_id and self.stream_id:
            self.ledger.remember(self, self.stream_id)

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

    @property
    def departed(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self.departure is not None

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
            exchange.end()

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
