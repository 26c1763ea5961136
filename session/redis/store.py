"""The store and the bus that many instances share: Redis, one node or a cluster.

The parts are beside this: `questions`, `sweeps`, `inboxes` and `events` belong together,
`sessions` and `frontends` stand alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, final

from pool.promises import Promise
from pool.workers import to_worker
from session.redis import keys
from session.redis.events import Events
from session.redis.frontends import Frontends
from session.redis.inboxes import Inboxes
from session.redis.keys import PLACES, Place, place_of
from session.redis.questions import Questions
from session.redis.ready import READY_SECONDS, Ready
from session.redis.records import notification_bytes, progress_bytes
from session.redis.sessions import Sessions
from session.redis.sweeps import Sweeps
from session.redis.tools import RedisTools, ToolCache
from session.steps import at_once

if TYPE_CHECKING:
    from session.asides import Tally
    from session.bus import BusReceiver
    from session.model import (
        Audience,
        Ballot,
        Draft,
        Listing,
        McpSession,
        Noted,
        Outcome,
        Presence,
        Question,
    )
    from session.redis.client import RedisClient
    from session.redis.settings import Settings
    from session.steps import Stepper
    from session.store import Admission, Found, Heard, Listening, Settlement


@dataclasses.dataclass(frozen=True, slots=True)
class RedisStoreStatistics:
    """What an instance knows of a store it shares."""

    inboxes: int
    listings: int
    inbox_readings: int
    events: int
    gaps: int
    rereads: int
    found_by_sweep: int
    session_hits: int
    session_misses: int
    instances: int
    #: Questions that were given to other instances, and answers that say to whom the next may be.
    given: int
    ready: int


@final
class RedisStore:
    """See `session.store.Store` and `session.bus.Bus` for what each method promises.

    Args:
        client: reaches Redis; running, or about to.
        settings: how much is kept and for how long.
        instance: the name of this process, which no other one has.
        new_id: makes ids that nobody can guess.
        now: monotonic seconds.
        stepper: writes and reads what is large.
    """

    def __init__(  # noqa: PLR0913 - made once, by the composition root
        self,
        client: RedisClient,
        settings: Settings,
        *,
        instance: str,
        new_id: Callable[[], str],
        now: Callable[[], float],
        stepper: Stepper = at_once,
    ) -> None:
        self._client = client
        self._inboxes = Inboxes(self._read_inbox)
        cache = ToolCache()
        self._ready = Ready(now)
        self._events = Events(instance, self._inboxes, cache, self._ready)
        #: The tools that frontends offer: a `session.tools.Tools`.
        self.tools = RedisTools(client, self._events, cache)
        self._questions = Questions(
            client,
            settings,
            instance=instance,
            new_id=new_id,
            events=self._events,
            inboxes=self._inboxes,
            ready=self._ready,
            stepper=stepper,
        )
        self._sweeps = Sweeps(
            client,
            settings,
            instance=instance,
            new_id=new_id,
            events=self._events,
            inboxes=self._inboxes,
            stepper=stepper,
        )
        self._sessions = Sessions(
            client,
            now,
            settings.session_idle_seconds,
            settings.stream_seconds,
            settings.compress_bytes if settings.compress_sessions == "on" else 0,
        )
        self._frontends = Frontends(client, settings, self._inboxes, lambda: self._sweeps.alive)
        client.on_invalidated = self._sessions.invalidated
        for place in PLACES:
            client.subscribe(place.channel, self._events)

    @property
    def shared(self) -> bool:
        """Always."""
        return True

    # -- questions

    def admit(self, question: Question, *, hold: bool = False) -> Coroutine[Any, Any, Admission]:
        """Store an open question, or find the one this ask repeats."""
        return self._questions.admit(question, hold=hold)

    def settle(
        self, question: Question, outcome: Outcome
    ) -> Coroutine[Any, Any, Settlement | None]:
        """End a question, once."""
        return self._questions.settle(question, outcome)

    def find(self, tenant: str, question_id: str) -> Coroutine[Any, Any, Found | None]:
        """Return a question with its outcome."""
        return self._questions.find(tenant, question_id)

    def vote(
        self, question: Question, voter: str, ballot: Ballot
    ) -> Coroutine[Any, Any, Tally | None]:
        """Add one person's answer, once."""
        return self._questions.vote(question, voter, ballot)

    def note(self, noted: Sequence[tuple[Question, Sequence[Noted]]]) -> Coroutine[Any, Any, None]:
        """Note who was shown open questions."""
        return self._questions.note(noted)

    def hold(self, tenant: str, question_id: str) -> Coroutine[Any, Any, Question | None]:
        """Become the instance that shows a question of delivery `one`."""
        return self._questions.hold(tenant, question_id)

    def release(self, question: Question) -> Coroutine[Any, Any, None]:
        """Hold a question no longer."""
        return self._questions.release(question)

    def inbox(self, tenant: str) -> Coroutine[Any, Any, Sequence[Listing]]:
        """Return the tenant's open questions, oldest first."""
        return self._inboxes.of(tenant)

    def sweep(self, now: float, limit: int) -> Coroutine[Any, Any, Sequence[Settlement]]:  # noqa: ARG002 - Redis has a clock
        """Time out what is due by Redis's clock, and find what was not heard."""
        return self._sweeps.sweep(limit)

    # -- sessions

    def save_session(self, session: McpSession) -> Coroutine[Any, Any, None]:
        """Keep a caller's session. Redis's memory is what bounds how many there are."""
        return self._sessions.save(session)

    def find_session(
        self, session_id: str, *, patient: bool = False
    ) -> Coroutine[Any, Any, McpSession | None]:
        """Return a session that has not ended."""
        return self._sessions.find(session_id, patient=patient)

    def end_session(self, session_id: str) -> Coroutine[Any, Any, bool]:
        """Forget a session."""
        return self._sessions.end(session_id)

    def save_stream(
        self, session_id: str, stream_id: str, waits_for: tuple[str, str | int], limit: int
    ) -> Coroutine[Any, Any, None]:
        """Note what a stream of a session waits for."""
        return self._sessions.save_stream(session_id, stream_id, waits_for, limit)

    def find_stream(
        self, session_id: str, stream_id: str
    ) -> Coroutine[Any, Any, tuple[str, str | int] | None]:
        """Return what a stream of a session waits for."""
        return self._sessions.find_stream(session_id, stream_id)

    def save_subscription(self, session_id: str, uri: str, limit: int) -> Coroutine[Any, Any, bool]:
        """Note that a session wants to hear of a resource."""
        return self._sessions.save_subscription(session_id, uri, limit)

    def end_subscription(self, session_id: str, uri: str) -> Coroutine[Any, Any, None]:
        """Note that a session wants to hear no more of a resource."""
        return self._sessions.end_subscription(session_id, uri)

    def listen(self, session_id: str, listening: Listening) -> Coroutine[Any, Any, Heard | None]:
        """Note who listens for a session; return of which resources it wants to hear."""
        return self._sessions.listen(session_id, listening)

    def end_listening(self, session_id: str, listening: Listening) -> Coroutine[Any, Any, None]:
        """Note that a listener is gone."""
        return self._sessions.end_listening(session_id, listening)

    def touch_sessions(self, session_ids: set[str]) -> None:
        """Keep sessions alive whose callers wait for people."""
        self._sessions.touch_all(session_ids)

    # -- frontends

    def save_draft(self, tenant: str, owner: str, draft: Draft) -> Coroutine[Any, Any, None]:
        """Keep what a person has typed; an empty text forgets it."""
        return self._frontends.save_draft(tenant, owner, draft)

    def drafts(self, tenant: str, owner: str) -> Coroutine[Any, Any, Sequence[Draft]]:
        """Return the owner's drafts for open questions."""
        return self._frontends.drafts(tenant, owner)

    def arrive(self, presence: Presence) -> Coroutine[Any, Any, bool]:
        """Note that a frontend is connected."""
        return self._frontends.arrive(presence)

    def leave(self, presence: Presence) -> Coroutine[Any, Any, None]:
        """Note that this very connection of a frontend has gone."""
        return self._frontends.leave(presence)

    def present(self, tenant: str) -> Coroutine[Any, Any, Sequence[Presence]]:
        """Return the tenant's connected frontends; those of dead instances are removed."""
        return self._frontends.present(tenant)

    async def ping(self) -> None:
        """Return when the store can be used.

        Raises:
            StoreUnavailableError: it cannot.
        """
        await to_worker()
        for promise in [
            self._client.execute("ZCARD", place.due, slot=place.slot, eager=True)
            for place in PLACES
        ]:
            await promise

    def is_usable(self) -> bool:
        """Whether new questions can be stored now."""
        return self._client.is_usable()

    # -- the bus

    def subscribe(self, receiver: BusReceiver) -> None:
        """Have ``receiver`` hear every other instance from now on."""
        self._events.subscribe(receiver)

    def decline(self) -> float:
        """Have no other instance give questions to this one."""
        self._questions.is_ready = False
        # For those that are on their way by then.
        return 2 * READY_SECONDS

    def notify(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """Have every other instance tell its people something."""
        message = self._events.notified(notification_bytes(tenant, audience, notification))
        self._client.publish(keys.place_of_tenant(tenant).channel, message)

    def presence(self, tenant: str) -> bool:
        """Have every other instance hear that other frontends of a tenant are connected."""
        place = keys.place_of_tenant(tenant)
        return self._client.publish(place.channel, self._events.present(tenant))

    def progress(self, tenant: str, call_id: str, progress: bytes) -> None:
        """Have every other instance hear how far a call of a tool is."""
        message = self._events.progressed(progress_bytes(tenant, call_id, progress))
        place = place_of(call_id) or PLACES[0]
        self._client.publish(place.channel, message)

    def session(self, session_id: str) -> None:
        """Have every other instance hear that a session's subscriptions are others."""
        place = place_of(session_id) or PLACES[0]
        self._client.publish(place.channel, self._events.session(session_id))

    def cancel(self, session_id: str, cancellation: bytes) -> None:
        """Have every other instance hear which calls a session gives up."""
        place = place_of(session_id) or PLACES[0]
        self._client.publish(place.channel, self._events.cancelled(session_id, cancellation))

    def respond(self, inquiry_id: str, response: bytes) -> bool:
        """Have every other instance hear what a caller answers."""
        place = place_of(inquiry_id) or PLACES[0]
        return self._client.publish(place.channel, self._events.responded(inquiry_id, response))

    def statistics(self) -> RedisStoreStatistics:
        """Return the numbers now."""
        events = self._events
        return RedisStoreStatistics(
            inboxes=len(self._inboxes),
            listings=self._inboxes.listings,
            inbox_readings=self._inboxes.readings,
            events=events.heard,
            gaps=events.gaps,
            rereads=events.rereads,
            found_by_sweep=events.found_by_sweep,
            session_hits=self._sessions.hits,
            session_misses=self._sessions.misses,
            instances=len(self._sweeps.alive),
            given=self._ready.given,
            ready=len(self._ready),
        )

    def _read_inbox(self, tenant: str, place: Place) -> Promise[Any]:
        return self._client.execute(
            "ZRANGE", place.inbox(tenant), 0, -1, "WITHSCORES", slot=place.slot
        )
