"""The store of one process alone.

Nothing here waits and nothing outlives the process. It refuses to grow without
bound: open questions are capped by count and bytes, settled ones are kept for
their time or until newer ones need the room, sessions end when idle.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, final

import msgspec

from pool.timers import Timers
from session.asides import NOTES, Tally, merged, polled
from session.belongings import Belongings
from session.errors import TooManyPendingError, TooManySessionsError
from session.memory_record import Record
from session.memory_settings import Settings
from session.model import Ballot, Draft, McpSession, Noted, Outcome, Presence, Question, State
from session.store import Admission, Found, Heard, Listening, Settlement

# What a question costs beside its texts, and a note of it.
_OVERHEAD_BYTES: Final = 1024
_NOTE_BYTES: Final = 256


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """How much the store holds."""

    pending: int
    answers: int
    bytes: int
    sessions: int
    drafts: int
    frontends: int
    evicted_answers: int


@final
class MemoryStore:
    """See `session.store.Store` for what each method promises."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._records: dict[str, Record] = {}
        #: The open ones of each tenant, and how many they are together; oldest first.
        self._open: dict[str, dict[str, Record]] = {}
        self._pending = 0
        #: The settled ones, in the order in which they were.
        self._settled: deque[Record] = deque()
        self._by_session: dict[str, int] = {}
        self._by_key: dict[tuple[str, str, str], str] = {}
        self._deadlines: Timers[str] = Timers(clock(), tick=0.25)
        self._bytes = 0
        self._evicted = 0
        self._sessions: dict[str, tuple[McpSession, float]] = {}
        self._belongings = Belongings()
        self._drafts: OrderedDict[tuple[str, str], tuple[str, Draft]] = OrderedDict()
        self._present: dict[str, dict[str, Presence]] = {}

    @property
    def shared(self) -> bool:
        """Never: what is in memory ends with the process."""
        return False

    async def admit(self, question: Question, *, hold: bool = False) -> Admission:  # noqa: ARG002 - nobody else could
        """Store an open question, or find the one this ask repeats."""
        there = self._records.get(question.id)
        if there is not None:
            return Admission(there.question, True, there.outcome)  # noqa: FBT003 - as below
        if question.idempotency_key:
            earlier = self._repeated(question)
            if earlier is not None:
                return Admission(earlier.question, fresh=False, outcome=earlier.outcome)
        size = _OVERHEAD_BYTES + len(question.text) + len(question.context)
        if question.schema is not None or question.choices:
            more = (question.schema, question.choices, question.approval)
            size += len(msgspec.json.encode(more))
        self._make_room(question, size)
        question_id = question.id
        record = Record(question, size, self._deadlines.arm_at(question.deadline, question_id))
        self._records[question_id] = record
        tenant = self._open.get(question.tenant)
        if tenant is None:
            tenant = self._open[question.tenant] = {}
        tenant[question_id] = record
        self._pending += 1
        session_id = question.session_id
        if session_id:
            self._by_session[session_id] = self._by_session.get(session_id, 0) + 1
        self._bytes += size
        if question.idempotency_key:
            self._by_key[_key(question)] = question.id
        return Admission(question, True, None)  # noqa: FBT003 - by position, as it is made for every question

    async def settle(self, question: Question, outcome: Outcome) -> Settlement | None:
        """End a question, once."""
        record = self._record(question.tenant, question.id)
        if record is None:
            return None
        if record.outcome is None:
            return self._end(record, outcome)
        return Settlement(record.question, won=False, outcome=record.outcome)

    async def find(self, tenant: str, question_id: str) -> Found | None:
        """Return a question with its outcome."""
        record = self._record(tenant, question_id)
        if record is None:
            return None
        if record.outcome is not None:
            return Found(record.question, record.outcome)
        return Found(record.question, None, record.answers, record.notes)

    async def vote(self, question: Question, voter: str, ballot: Ballot) -> Tally | None:
        """Add one person's answer, once."""
        record = self._record(question.tenant, question.id)
        if record is None:
            return None
        if record.outcome is not None:
            return Tally(record.outcome.answers, fresh=False, outcome=record.outcome)
        if record.ballots is None:
            record.ballots = {}
        fresh = voter not in record.ballots and len(record.ballots) < question.quorum
        if fresh:
            record.ballots[voter] = ballot
            self._grow(record, len(msgspec.json.encode(ballot)))
        return Tally(record.answers, fresh)

    async def note(self, noted: Sequence[tuple[Question, Sequence[Noted]]]) -> None:
        """Note who was shown open questions."""
        for question, notes in noted:
            record = self._records.get(question.id)
            if record is not None and record.outcome is None:
                fresh = notes[: NOTES - len(record.notes)]
                record.notes += tuple(fresh)
                self._grow(record, _NOTE_BYTES * len(fresh))

    async def hold(self, tenant: str, question_id: str) -> Question | None:
        """Return the question if it is open: whoever asks is the only one who can hold it."""
        record = self._record(tenant, question_id)
        return None if record is None or record.outcome is not None else record.question

    async def release(self, question: Question) -> None:
        """Tell nobody: there is no other instance."""

    async def inbox(self, tenant: str) -> Sequence[Question]:
        """Return the tenant's open questions, oldest first."""
        return [record.question for record in self._open.get(tenant, {}).values()]

    async def sweep(self, now: float, limit: int) -> Sequence[Settlement]:
        """Time out what is due, and forget what was kept long enough."""
        self._forget(now)
        return [
            self._end(self._records[question_id], _overdue(self._records[question_id], now))
            for question_id in islice(self._deadlines.due(now), limit)
        ]

    async def save_draft(self, tenant: str, owner: str, draft: Draft) -> None:
        """Keep what a person has typed; an empty text forgets it."""
        record = self._record(tenant, draft.question_id)
        if record is None or record.outcome is not None:
            return
        key = (owner, draft.question_id)
        self._drafts.pop(key, None)
        if draft.text:
            self._drafts[key] = (tenant, draft)
            if len(self._drafts) > self._settings.drafts:
                self._drafts.popitem(last=False)

    async def drafts(self, tenant: str, owner: str) -> Sequence[Draft]:
        """Return the owner's drafts for open questions."""
        return [
            draft
            for (whose, question_id), (theirs, draft) in self._drafts.items()
            if whose == owner and theirs == tenant and self._is_open(question_id)
        ]

    async def save_session(self, session: McpSession) -> None:
        """Keep a caller's session."""
        if session.id not in self._sessions and len(self._sessions) >= self._settings.sessions:
            raise TooManySessionsError(self._settings.sessions)
        self._sessions[session.id] = (session, self._clock())

    async def find_session(self, session_id: str, *, patient: bool = False) -> McpSession | None:  # noqa: ARG002 - never away
        """Return a session; it is the youngest now."""
        found = self._sessions.get(session_id)
        if found is None:
            return None
        session, used = found
        now = self._clock()
        # The order of the dict is the order of use, to within a second: moving
        # an entry at every request would cost more than the request's look-up.
        if now - used > 1.0:
            self._sessions[session_id] = (self._sessions.pop(session_id)[0], now)
        return session

    def has_session(self, session_id: str) -> bool:
        """Whether there is such a session; asking does not make it younger."""
        return session_id in self._sessions

    async def end_session(self, session_id: str) -> bool:
        """Forget a session."""
        self._belongings.forget(session_id)
        return self._sessions.pop(session_id, None) is not None

    async def save_stream(
        self, session_id: str, stream_id: str, waits_for: tuple[str, str | int], limit: int
    ) -> None:
        """Note what a stream of a session waits for."""
        if session_id in self._sessions:
            self._belongings.save_stream(session_id, stream_id, waits_for, limit)

    async def find_stream(self, session_id: str, stream_id: str) -> tuple[str, str | int] | None:
        """Return what a stream of a session waits for."""
        return self._belongings.find_stream(session_id, stream_id)

    async def save_subscription(self, session_id: str, uri: str, limit: int) -> bool:
        """Note that a session wants to hear of a resource."""
        return session_id not in self._sessions or self._belongings.save_subscription(
            session_id, uri, limit
        )

    async def end_subscription(self, session_id: str, uri: str) -> None:
        """Note that a session wants to hear no more of a resource."""
        self._belongings.end_subscription(session_id, uri)

    async def listen(self, session_id: str, listening: Listening) -> Heard | None:
        """Note who listens for a session; return of which resources it wants to hear."""
        there = session_id in self._sessions
        return self._belongings.listen(session_id, listening, self._clock()) if there else None

    async def end_listening(self, session_id: str, listening: Listening) -> None:
        """Note that a listener is gone."""
        self._belongings.end_listening(session_id, listening)

    def touch_sessions(self, session_ids: set[str]) -> None:
        """Keep sessions alive whose callers wait, be it for what others have asked."""
        now = self._clock()
        for session_id in session_ids:
            found = self._sessions.pop(session_id, None)
            if found is not None:
                self._sessions[session_id] = (found[0], now)

    async def arrive(self, presence: Presence) -> bool:
        """Note that a frontend is connected."""
        present = self._present.setdefault(presence.tenant, {})
        is_new = presence.connection_id not in present
        present[presence.connection_id] = presence
        return is_new

    async def leave(self, presence: Presence) -> None:
        """Note that this very connection of a frontend has gone."""
        tenant = self._present.get(presence.tenant)
        if tenant is not None:
            tenant.pop(presence.connection_id, None)
            if not tenant:
                del self._present[presence.tenant]

    async def present(self, tenant: str) -> Sequence[Presence]:
        """Return the tenant's connected frontends."""
        return list(self._present.get(tenant, {}).values())

    async def ping(self) -> None:
        """Return: memory always answers."""

    def statistics(self) -> MemoryStatistics:
        """Return how much is held."""
        return MemoryStatistics(
            pending=self._pending,
            answers=len(self._settled),
            bytes=self._bytes,
            sessions=len(self._sessions),
            drafts=len(self._drafts),
            frontends=sum(map(len, self._present.values())),
            evicted_answers=self._evicted,
        )

    def _record(self, tenant: str, question_id: str) -> Record | None:
        """Return a question of this tenant: another one's looks like none."""
        record = self._records.get(question_id)
        return None if record is None or record.question.tenant != tenant else record

    def _is_open(self, question_id: str) -> bool:
        record = self._records.get(question_id)
        return record is not None and record.outcome is None

    def _repeated(self, question: Question) -> Record | None:
        return self._records.get(self._by_key.get(_key(question), ""))

    def _make_room(self, question: Question, size: int) -> None:
        settings = self._settings
        if self._pending >= settings.pending:
            raise TooManyPendingError("gateway", settings.pending)
        if self._by_session.get(question.session_id, 0) >= settings.pending_per_session:
            raise TooManyPendingError("session", settings.pending_per_session)
        while self._bytes + size > settings.bytes and self._settled:
            self._evict()
        if self._bytes + size > settings.bytes:
            raise TooManyPendingError("gateway", self._pending)

    def _end(self, record: Record, outcome: Outcome) -> Settlement:
        """Close an open record. Every outcome is terminal, so any of them may follow."""
        question = record.question
        question_id = question.id
        if record.ballots or record.notes:
            outcome = merged(outcome, record.answers, record.notes)
        record.outcome = outcome
        size = len(outcome.answer)
        if outcome.content is not None:
            size += len(msgspec.json.encode(outcome.content))
        self._grow(record, size)
        if record.deadline is not None:
            record.deadline.cancel()
            record.deadline = None
        self._pending -= 1
        tenant = self._open[question.tenant]
        del tenant[question_id]
        if not tenant:
            del self._open[question.tenant]
        session_id = question.session_id
        if session_id:
            count = self._by_session[session_id] - 1
            if count:
                self._by_session[session_id] = count
            else:
                del self._by_session[session_id]
        self._settled.append(record)
        if len(self._settled) > self._settings.answers:
            self._evict()
        return Settlement(question, True, outcome)  # noqa: FBT003 - by position, as it is made for every question

    def _grow(self, record: Record, size: int) -> None:
        record.size += size
        self._bytes += size

    def _evict(self) -> None:
        """Forget the question that was settled first."""
        record = self._settled.popleft()
        del self._records[record.question.id]
        self._bytes -= record.size
        self._evicted += 1
        if record.question.idempotency_key:
            self._by_key.pop(_key(record.question), None)

    def _forget(self, now: float) -> None:
        while self._settled:
            outcome = self._settled[0].outcome
            assert outcome is not None
            if outcome.at + self._settings.answer_seconds > now:
                break
            self._evict()
        idle_since = now - self._settings.session_idle_seconds
        for session_id, (_, used) in list(islice(self._sessions.items(), 256)):
            if used > idle_since:
                break
            if session_id in self._by_session:
                # It waits for people: that is not idleness.
                self._sessions[session_id] = (self._sessions.pop(session_id)[0], now)
            else:
                del self._sessions[session_id]
                self._belongings.forget(session_id)
        for key in [key for key in islice(self._drafts, 256) if not self._is_open(key[1])]:
            del self._drafts[key]


def _overdue(record: Record, now: float) -> Outcome:
    """Return how a question ends whose deadline has passed: perhaps all had answered."""
    return polled(record.question, record.answers) or Outcome(State.TIMED_OUT, at=now)


def _key(question: Question) -> tuple[str, str, str]:
    return question.tenant, question.asker, question.idempotency_key
