"""One frontend's WebSocket as a protocol object.

The frames that everybody sends take the short way through `frames.scan`;
control frames, fragments, closing and every violation go to a `ServerProtocol`
of `websockets`, made on demand, so an idle frontend costs little and a strange
one is judged by a library that the Autobahn suite has tried.

It refuses to decide anything about questions: that is the router's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, final

from websockets.protocol import State

from gateway import errors
from gateway.frontends import messages, wire
from gateway.frontends.frames import PING, encode_text, scan
from gateway.frontends.strange import StrangeFrames, UnfinishedFrame
from pool.connection import Callback, Connection
from pool.timers import Timer
from pool.workers import QueueFullError
from session.model import Outcome, Presence

if TYPE_CHECKING:
    from gateway.frontends.endpoint import FrontendsEndpoint
    from gateway.offers import Ack, Notification, Offer

# How much may be on its way before further questions wait in the backlog.
_HIGH_WATER: Final = 256 * 1024


@final
class FrontendSocket:
    """A connected frontend; also what the router calls a `Recipient`."""

    __slots__ = (
        "_backlog",
        "_connection",
        "_drafts",
        "_endpoint",
        "_heard",
        "_strange",
        "_timer",
        "_unfinished",
        "_unusable",
        "attached",
        "connection_id",
        "frontend_id",
        "groups",
        "offers",
        "presence",
        "tenant",
        "user",
    )

    presence: Presence

    def __init__(self, endpoint: FrontendsEndpoint, connection: Connection, tenant: str) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._unfinished: UnfinishedFrame | None = None
        self._strange: StrangeFrames | None = None
        self._backlog: OrderedDict[str, None] | None = None
        self._drafts: dict[str, str] | None = None
        self._unusable = 0
        self._heard = endpoint.timers.now()
        self.tenant = tenant
        self.connection_id = endpoint.ids.new()
        self.frontend_id = self.connection_id
        self.user = ""
        self.groups: tuple[str, ...] = ()
        self.offers: dict[str, Offer] = {}
        self.attached = False
        # A frontend that never says `connect` is welcome all the same.
        self._timer: Timer[Callback] | None = endpoint.timers.arm(
            endpoint.settings.connect_seconds, self._introduce
        )

    # -- from pool.connections

    def data_received(self, data: bytes) -> None:
        """Take bytes; see `ConnectionProtocol`."""
        self._heard = now = self._endpoint.timers.now()
        unfinished = self._unfinished
        if unfinished is not None:
            data = unfinished.take(data)
            if not data:
                return
            self._unfinished = None
        size = len(data)
        while data:
            if self._strange is not None and self._strange.wants_all:
                self._pass_on(data)
                return
            texts, special, data = scan(data, self._endpoint.settings.message_bytes)
            for text in texts:
                self._message(text)
            if not special:
                break
            self._pass_on(special)
        if data and self._connection.is_open:
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
            if self._connection.outbox_bytes > _HIGH_WATER:
                self._connection.tell_when_drained = True
                return
            question_id, _ = backlog.popitem(last=False)
            offer = self.offers.get(question_id)
            if offer is not None:
                self._show(offer)
        self._backlog = None

    def connection_lost(self) -> None:
        """Leave the hub; what was only offered here goes to somebody else."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unfinished = None
        self._backlog = None
        self._endpoint.gone(self)
        if self.attached:
            self._start(self._endpoint.router.detach(self))

    # -- from the router

    def offer(self, offer: Offer) -> None:
        """Show a question, now or as soon as the socket takes it."""
        if self._backlog is not None or self._connection.outbox_bytes > _HIGH_WATER:
            if self._backlog is None:
                self._backlog = OrderedDict()
                self._connection.tell_when_drained = True
            self._backlog[offer.question.id] = None
            return
        self._show(offer)

    def withdraw(self, offer: Offer, reason: str, outcome: Outcome | None) -> None:
        """Take a question back, if it was shown."""
        question_id = offer.question.id
        if self._backlog is not None and question_id in self._backlog:
            del self._backlog[question_id]
            return
        if self._drafts is not None:
            self._drafts.pop(question_id, None)
        self._send_message(
            "question_closed", self._endpoint.closing_frame(question_id, reason, outcome)
        )

    def notify(self, notification: Notification) -> None:
        """Show a notification; people who read too slowly miss it."""
        if self._connection.outbox_bytes > _HIGH_WATER:
            return
        if not notification.encoded:
            notification.encoded = encode_text(
                messages.notify_user(notification, self._endpoint.stamps)
            )
        self._send_message("notify_user", notification.encoded)

    def restart(self) -> None:
        """Ask the frontend to come back to another instance."""
        self.close(errors.CLOSE_RESTART)

    # -- messages

    def _message(self, payload: bytes) -> None:
        endpoint = self._endpoint
        try:
            message = messages.decode(payload)
        except messages.MessageError as error:
            endpoint.metrics.message_in("invalid", len(payload))
            self._complain(error.code, str(error), request_id=error.request_id)
            return
        except UnicodeDecodeError:
            self.close(errors.CLOSE_INVALID_TEXT)
            return
        kind = type(message)
        endpoint.metrics.message_in(messages.NAMES[kind], len(payload))
        if kind is wire.UserResponse:
            step = self._respond(message)  # type: ignore[arg-type]  # kind says so
            self._start(step, message.request_id)  # type: ignore[union-attr]  # so it has one
        else:
            self._rarer(message)

    def _rarer(self, message: wire.Message) -> None:
        endpoint = self._endpoint
        match message:
            case wire.Connect():
                self._start(self._connect(message))
            case wire.DraftMessage():
                if len(message.text) > endpoint.router.settings.draft_bytes:
                    limit = endpoint.router.settings.draft_bytes
                    self._complain(
                        "too_large",
                        f"A draft has at most {limit} characters.",
                        request_id=message.request_id,
                    )
                else:
                    self._start(endpoint.router.save_draft(self, message.request_id, message.text))
            case wire.Seen():
                endpoint.router.saw(self, message.request_id)
            case wire.Disconnect():
                self.close(errors.CLOSE_NORMAL)

    async def _respond(self, message: wire.UserResponse) -> None:
        router = self._endpoint.router
        question_id = message.request_id
        if message.rejected:
            ack = await router.reject(self, question_id, message.reason)
        else:
            answer = message.answer
            if answer is None:
                # A form's answer is also a text, for callers that know only that.
                answer = "" if message.content is None else messages.as_text(message.content)
            ack = await router.answer(self, question_id, answer=answer, content=message.content)
        self._acknowledge(question_id, ack)

    def _acknowledge(self, question_id: str, ack: Ack) -> None:
        self._send_message("response_ack", encode_text(messages.response_ack(question_id, ack)))

    async def _connect(self, message: wire.Connect) -> None:
        endpoint = self._endpoint
        await endpoint.router.detach(self)
        if message.frontend_id:
            self.frontend_id = message.frontend_id
        self.user = message.user
        self.groups = message.groups
        drafts = await endpoint.router.store.drafts(self.tenant, self.frontend_id)
        self._drafts = {draft.question_id: draft.text for draft in drafts} or None
        self._send_message("connect_ack", encode_text(endpoint.welcome(self, resumed=bool(drafts))))
        await self._attach(message.name)

    def _introduce(self) -> None:
        """Attach a frontend that did not say who it is; then watch over it."""
        if not self.attached:
            self._start(self._attach(""))

    async def _attach(self, name: str) -> None:
        endpoint = self._endpoint
        self._watch()
        self.presence = Presence(
            self.frontend_id,
            self.connection_id,
            self.tenant,
            self.user,
            name,
            self.groups,
            endpoint.router.clock(),
            endpoint.instance,
        )
        await endpoint.router.attach(self)

    def _start(self, step: Coroutine[Any, Any, None], request_id: str = "") -> None:
        try:
            self._endpoint.workers.start(self.tenant, step)
        except QueueFullError:
            text = "The gateway is busy; send this again."
            self._complain("busy", text, retryable=True, request_id=request_id)

    def _show(self, offer: Offer) -> None:
        if not offer.encoded:
            offer.encoded = encode_text(messages.ask_user(offer.question, self._endpoint.stamps))
        frame = offer.encoded
        if self._drafts is not None:
            draft = self._drafts.get(offer.question.id)
            if draft is not None:
                frame = encode_text(messages.ask_user(offer.question, self._endpoint.stamps, draft))
        self._send_message("ask_user", frame)

    def _complain(
        self, code: str, text: str, *, retryable: bool = False, request_id: str = ""
    ) -> None:
        self._unusable += not retryable
        if self._unusable > self._endpoint.settings.unusable_messages:
            self.close(errors.CLOSE_POLICY)
            return
        frame = encode_text(messages.error(code, text, retryable=retryable, request_id=request_id))
        self._send_message("error", frame)

    def _send_message(self, kind: str, frame: bytes) -> None:
        self._endpoint.metrics.message_out(kind, len(frame))
        self._connection.write(frame)

    # -- life and death

    def _watch(self) -> None:
        """Ping, or give up a peer that was silent for two heartbeats."""
        endpoint = self._endpoint
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if not self._connection.is_open:
            return
        beat = endpoint.settings.heartbeat_seconds
        self._timer = endpoint.timers.arm(beat, self._beat)

    def _beat(self) -> None:
        endpoint = self._endpoint
        beat = endpoint.settings.heartbeat_seconds
        if endpoint.timers.now() - self._heard >= 2 * beat - 0.25 * min(beat, 1.0):
            self.close(errors.CLOSE_NO_PONG)
            return
        if endpoint.timers.now() - self._unfinished_since() > endpoint.settings.message_seconds:
            self.close(errors.CLOSE_ENDLESS)
            return
        self._connection.write(PING)
        self._unusable = 0
        if self._strange is not None:
            self._strange.new_period()
        # The next ping, or the moment at which the silence has been too long.
        until_gone = self._heard + 2 * beat - endpoint.timers.now()
        self._timer = endpoint.timers.arm(min(beat, until_gone), self._beat)

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
            self._message(text)
        self._send(strange)

    def _strange_protocol(self) -> StrangeFrames:
        if self._strange is None:
            self._strange = StrangeFrames(
                self._endpoint.settings.message_bytes, self._endpoint.settings.control_frames
            )
        return self._strange

    def _send(self, strange: StrangeFrames) -> None:
        for data in strange.protocol.data_to_send():
            if data:
                self._connection.write(data)
            else:
                self._connection.close()
        if strange.protocol.state is State.CLOSING and self._connection.is_open:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._endpoint.timers.arm(
                self._endpoint.settings.close_seconds, self._connection.abort
            )
