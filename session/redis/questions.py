"""Questions in Redis: admitted, held, settled and found again.

Each step is one script in one slot (`lua/`), so it happens whole or not at all, and
doing it again changes nothing. README.md beside this has the keys, and what a failover
can lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, cast, final

import msgspec

from session.asides import NOTES, Tally, merged
from session.errors import TooManyPendingError
from session.model import Ballot, Delivery, Noted, Outcome, Question, State
from session.redis import keys, records
from session.redis.commands import Parts, Value
from session.redis.keys import PLACES, Place, place_of
from session.redis.scripts import ADMIT, CONFIRM, HOLD, NOTE, RELEASE, SETTLE, VOTE
from session.steps import WHOLE
from session.store import Admission, Found, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from session.redis.client import RedisClient
    from session.redis.events import Events
    from session.redis.inboxes import Inboxes
    from session.redis.ready import Ready
    from session.redis.settings import Settings
    from session.steps import Stepper

# Beyond its deadline and its answer's time, when nobody was there to end a question.
_KEPT_WITHOUT_OUTCOME: Final = 3_600
# Notes of one question: those that are kept, with the longest names that are usual.
_NOTES_BYTES: Final = NOTES * 256
# What `gateway.ids` makes; one digit more says where a question asked under a key is.
_PLAIN_ID: Final = 32


# The keys of each place that scripts take together.
_IN_PLACE: Final = [Parts(place.due, place.log, place.pending) for place in PLACES]
_IN_PLACE_ALIVE: Final = [
    Parts(place.due, place.log, place.pending, place.alive) for place in PLACES
]
# Outcomes that somebody here brought about.
_BY_PEOPLE: Final = (State.ANSWERED, State.REJECTED)


@final
class Questions:
    """A half of `session.redis.store.RedisStore`."""

    def __init__(  # noqa: PLR0913 - made once, by the store
        self,
        client: RedisClient,
        settings: Settings,
        *,
        instance: str,
        new_id: Callable[[], str],
        events: Events,
        inboxes: Inboxes,
        ready: Ready,
        stepper: Stepper,
    ) -> None:
        self._client = client
        self._settings = settings
        self._instance = instance
        self._ready = ready
        #: Whether others may give questions to this instance.
        self.is_ready = True
        self._new_id = new_id
        self._events = events
        self._inboxes = inboxes
        self._in_steps = stepper
        self._replicas = settings.awaited_replicas
        self._compress_bytes = settings.compress_bytes
        self._kept = Parts(settings.kept_seconds)
        self._limits = Parts(
            settings.kept_seconds + _KEPT_WITHOUT_OUTCOME,
            # Each place has its share of the caps.
            -(-settings.pending // len(PLACES)),
            -(-settings.pending_per_session // len(PLACES)),
        )
        has_outcome = "0" if settings.awaited_replicas else "1"
        self._told = Parts(events.settled, has_outcome)
        self._told_ready = Parts(events.answered, has_outcome)
        self._opened = [
            Parts(place.channel, events.opened, events.held, instance) for place in PLACES
        ]

    async def admit(self, question: Question, *, hold: bool = False) -> Admission:
        """Store an open question, or find the one this ask repeats."""
        digest = ""
        if question.idempotency_key:
            # What was asked under the key must be found where the question will be.
            digest = keys.asked_as(question)
            if not question.id.startswith(digest[0]) or len(question.id) == _PLAIN_ID:
                question = msgspec.structs.replace(question, id=digest[0] + question.id)
        place = _place(question.id)
        gone = ""
        compress = self._compress_bytes
        body = (
            await self._in_steps(
                question.tenant, records.writing_question(question, compress, self._new_id())
            )
            if records.is_large(question)
            else records.question_bytes(question, compress)
        )
        watch = self._events.watch(question.id)
        ends = watch.ends
        try:
            while True:
                reply = await self._admit(
                    place, question, body, hold=hold, digest=digest, gone=gone
                )
                status = reply[0]
                if status == b"asked":
                    earlier = await self.find(question.tenant, reply[1].decode())
                    if earlier is not None:
                        return Admission(earlier.question, fresh=False, outcome=earlier.outcome)
                    gone = reply[1].decode()
                    continue
                if status == b"full":
                    scope = reply[1].decode()
                    limit = self._settings.pending
                    if scope == "session":
                        limit = self._settings.pending_per_session
                    raise TooManyPendingError(scope, limit)
                if status == b"there" and reply[2]:
                    there = await self._outcome(question.tenant, reply[2])
                    return Admission(question, True, there)  # noqa: FBT003 - as in memory
                if watch.ends != ends:
                    found = await self.find(question.tenant, question.id)
                    return Admission(question, True, None if found is None else found.outcome)  # noqa: FBT003 - as in memory
                self._inboxes.add(records.listed(question))
                return Admission(question, True, None)  # noqa: FBT003 - as in memory
        finally:
            self._events.unwatch(question.id, watch)

    async def settle(self, question: Question, outcome: Outcome) -> Settlement | None:
        """End a question, once."""
        place = place_of(question.id)
        if place is None:
            return None
        attempt = self._new_id()[: records.ATTEMPT]
        if records.is_large(outcome):
            steps = records.writing_outcome(outcome, attempt, self._compress_bytes, self._new_id())
            written = await self._in_steps(question.tenant, steps)
        else:
            written = records.outcome_bytes(outcome, attempt, self._compress_bytes)
        is_ready = self.is_ready and outcome.state in _BY_PEOPLE
        reply = await self._client.call(
            SETTLE,
            (
                place.question(question.id),
                place.inbox(question.tenant),
                _IN_PLACE[place.number],
            ),
            (
                written,
                question.tenant,
                self._kept,
                place.channel,
                self._told_ready if is_ready else self._told,
            ),
            slot=place.slot,
            replicas=self._replicas,
        )
        if reply is None:
            return None
        self._events.ended_here(question.tenant, question.id)
        if type(reply) is list:
            counts, answers, notes = reply
            if counts != written:
                outcome = await self._outcome(question.tenant, counts)
            read = await self._ballots(question.tenant, answers)
            outcome = merged(outcome, read, records.notes(notes))
            return Settlement(question, counts == written, outcome)
        if reply in (1, written):
            return Settlement(question, True, outcome)  # noqa: FBT003 - as in memory
        first = await self._outcome(question.tenant, reply)
        return Settlement(question, won=False, outcome=first)

    async def find(self, tenant: str, question_id: str) -> Found | None:
        """Return a question with its outcome."""
        place = place_of(question_id)
        if place is None:
            return None
        key = place.question(question_id)
        watch = self._events.watch(question_id)
        try:
            while True:
                ends = watch.ends
                body, ended, *beside = await self._client.execute(
                    "HMGET", key, "b", "o", "v", "w", slot=place.slot
                )
                if body is None:
                    return None
                question = await self._question(tenant, body)
                if question.tenant != tenant:
                    return None
                answers = await self._ballots(tenant, beside[0])
                if ended is None and watch.ends != ends:
                    # It has while it was read, in Redis or here.
                    continue
                notes = records.notes(beside[1])
                if ended is None:
                    return Found(question, None, answers, notes)
                if self._replicas:
                    # Whoever ended it may still wait for replicas: it counts when they have it.
                    await self._confirm(key)
                outcome = await self._outcome(tenant, ended)
                if answers or notes:
                    outcome = merged(outcome, answers, notes)
                return Found(question, outcome)
        finally:
            self._events.unwatch(question_id, watch)

    async def vote(self, question: Question, voter: str, ballot: Ballot) -> Tally | None:
        """Add one person's answer, once."""
        place = place_of(question.id)
        if place is None:
            return None
        reply = await self._client.call(
            VOTE,
            (place.question(question.id),),
            (
                question.tenant,
                # A name may have blanks in it.
                blake2b(voter.encode(), digest_size=16).hexdigest(),
                records.ballot_bytes(ballot),
                question.quorum,
            ),
            slot=place.slot,
            replicas=self._replicas,
        )
        if reply is None:
            return None
        mine, lines, *ended = reply
        outcome = await self._outcome(question.tenant, ended[0]) if ended else None
        answers = await self._ballots(question.tenant, lines)
        return Tally(answers, mine == b"1", outcome)

    async def note(self, noted: Sequence[tuple[Question, Sequence[Noted]]]) -> None:
        """Note who was shown open questions: one command for those of a place."""
        by_place: dict[Place, list[tuple[bytes, bytes]]] = {}
        for question, notes in noted:
            place = _place(question.id)
            written = (place.question(question.id), records.notes_bytes(notes))
            by_place.setdefault(place, []).append(written)
        for promise in [
            self._client.call(
                NOTE,
                tuple(key for key, _ in some),
                (_NOTES_BYTES, *(lines for _, lines in some)),
                slot=place.slot,
            )
            for place, some in by_place.items()
        ]:
            await promise

    async def hold(self, tenant: str, question_id: str) -> Question | None:
        """Become the instance that shows a question of delivery `one`."""
        place = place_of(question_id)
        if place is None:
            return None
        watch = self._events.watch(question_id)
        ends = watch.ends
        try:
            body = await self._client.call(
                HOLD,
                (place.question(question_id), place.alive),
                (self._instance, tenant),
                slot=place.slot,
            )
            question = None if body is None else await self._question(tenant, body)
            return None if watch.ends != ends else question
        finally:
            self._events.unwatch(question_id, watch)

    async def release(self, question: Question) -> None:
        """Hold a question no longer."""
        place = _place(question.id)
        await self._client.call(
            RELEASE,
            (place.question(question.id), place.log),
            (self._instance, place.channel, self._events.released),
            slot=place.slot,
        )

    async def _question(self, tenant: str, data: bytes) -> Question:
        if len(data) <= WHOLE:
            return records.question(data)
        return await self._in_steps(tenant, records.reading_question(data, self._new_id()))

    async def _outcome(self, tenant: str, data: bytes) -> Outcome:
        if len(data) <= WHOLE:
            return records.outcome(data)
        return await self._in_steps(tenant, records.reading_outcome(data, self._new_id()))

    async def _ballots(self, tenant: str, lines: bytes | None) -> tuple[Ballot, ...]:
        if lines is None or len(lines) <= WHOLE:
            return records.ballots(lines)
        return await self._in_steps(tenant, records.reading_ballots(lines))

    async def _confirm(self, key: bytes) -> None:
        await self._client.call(CONFIRM, (key,), (), replicas=self._replicas)

    def _admit(  # noqa: PLR0913 - all that a command has of it
        self,
        place: Place,
        question: Question,
        body: bytes,
        *,
        hold: bool,
        digest: str,
        gone: str,
    ) -> Any:
        question_keys: tuple[Value, ...] = (
            place.question(question.id),
            place.inbox(question.tenant),
            _IN_PLACE_ALIVE[place.number],
        )
        holder: bytes | str = self._instance
        if not hold:
            one = question.delivery is Delivery.ONE
            holder = self._ready.next_for(question.tenant, question.audience) if one else ""
        # A deadline is never early, not by a fraction.
        milliseconds = math.ceil(1000 * max(0.0, question.deadline - question.created_at))
        arguments: tuple[Value, ...] = (
            body,
            records.listing_bytes(question),
            question.tenant,
            question.session_id,
            milliseconds,
            self._limits,
            holder,
            self._opened[place.number],
        )
        if digest:
            question_keys = (*question_keys, place.asked(digest))
            arguments = (*arguments, question.id, gone)
        return self._client.call(
            ADMIT,
            question_keys,
            arguments,
            slot=place.slot,
            eager=True,
            replicas=self._replicas,
        )


def _place(question_id: str) -> Place:
    return cast("Place", place_of(question_id))
