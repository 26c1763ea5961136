"""The audit record on its way out: what happened is collected, and leaves in batches.

Whoever records something waits for nothing. A tenth of a second later, or sooner when
much has come together, one task writes it: a line for each entry to the log, and a command
for each tenant to the store. While the store is away entries wait, up to a bound; past it
the newest are dropped, so that what is there has no holes, and how many were is in the
record itself. What waits is lost with a process that is killed.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
import structlog
import trio

from pool.workers import QueueFullError
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pool.workers import Workers
    from session import AuditTrail

log = structlog.get_logger()

#: One entry: what is known of it, by name.
Entry = dict[str, Any]

FLUSH_SECONDS: Final = 0.1
#: Entries after which nobody waits for that, and the most in one command.
BATCH: Final = 500
_BATCH_BYTES: Final = 1024 * 1024
#: What may wait: some ten seconds of a thousand questions a second, or 16 MiB of what they
#: quote; and half of each of one tenant, so that a record that cannot be written is no
#: other's loss.
MOST: Final = 50_000
MOST_OF_A_TENANT: Final = MOST // 2
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_BYTES_OF_A_TENANT: Final = MOST_BYTES // 2
# Lines of the log between which others have their turn.
_LINES_PER_STEP: Final = 25
# And of what they quote, in characters.
_QUOTED_PER_STEP: Final = 256 * 1024
# In the workers' queue, the record is one tenant among others.
_LANE: Final = "(audit)"


@dataclasses.dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """What became of entries so far."""

    waiting: int
    written: int
    dropped: int


@final
class _Record:
    """What waits to be appended to a tenant's record."""

    __slots__ = ("batch", "is_busy", "number", "sizes", "tenant", "waiting")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.waiting: deque[tuple[bytes, int]] = deque()
        #: What was sent and may be in the store: it is sent again as it was.
        self.batch: list[bytes] = []
        self.sizes = 0
        self.number = 0
        self.is_busy = False


@final
class Recorder:
    """Owned by the composition root; `run` is its task.

    Args:
        trail: where entries are kept; `None` for nowhere.
        write_line: puts a tenant's entry into the log; `None` for nowhere.
        workers: wait for the store.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        trail: AuditTrail | None,
        write_line: Callable[[str, Entry], None] | None,
        workers: Workers,
        clock: Callable[[], float],
    ) -> None:
        self._trail = trail
        self._write_line = write_line
        self._workers = workers
        self._clock = clock
        # In the order in which they came, each with the size of what it quotes.
        self._fresh: deque[tuple[str, Entry, int]] = deque()
        self._records: dict[str, _Record] = {}
        self._waiting = self._bytes = 0
        # Of those who are quoted, from `add` until it is written.
        self._bytes_of: dict[str, int] = {}
        self._written = self._dropped = 0
        self._lost: dict[str, int] = {}
        self._last_batch = 0
        # Whose record could not be written when it was last tried.
        self._cut_off: set[str] = set()
        self._some = trio.Event()
        self._many = trio.Event()

    def add(self, tenant: str, entry: Entry, size: int = 0) -> None:
        """Have an entry written soon, after those that came before it.

        ``size`` is how much it quotes of what people and agents said.
        """
        record = self._records.get(tenant)
        if (
            self._waiting >= MOST
            or (size and not self._may_quote(tenant, size))
            or (record is not None and len(record.waiting) >= MOST_OF_A_TENANT)
        ):
            self._drop(tenant)
        else:
            self._put(tenant, entry, size)

    def statistics(self) -> RecorderStatistics:
        """Return the numbers now."""
        return RecorderStatistics(self._waiting, self._written, self._dropped)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what comes, until cancelled. Whoever ends it drains it first."""
        task_status.started()
        try:
            while True:
                if not self._waiting:
                    await self._some.wait()
                with trio.move_on_after(FLUSH_SECONDS):
                    await self._many.wait()
                self._some, self._many = trio.Event(), trio.Event()
                await self._flush()
        finally:
            if self._waiting:
                log.error("audit_lost", count=self._waiting, reason="the process ends")

    async def drain(self) -> None:
        """Return when everything is written; bound this wait."""
        # Once in a process: an event would cost every batch something.
        while self._waiting:
            await self._flush()
            await trio.sleep(FLUSH_SECONDS / 10)

    # -- inside

    def _may_quote(self, tenant: str, size: int) -> bool:
        if self._bytes + size > MOST_BYTES:
            return False
        # One alone may be longer, or it would never be written.
        own = self._bytes_of.get(tenant, 0)
        return not own or own + size <= MOST_BYTES_OF_A_TENANT

    def _put(self, tenant: str, entry: Entry, size: int) -> None:
        self._fresh.append((tenant, entry, size))
        self._waiting += 1
        if size:
            self._bytes += size
            self._bytes_of[tenant] = self._bytes_of.get(tenant, 0) + size
        if len(self._fresh) == 1:
            self._some.set()
        elif len(self._fresh) == BATCH:
            self._many.set()

    def _drop(self, tenant: str) -> None:
        if not self._lost:
            log.error("audit_full", waiting=self._waiting)
        self._dropped += 1
        self._lost[tenant] = self._lost.get(tenant, 0) + 1

    async def _flush(self) -> None:
        quoted = 0
        for turn in range(len(self._fresh)):
            if turn % _LINES_PER_STEP == _LINES_PER_STEP - 1 or quoted >= _QUOTED_PER_STEP:
                quoted = 0
                await trio.lowlevel.checkpoint()
            if not self._fresh:
                # Somebody else drains.
                break
            tenant, entry, size = self._fresh.popleft()
            quoted += size
            self._hand_out(tenant, entry, size)
        for record in list(self._records.values()):
            if not record.is_busy and (record.batch or record.waiting):
                quoted += self._send(record)
                if quoted >= _QUOTED_PER_STEP:
                    quoted = 0
                    await trio.lowlevel.checkpoint()

    def _hand_out(self, tenant: str, entry: Entry, size: int) -> None:
        if self._write_line is not None:
            self._write_line(tenant, entry)
        if self._trail is None:
            self._done(tenant, 1, size)
            return
        record = self._records.get(tenant)
        if record is None:
            record = self._records[tenant] = _Record(tenant)
        record.waiting.append((msgspec.json.encode(entry), size))

    def _send(self, record: _Record) -> int:
        """Send what waits of a record, or some of it; return the size of what that quotes."""
        if not record.batch:
            self._fill(record)
        size = record.sizes
        record.is_busy = True
        try:
            self._workers.start(_LANE, self._append(record))
        except QueueFullError:
            # It is tried again.
            record.is_busy = False
        return size

    def _fill(self, record: _Record) -> None:
        """Make a batch of what waits. Numbers are not used twice, by any record."""
        length = 0
        while record.waiting and len(record.batch) < BATCH and length < _BATCH_BYTES:
            entry, size = record.waiting.popleft()
            record.batch.append(entry)
            record.sizes += size
            length += len(entry)
        self._last_batch += 1
        record.number = self._last_batch

    async def _append(self, record: _Record) -> None:
        assert self._trail is not None
        try:
            await self._trail.append(record.tenant, record.number, record.batch)
        except StoreUnavailableError as error:
            if not self._cut_off:
                log.error("audit_unwritten", reason=str(error), waiting=self._waiting)  # noqa: TRY400 - expected, and said whole
            self._cut_off.add(record.tenant)
            return
        finally:
            record.is_busy = False
        if self._cut_off:
            self._cut_off.discard(record.tenant)
            if not self._cut_off:
                log.info("audit_written_again", waiting=self._waiting)
        count, size = len(record.batch), record.sizes
        record.batch, record.sizes = [], 0
        self._done(record.tenant, count, size)
        if record.waiting:
            self._send(record)
        else:
            self._records.pop(record.tenant, None)

    def _done(self, tenant: str, count: int, size: int) -> None:
        self._waiting -= count
        if size:
            self._bytes -= size
            self._bytes_of[tenant] -= size
            if not self._bytes_of[tenant]:
                del self._bytes_of[tenant]
        self._written += count
        # Not while one tenant's record is full and others are written: it would be said anew
        # with each that it loses.
        if self._lost and self._waiting <= MOST // 2 and self._bytes <= MOST_BYTES // 4:
            self._confess()

    def _confess(self) -> None:
        """Say in each record how much it lacks."""
        lost, self._lost = self._lost, {}
        log.error("audit_lost", count=sum(lost.values()), reason="too much was waiting")
        for tenant, count in lost.items():
            self._put(tenant, {"at": self._clock(), "kind": "lost", "count": count}, 0)


# Whatever --log-level says: it is no message that could be unimportant.
_always: Final = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(0))


def write_line(tenant: str, entry: Entry) -> None:
    """Put an entry into the log, on a line of its own."""
    _always.info("audit", tenant=tenant, **(entry | {"at": iso(entry["at"])}))


def iso(at: float) -> str:
    """Return a time as people and machines write it."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")
