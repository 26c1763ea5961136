"""What other instances did, heard in order, with every gap noticed.

Each place counts its events. One that is missing shows as a gap in the count, and the
next sweep reads it from the place's log; a subscription that was interrupted, a log that
was cut short or counts that went back (a failover lost the last ones) mean that anything
may have happened, and then the place is read anew.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from session.bus import BusReceiver
from session.model import Delivery, Listing
from session.redis import records
from session.redis.inboxes import Inboxes
from session.redis.keys import PLACES, Place, place_of
from session.redis.ready import Ready
from session.redis.tools import ToolCache

OPENED: Final = b"o"
HELD: Final = b"h"
SETTLED: Final = b"s"
RELEASED: Final = b"r"
GONE: Final = b"g"
NOTIFIED: Final = b"n"
TOOLS: Final = b"t"
PROGRESS: Final = b"p"
PRESENT: Final = b"f"
RESPONSE: Final = b"a"
SESSION: Final = b"m"
CANCELLED: Final = b"c"
_WAITING: Final = (OPENED, RELEASED)
_TOLD: Final = (NOTIFIED, PROGRESS, RESPONSE, SESSION, CANCELLED)
#: The last sequence heard where that is not known.
UNKNOWN: Final = -1


@final
class _Ear:
    """What is heard of one place."""

    __slots__ = ("is_listening", "is_read", "is_reading", "last", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_listening = False
        #: Whether all that was not heard has been read.
        self.is_read = False
        #: Whether it is being read, and was listened to all the time since that began.
        self.is_reading = False
        self.last = UNKNOWN


@final
class Watch:
    """How often a question was heard to end while it was read; its readers share this.

    Each compares it with what it was as that one began to read.
    """

    __slots__ = ("ends", "readers")

    def __init__(self) -> None:
        self.readers = 0
        self.ends = 0


@final
class Events:
    """Hears all places; the listener of their subscriptions."""

    def __init__(self, instance: str, inboxes: Inboxes, tools: ToolCache, ready: Ready) -> None:
        self._instance = instance.encode()
        self._mine = self._instance + b" "
        #: What is said before a question's listing, which the scripts know: it is open, has
        #: its outcome, or nobody shows it any more.
        self.opened: Final = b"%b%b " % (self._mine, OPENED)
        #: What is said before who shows it, and its listing.
        self.held: Final = b"%b%b " % (self._mine, HELD)
        self.settled: Final = b"%b%b " % (self._mine, SETTLED)
        #: The same by an instance that may be given the next one. (Instances that know
        #: nothing of that read over the blank.)
        self.answered: Final = self.settled + b" "
        self.released: Final = b"%b%b " % (self._mine, RELEASED)
        #: What is said of an instance that is gone, before its name. Whoever finds that
        #: out by a sweep is told as the others are: it is not this instance's own doing.
        self.gone: Final = b"%b%b " % (self._mine, GONE)
        #: What is said before the tenant whose tools are others.
        self.tools: Final = b"%b%b " % (self._mine, TOOLS)
        self._inboxes = inboxes
        self._tools = tools
        self._ready = ready
        self._ears = {place.channel: _Ear(place) for place in PLACES}
        self._receiver: BusReceiver | None = None
        self._watches: dict[str, Watch] = {}
        self.heard = self.gaps = self.rereads = self.found_by_sweep = self.unreadable = 0

    def subscribe(self, receiver: BusReceiver) -> None:
        """Have ``receiver`` hear what others do."""
        self._receiver = receiver

    def notified(self, notification: bytes) -> bytes:
        """Return the message that tells people something; it has no place in a log."""
        return b"0 %b%b %b" % (self._mine, NOTIFIED, notification)

    def progressed(self, progress: bytes) -> bytes:
        """Return the message that says how far a call is; it has no place in a log."""
        return b"0 %b%b %b" % (self._mine, PROGRESS, progress)

    def present(self, tenant: str) -> bytes:
        """Return the message that says whose frontends are others; it has no place in a log."""
        return b"0 %b%b %b" % (self._mine, PRESENT, tenant.encode())

    def session(self, session_id: str) -> bytes:
        """Return the message that says which session's subscriptions are others; as above."""
        return b"0 %b%b %b" % (self._mine, SESSION, session_id.encode())

    def responded(self, inquiry_id: str, response: bytes) -> bytes:
        """Return the message that has a caller's answer; it has no place in a log."""
        return b"0 %b%b %b %b" % (self._mine, RESPONSE, inquiry_id.encode(), response)

    def cancelled(self, session_id: str, cancellation: bytes) -> bytes:
        """Return the message that says which calls a session gives up; as above."""
        return b"0 %b%b %b %b" % (self._mine, CANCELLED, session_id.encode(), cancellation)

    # -- from the subscriptions

    def subscribed(self, channel: bytes) -> None:
        """A subscription begins, or begins again: what was said before is not known."""
        ear = self._ears[channel]
        ear.is_listening = True
        ear.is_read = ear.is_reading = False
        ear.last = UNKNOWN
        self._judge()

    def unsubscribed(self, channel: bytes) -> None:
        """A subscription is lost: until it is back the sweeps hear for it."""
        ear = self._ears[channel]
        ear.is_listening = ear.is_read = ear.is_reading = False
        self._judge()

    def message(self, channel: bytes, payload: bytes) -> None:
        """Hear an event."""
        ear = self._ears.get(channel)
        if ear is None:
            return
        count, _, event = payload.partition(b" ")
        sequence = int(count) if count.isdigit() else 0
        if sequence:
            if sequence == ear.last + 1 or ear.last == UNKNOWN:
                # Of what was before the first one heard, the sweep reads what came of it.
                ear.last = sequence
            elif sequence <= ear.last:
                return
            else:
                # The sweep reads what is missing, and this once more.
                self.gaps += 1
        self._hear(ear.place, event)

    # -- from the sweep

    def last_of(self, place: Place) -> int:
        """Return the last sequence heard of a place."""
        return self._ears[place.channel].last

    def swept(self, place: Place, heard: int, last: int, events: list[Any]) -> bool:
        """Take what a sweep found; return whether the place has to be read anew.

        ``heard`` is what `last_of` said as the sweep began: more may be heard by now.
        """
        ear = self._ears[place.channel]
        if last < heard:
            # A failover lost the last ones: their numbers come again.
            ear.last = last
        if last < heard or ear.last == UNKNOWN or (ear.is_listening and not ear.is_read):
            return self._lose_track(ear, last)
        for at in range(0, len(events), 2):
            sequence = int(events[at])
            if sequence <= ear.last:
                continue
            if sequence != ear.last + 1:
                return self._lose_track(ear, last)
            ear.last = sequence
            self.found_by_sweep += 1
            self._hear(place, events[at + 1])
        return False

    def reread(
        self,
        place: Place,
        opened: list[Listing],
        ended: list[Listing],
    ) -> None:
        """A place was read anew: tell what has changed unheard."""
        self.rereads += 1
        ear = self._ears[place.channel]
        # What was opened while nobody listened may have come too late to be read.
        ear.is_read = ear.is_reading
        self._judge()
        receiver = self._receiver
        if receiver is None:
            return
        self._tools_of(place)
        for listing in ended:
            self._ended(listing.id)
            receiver.question_settled(listing.tenant, listing.id, None)
        for listing in opened:
            receiver.question_opened(listing)
        receiver.missed(lambda question_id: place_of(question_id) is place)

    def forgotten(self) -> None:
        """The others took this instance for dead."""
        if self._receiver is not None:
            self._receiver.forgotten()

    # -- reading without missing an end

    def watch(self, question_id: str) -> Watch:
        """Begin to read a question: until `unwatch` its end does not pass unnoticed."""
        watch = self._watches.get(question_id)
        if watch is None:
            watch = self._watches[question_id] = Watch()
        watch.readers += 1
        return watch

    def unwatch(self, question_id: str, watch: Watch) -> None:
        """End reading a question."""
        watch.readers -= 1
        if not watch.readers:
            self._watches.pop(question_id, None)

    def ended_here(self, tenant: str, question_id: str) -> None:
        """A question has ended, by this instance's doing."""
        self._inboxes.remove(tenant, question_id)
        self._ended(question_id)

    # -- inside

    def _lose_track(self, ear: _Ear, last: int) -> bool:
        # What was heard since the sweep is not heard again.
        ear.last = max(ear.last, last)
        ear.is_read = False
        ear.is_reading = ear.is_listening
        self._judge()
        return True

    def _judge(self) -> None:
        """Inboxes are current while every place is listened to and has been read.

        What is in them is kept meanwhile, to be compared with what is read.
        """
        is_current = all(ear.is_read for ear in self._ears.values())
        self._inboxes.is_current = self._tools.is_current = is_current

    def _hear(self, place: Place, event: bytes) -> None:
        if event.startswith(self._mine) and not event.startswith(self.gone):
            return
        self.heard += 1
        try:
            instance, kind, what = event.split(b" ", 2)
            if kind == HELD:
                self._held(what)
            elif kind == SETTLED:
                self._settled(instance, what)
            elif kind in _WAITING:
                self._opened(records.listing(what))
            elif kind in _TOLD:
                self._told(kind, what)
            elif kind == GONE:
                self._gone(place)
            elif kind == PRESENT:
                self._presence_changed(what.decode())
            elif kind == TOOLS:
                self._tools_changed(what.decode())
        except (ValueError, msgspec.DecodeError):
            # An instance of another version said it.
            self.unreadable += 1

    def _told(self, kind: bytes, what: bytes) -> None:
        """Pass on what is in no log."""
        if self._receiver is None:
            return
        if kind == NOTIFIED:
            self._receiver.notified(*records.notification(what))
        elif kind == RESPONSE:
            # Only whoever asked reads it.
            inquiry_id, _, response = what.partition(b" ")
            self._receiver.responded(inquiry_id.decode(), response)
        elif kind == CANCELLED:
            session_id, _, cancellation = what.partition(b" ")
            self._receiver.cancelled(session_id.decode(), cancellation)
        elif kind == SESSION:
            self._receiver.session_changed(what.decode())
        else:
            self._receiver.progressed(*records.progress(what))

    def _held(self, what: bytes) -> None:
        """A question was opened that one instance shows: it may have been given to this one."""
        holder, _, rest = what.partition(b" ")
        written, _, body = rest.partition(b"\n")
        if holder != self._instance:
            self._inboxes.add(records.listing(written))
        elif body:
            question = records.question(body)
            self._inboxes.add(records.listed(question))
            if self._receiver is not None:
                self._receiver.question_given(question)
        else:
            # From the log, or too long: the store has it.
            self._opened(records.listing(written))

    def _settled(self, instance: bytes, what: bytes) -> None:
        """A question has ended, and whoever ended it may be ready for the next."""
        written, _, told = what.partition(b"\n")
        listing = records.listing(written)
        outcome = records.outcome(told) if told else None
        if what.startswith(b" ") and listing.delivery is Delivery.ONE:
            self._ready.answered(listing.tenant, listing.audience, instance)
        self._inboxes.remove(listing.tenant, listing.id)
        self._ended(listing.id)
        if self._receiver is not None:
            self._receiver.question_settled(listing.tenant, listing.id, outcome)

    def _opened(self, listing: Listing) -> None:
        self._inboxes.add(listing)
        if self._receiver is not None:
            self._receiver.question_opened(listing)

    def _gone(self, place: Place) -> None:
        """An instance is gone, and what it held is free."""
        if self._receiver is not None:
            for listing in self._inboxes.of_place(place):
                self._receiver.question_opened(listing)
        # Who was connected to it is connected no more.
        self._presence_changed("")
        self._tools_of(place)

    def _presence_changed(self, tenant: str) -> None:
        if self._receiver is not None:
            self._receiver.presence_changed(tenant)

    def _tools_of(self, place: Place) -> None:
        """Whatever is known of tools in a place may not be so any more."""
        for tenant in self._tools.of_place(place):
            self._tools_changed(tenant)

    def _tools_changed(self, tenant: str) -> None:
        self._tools.invalidate(tenant)
        if self._receiver is not None:
            self._receiver.tools_changed(tenant)

    def _ended(self, question_id: str) -> None:
        watch = self._watches.get(question_id)
        if watch is not None:
            watch.ends += 1
