"""One frontend's WebSocket as a protocol object.

The frames that everybody sends take the short way through `frames.scan`;
control frames, fragments, closing and every violation go to a `ServerProtocol`
of `websockets`, made on demand, so an idle frontend costs little and a strange
one is judged by a library that the Autobahn suite has tried.

It refuses to decide anything about questions: that is the router's.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, final

from websockets.protocol import State

from gateway import errors
from gateway.frontends import dialogue, messages, quota, wire
from gateway.frontends.frames import PING, encode_text, scan, take_fragments
from gateway.frontends.showing import show
from gateway.frontends.strange import (
    NOTHING_AGREED,
    Agreed,
    Said,
    StrangeFrames,
    UnfinishedFrame,
)
from pool.connection import Callback, Connection
from pool.portions import Slots
from pool.timers import Timer
from pool.workers import QueueFullError
from session.codec import CodingError
from session.model import NOBODY, Outcome, Presence, Principal

if TYPE_CHECKING:
    from gateway.frontends.endpoint import FrontendsEndpoint
    from gateway.offers import Notification, Offer

# How much may be on its way before further questions wait in the backlog.
_HIGH_WATER: Final = 256 * 1024
# All pings within this part of a heartbeat leave at once: for each a process would wake up.
_TOGETHER: Final = 60
_NONE: Final[Mapping[str, str]] = {}


@final
class FrontendSocket:
    """A connected frontend; also what the router calls a `Recipient`."""

    __slots__ = (
        "_agreed",
        "_backlog",
        "_heard",
        "_strange",
        "_timer",
        "_unfinished",
        "_unusable",
        "attached",
        "coding",
        "connection",
        "connection_id",
        "drafts",
        "endpoint",
        "frontend_id",
        "groups",
        "held",
        "is_connecting",
        "offers",
        "presence",
        "principal",
        "registering",
        "tenant",
        "tools",
        "unread",
        "user",
    )

    presence: Presence

    def __init__(
        self,
        endpoint: FrontendsEndpoint,
        connection: Connection,
        principal: Principal,
        agreed: Agreed = NOTHING_AGREED,
        held: tuple[Slots, ...] = (),
    ) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self._agreed = agreed
        #: How messages leave to it.
        self.coding = endpoint.coding_of(agreed)
        self._unfinished: UnfinishedFrame | None = None
        self._strange: StrangeFrames | None = None
        self._backlog: OrderedDict[str, None] | None = None
        #: What has come behind a message that is still being read.
        self.unread: deque[Said] | None = None
        #: What its person had typed before it came back.
        self.drafts: dict[str, str] | None = None
        self._unusable = 0
        self._heard = endpoint.timers.now()
        #: What it uses of quotas until it is gone.
        self.held = held
        #: Whose it is; nobody's until it has said so, where there are credentials.
        self.principal = principal
        self.tenant = principal.tenant
        self.connection_id = endpoint.ids.new()
        self.frontend_id = self.connection_id
        # Without credentials nobody is known to be anybody, until they say so.
        is_known = endpoint.doorman is not None
        self.user = principal.subject if is_known else ""
        self.groups = principal.groups if is_known else ()
        self.is_connecting = False
        self.offers: dict[str, Offer] = {}
        #: What it offers; `gateway.tool_offers` keeps it.
        self.tools: Mapping[str, str] = _NONE
        #: What it wants to offer, until it is seen to that.
        self.registering: wire.RegisterTools | None = None
        self.attached = False
        seconds = endpoint.settings.connect_seconds
        if endpoint.doorman is not None and principal is NOBODY:
            seconds = endpoint.doorman.seconds
            endpoint.doorman.expect(self)
        # A frontend that never says `connect` is welcome all the same, unless it is nobody's.
        self._timer: Timer[Callback] | None = endpoint.timers.arm(seconds, self._introduce)

    # -- from pool.connections

    def data_received(self, data: bytes) -> None:
        """Take bytes; see `ConnectionProtocol`."""
        self._heard = now = self.endpoint.timers.now()
        unfinished = self._unfinished
        if unfinished is not None:
            data = unfinished.take(data)
            if not data:
                return
            self._unfinished = None
        size = len(data)
        limit = self.endpoint.settings.message_bytes
        while data:
            strange = self._strange
            if strange is not None and strange.is_closing:
                self._pass_on(data)
                return
            if strange is not None and strange.is_inside:
                special, data = take_fragments(data, limit)
            else:
                texts, special, data = scan(data, limit)
                for text in texts:
                    dialogue.hear(self, text)
            if not special:
                break
            self._pass_on(special)
        if data and self.connection.is_open:
            # A frame of which only the header was missing so far is no new frame.
            since = now if unfinished is None or len(data) < size else unfinished.since
            self._unfinished = UnfinishedFrame(data, since)

    def eof_received(self) -> bool:
        """A WebSocket without its other half is of no use."""
        return False

    def drained(self) -> None:
        """Show more of what waits."""
        backlog = self._backlog
        while backlog:
            if self.connection.outbox_bytes > _HIGH_WATER:
                self.connection.tell_when_drained = True
                return
            question_id = next(iter(backlog))
            offer = self.offers.get(question_id)
            if offer is not None and not show(self, offer):
                return
            backlog.pop(question_id, None)
        self._backlog = None

    def connection_lost(self) -> None:
        """Leave the hub; what was only offered here goes to somebody else."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unfinished = self._backlog = None
        quota.let_go(self)
        self.endpoint.gone(self)
        if self.attached or self.tools:
            # Between two introductions it is not attached, and has its tools.
            self.start(dialogue.leave(self))

    # -- from the router

    def offer(self, offer: Offer) -> None:
        """Show a question, now or as soon as the socket takes it."""
        if self._backlog is None:
            is_full = self.connection.outbox_bytes > _HIGH_WATER
            if not is_full and show(self, offer):
                return
            self._backlog = OrderedDict()
            self.connection.tell_when_drained = is_full
        self._backlog[offer.question.id] = None

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        """Take a question back, if it was shown."""
        question_id = offer.question.id
        if self._backlog is not None and question_id in self._backlog:
            del self._backlog[question_id]
            return
        if self.drafts is not None:
            self.drafts.pop(question_id, None)
        kind = "tool_cancel" if offer.question.tool else "question_closed"
        self.send_message(kind, self.endpoint.closing_frame(offer, reason, outcome))

    def notify(self, notification: Notification) -> None:
        """Show a notification; people who read too slowly miss it."""
        if self.connection.outbox_bytes > _HIGH_WATER:
            return
        if not notification.encoded:
            notification.encoded = encode_text(
                messages.notify_user(notification, self.endpoint.stamps)
            )
        self.send_message("notify_user", notification.encoded)

    def cut_off(self) -> None:
        """The credential is not good any more: the frontend may come back with another one."""
        self.close(errors.CLOSE_EXPIRED)

    def restart(self, retry_after_milliseconds: int) -> None:
        """Ask the frontend to come back, after so long, to another instance."""
        self.close(errors.restarts(retry_after_milliseconds))

    # -- messages

    def refuse(self, coding: str, error: CodingError) -> None:
        """Close, as a compressed message cannot be used."""
        strange = self._strange_protocol()
        strange.refuse(coding, error)
        self._send(strange)

    def take(self, message: wire.Message, size: int) -> None:
        """Take a message of so many bytes that may be taken."""
        dialogue.take(self, message, size)

    def _introduce(self) -> None:
        """Attach a frontend that did not say who it is; then watch over it."""
        self._timer = None
        if self.is_connecting:
            # It is saying so: `not_let_in` hears if nothing comes of it.
            return
        if self.principal is NOBODY:
            self.close(errors.CLOSE_UNAUTHENTICATED)
        elif not self.attached:
            self.start(dialogue.attach(self, ""))

    def not_let_in(self) -> None:
        """Judge a frontend whose `connect` came to nothing as one that has said nothing."""
        if self.attached or self.is_leaving:
            return
        if self.principal is not NOBODY:
            self._arm(self.endpoint.settings.connect_seconds, self._introduce)
        elif self._timer is None:
            # Its time was up meanwhile: what it says next would not end in time, either.
            self.close(errors.CLOSE_UNAUTHENTICATED)

    @property
    def is_leaving(self) -> bool:
        """Whether its connection is closed, or about to be."""
        strange = self._strange
        return not self.connection.is_open or (strange is not None and strange.is_closing)

    @property
    def compression(self) -> list[str]:
        """How messages may be compressed here, both ways."""
        if self._agreed.zstd:
            return ["zstd"]
        return ["permessage-deflate"] if self._agreed.deflate else []

    def agree(self, dictionaries: tuple[int, ...]) -> None:
        """Compress with our dictionary from now on, if it is among those of the frontend."""
        self.coding = self.endpoint.coding_of(self._agreed, dictionaries)

    # -- for the dialogue

    def start(self, step: Coroutine[Any, Any, None], request_id: str = "") -> None:
        """Have a worker do a step, or say that there is no room for it."""
        try:
            self.endpoint.workers.start(self.tenant, step)
        except QueueFullError:
            text = "The gateway is busy; send this again."
            self.complain("busy", text, retryable=True, request_id=request_id)

    def complain(
        self,
        code: str,
        text: str,
        *,
        retryable: bool = False,
        request_id: str = "",
        retry_after: float = 0.0,
    ) -> None:
        """Say that a message could not be used; who sends many such is closed."""
        self._unusable += not retryable
        if self._unusable > self.endpoint.settings.unusable_messages:
            self.close(errors.CLOSE_POLICY)
            return
        said = messages.error(
            code, text, retryable=retryable, request_id=request_id, retry_after=retry_after
        )
        self.send_message("error", encode_text(said))

    def send_message(self, kind: str, frame: bytes) -> None:
        """Send a message of a kind, which is counted."""
        if self.coding is not None:
            frame = self.coding.of(frame)
        # As `send_frame` does, which would be one call more for every message.
        self.endpoint.metrics.message_out(kind, len(frame))
        self.connection.write(frame)

    def send_frame(self, kind: str, frame: bytes) -> None:
        """Send a frame that is in the coding it leaves in."""
        self.endpoint.metrics.message_out(kind, len(frame))
        self.connection.write(frame)

    # -- life and death

    def watch(self) -> None:
        """Ping, or give up a peer that was silent for two heartbeats."""
        self._beat_in(self.endpoint.settings.heartbeat_seconds)

    def _beat_in(self, seconds: float) -> None:
        self._arm(seconds, self._beat, self.endpoint.settings.heartbeat_seconds / _TOGETHER)

    def _arm(self, seconds: float, callback: Callback, within: float = 0.0) -> None:
        """Have something done after a while, in place of what was to be done before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.endpoint.timers.arm_about(seconds, within, callback)

    def _beat(self) -> None:
        endpoint = self.endpoint
        beat = endpoint.settings.heartbeat_seconds
        if self.unread is not None:
            # It is we who do not listen.
            self._heard = endpoint.timers.now()
        if endpoint.timers.now() - self._heard >= 2 * beat - 0.25 * min(beat, 1.0):
            self.close(errors.CLOSE_NO_PONG)
            return
        if endpoint.timers.now() - self._unfinished_since() > endpoint.settings.message_seconds:
            self.close(errors.CLOSE_ENDLESS)
            return
        if self._backlog is not None:
            self.drained()
        self.connection.write(PING)
        self._unusable = 0
        if self._strange is not None:
            self._strange.new_period()
        # The next ping, or the moment at which the silence has been too long.
        self._beat_in(min(beat, self._heard + 2 * beat - endpoint.timers.now()))

    def _unfinished_since(self) -> float:
        """Return when the frame or the message began that still lacks its end."""
        since = math.inf if self._unfinished is None else self._unfinished.since
        return since if self._strange is None else min(since, self._strange.unfinished_since)

    def close(self, code: errors.CloseCode) -> None:
        """Say why, and end; a peer that does not say goodbye in turn is cut off."""
        strange = self._strange_protocol()
        strange.close(code)
        self._send(strange)

    def _pass_on(self, data: bytes) -> None:
        """Have `websockets` judge what is not plain."""
        strange = self._strange_protocol()
        texts = strange.receive(data, self._heard)
        if strange.protocol.state is State.OPEN:
            # A pong goes in front of what answers a message that ended after its ping.
            self._send(strange)
        for text in texts:
            dialogue.hear(self, text)
        self._send(strange)

    def _strange_protocol(self) -> StrangeFrames:
        if self._strange is None:
            self._strange = StrangeFrames(
                self.endpoint.settings.message_bytes,
                self.endpoint.settings.control_frames,
                self.endpoint.tally,
                self._agreed,
            )
        return self._strange

    def _send(self, strange: StrangeFrames) -> None:
        for data in strange.protocol.data_to_send():
            if data:
                self.connection.write(data)
            else:
                self.connection.close()
        if strange.protocol.state is State.CLOSING and self.connection.is_open:
            self._arm(self.endpoint.settings.close_seconds, self.connection.abort)
