"""Questions whose deadlines have passed, ended many at a time.

A hundred thousand may be due in the same second, and whoever asked them may be dead. Those of
a place are read by one command and ended by another, and all places go on at once, so what
many cost is their own work and not the way to Redis and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import msgspec
import trio

from pool.promises import Promise
from session.asides import merged, polled
from session.errors import StoreUnavailableError
from session.model import Ballot, Listing, Noted, Outcome, Question, State
from session.redis import records
from session.redis.keys import Place
from session.redis.scripts import BODIES, EXPIRE, FORGET
from session.steps import PIECE
from session.store import Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from session.redis.client import RedisClient
    from session.redis.events import Events
    from session.steps import Stepper


@final
class Overdue:
    """Ends what is due in a place.

    Args:
        kept_seconds: how long outcomes are kept.
        replicas: how many must have an outcome before it counts.
        new_id: makes what tells one attempt to end questions from another.
        stepper: reads what is not small: there are many at a time.
        patience: how many seconds a sweep waits for a reply.
    """

    def __init__(  # noqa: PLR0913 - made once, by `Sweeps`
        self,
        client: RedisClient,
        events: Events,
        *,
        kept_seconds: int,
        replicas: int,
        new_id: Callable[[], str],
        stepper: Stepper,
        patience: float,
    ) -> None:
        self._client = client
        self._events = events
        self._kept_seconds = kept_seconds
        self._replicas = replicas
        self._new_id = new_id
        self._in_steps = stepper
        self._patience = patience

    def begin(self, place: Place, members: Sequence[bytes]) -> Batch:
        """Begin to end questions of a place, named as they are listed there; nothing waits."""
        listed = []
        for member in members:
            # As the scripts write it: with the session, if it was asked in one.
            written, _, session_id = member.partition(b"\n")
            try:
                listed.append((written, session_id, records.listing(written)))
            except msgspec.DecodeError:
                # An instance of another version wrote it, and ends it.
                continue
        questions = tuple(place.question(listing.id) for _, _, listing in listed)
        bodies = self._client.call(BODIES, questions, (), slot=place.slot)
        return Batch(self, place, listed, bodies)

    def end(self, place: Place, questions: Sequence[tuple[Question, Outcome]]) -> Promise[Any]:
        """Give questions of a place their outcomes, unless they have others by then."""
        attempt = self._new_id()[: records.ATTEMPT]
        keys = [place.due, place.log, place.pending]
        arguments: list[Any] = [
            self._kept_seconds,
            place.channel,
            self._events.settled,
            "0" if self._replicas else "1",
        ]
        for question, outcome in questions:
            keys += (place.question(question.id), place.inbox(question.tenant))
            arguments += (records.outcome_bytes(outcome, attempt), question.tenant)
        return self._client.call(
            EXPIRE, tuple(keys), tuple(arguments), slot=place.slot, replicas=self._replicas
        )

    async def read(self, tenant: str, body: bytes) -> Question:
        """Read a question.

        Raises:
            msgspec.DecodeError: an instance of another version wrote it.
            StoreUnavailableError: too much is being read.
        """
        if len(body) <= PIECE:
            return records.question(body)
        return await self._in_steps(tenant, records.reading_question(body, self._new_id()))

    def forget(
        self, place: Place, written: bytes, session_id: bytes, listing: Listing
    ) -> Promise[Any]:
        """Take a question from the lists that is gone itself."""
        keys = (place.question(listing.id), place.inbox(listing.tenant), place.due, place.pending)
        return self._client.call(FORGET, keys, (written, session_id), slot=place.slot)

    def until(self) -> float:
        """Return until when to wait for what is asked now."""
        return trio.current_time() + self._patience

    def ended(self, question: Question | Listing) -> None:
        """Note that a question was ended, or forgotten, by this instance."""
        self._events.ended_here(question.tenant, question.id)


@final
class Batch:
    """Some questions of a place that are due.

    What is not answered in time stays asked: the next sweep goes on with it. Whoever asked a
    question is told of its end by this alone, so no reply may be lost on the way.
    """

    def __init__(
        self,
        overdue: Overdue,
        place: Place,
        listed: list[tuple[bytes, bytes, Listing]],
        bodies: Promise[Any],
    ) -> None:
        self._overdue = overdue
        #: Where they are.
        self.place = place
        self._listed = listed
        self._bodies = bodies
        self._questions: list[tuple[Question, Outcome]] = []
        #: Of each of them what is beside it.
        self._beside: list[tuple[tuple[Ballot, ...], tuple[Noted, ...]]] = []
        self._forgotten: list[tuple[Listing, Promise[Any]]] = []
        self._endings: Promise[Any] | None = None
        self._is_read = False
        self._until = overdue.until()

    def __len__(self) -> int:
        return len(self._listed)

    async def read(self) -> None:
        """Wait until they are read, and begin to end them; or until it takes too long.

        Raises:
            StoreUnavailableError: they could not be.
        """
        if self._is_read or not await done_by(self._bodies, self._until):
            return
        self._is_read = True
        overdue, place = self._overdue, self.place
        bodies = await self._bodies
        for (written, session_id, listing), kept in zip(self._listed, bodies, strict=True):
            body, lines, notes = kept
            if body is None:
                forgotten = overdue.forget(place, written, session_id, listing)
                self._forgotten.append((listing, forgotten))
                continue
            try:
                question = await overdue.read(listing.tenant, body)
            except msgspec.DecodeError:
                # As above.
                continue
            if question.tenant == listing.tenant:
                answers = records.ballots(lines)
                # Perhaps all had answered, and who was to say so is gone.
                outcome = polled(question, answers) or Outcome(State.TIMED_OUT, question.deadline)
                self._questions.append((question, outcome))
                self._beside.append((answers, records.notes(notes)))
        if self._questions:
            self._endings = overdue.end(place, self._questions)
        self._until = overdue.until()

    async def settled(self) -> list[Settlement] | None:
        """Wait until they have ended; return those that were ended by this.

        ``None``: it takes too long, and is to be asked again.

        Raises:
            StoreUnavailableError: whether they were is not known; the next sweep finds out.
        """
        if not self._is_read:
            return None
        replies = [forgotten for _, forgotten in self._forgotten]
        if self._endings is not None:
            replies.append(self._endings)
        for reply in replies:
            if not await done_by(reply, self._until):
                return None
        for listing, forgotten in self._forgotten:
            # Unless it was put back meanwhile.
            if await forgotten:
                self._overdue.ended(listing)
        if self._endings is None:
            return []
        settled = []
        won = await self._endings
        all_beside = zip(self._questions, self._beside, won, strict=True)
        for (question, outcome), (answers, notes), mine in all_beside:
            if mine:
                whole = merged(outcome, answers, notes) if answers or notes else outcome
                self._overdue.ended(question)
                settled.append(Settlement(question, True, whole))  # noqa: FBT003 - as in memory
        return settled


async def end_all(
    batches: Sequence[Batch],
) -> tuple[list[Settlement], list[Batch], StoreUnavailableError | None]:
    """Return what was ended by this, what is not done yet, and why that may not be all."""
    settled: list[Settlement] = []
    unfinished: list[Batch] = []
    failure: StoreUnavailableError | None = None
    # All are read before the first has to have ended: places do not wait for each other.
    for batch in batches:
        try:
            await batch.read()
        except StoreUnavailableError as error:
            failure = error
    for batch in batches:
        try:
            ended = await batch.settled()
        except StoreUnavailableError as error:
            failure = error
            continue
        if ended is None:
            unfinished.append(batch)
            failure = StoreUnavailableError("Redis has not said what has ended; try later")
        else:
            settled += ended
    return settled, unfinished, failure


async def done_by(promise: Promise[Any], until: float) -> bool:
    """Wait for a promise, but not for ever; return whether it is done. It is not abandoned."""
    if not promise.done:
        with trio.move_on_at(until):
            await promise.wait_done()
    return promise.done
