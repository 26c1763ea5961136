"""Keeps quotas in step: with their file, with the store, with time.

A part of the composition root: `gateway.app` runs its task where something is limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import structlog
import trio

from gateway.errors import UnusableError
from gateway.quotas.allowances import Allowances
from gateway.quotas.denials import Denials
from gateway.quotas.roster import Roster
from gateway.quotas.settings import in_force, quota_of
from gateway.quotas.tenants import QuotasFile
from gateway.setting_names import SettingsError
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.app import Gateway
    from gateway.metrics import Metrics, Reading
    from gateway.quotas.settings import Settings
    from pool.workers import Workers
    from session import Quotas
    from session.model import Principal

log = structlog.get_logger()

_TICK_SECONDS: Final = 1.0
_FILE_SECONDS: Final = 2.0
# How often questions are looked for of whose end nothing was heard.
_ALL_SECONDS: Final = 60.0
_REPORTS_PER_TICK: Final = 1_000
# A question may end a little after its deadline, and be heard of a little later.
_GRACE_SECONDS: Final = 60.0


@final
class Keeper:
    """Owns the roster and the allowances.

    Args:
        clock: seconds since the epoch.
        now: monotonic seconds.
        denials: records who is refused, where there is a record.
    """

    def __init__(  # noqa: PLR0913 - made once, by the composition root
        self,
        settings: Settings,
        store: Quotas,
        *,
        workers: Workers,
        metrics: Metrics,
        clock: Callable[[], float],
        now: Callable[[], float],
        denials: Denials | None = None,
    ) -> None:
        self._metrics = metrics
        self._denials = denials
        self._usual = quota_of(settings)
        self._file = QuotasFile(settings.file, settings) if settings.file else None
        self._problem = ""
        self._clock = clock
        self._read_at = self._all_at = now()
        self._now = now
        self._store = store
        self.roster = Roster(shared=store.shared)
        self.allowances = Allowances(
            store,
            workers=workers,
            now=now,
            refused=self._refused,
            roster=self.roster,
        )
        self.roster.share(store.holders())
        self.roster.follow(self._usual, {})

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep in step until cancelled; started when the file was read.

        Raises:
            UnusableError: the file that was named cannot be used.
        """
        await self._read()
        if self._problem:
            raise UnusableError(self._problem)
        task_status.started()
        while True:
            await trio.sleep(_TICK_SECONDS)
            now = self._now()
            self.allowances.epoch += 1_000_000
            if now - self._read_at >= _FILE_SECONDS:
                await self._read()
            self.roster.share(self._store.holders())
            if self._denials is not None:
                self._denials.tick()
            if now - self._all_at >= _ALL_SECONDS:
                self._all_at = now
                for question_id in self.allowances.overdue(self._clock() - _GRACE_SECONDS):
                    self.allowances.ended(question_id)
            await self.report()

    def report_all(self) -> None:
        """Have the store hear of everything anew: it may have forgotten this instance."""
        for own in self.roster.holdings():
            for slots in own.slots.values():
                if slots.used or slots.granted:
                    slots.report()

    def say_left_out(self) -> None:
        """Have the record say how many were refused and are not in it: the process ends."""
        if self._denials is not None:
            self._denials.say_left_out()

    async def report(self) -> None:
        """Tell the store of what has changed, as long as it listens."""
        board = self.roster.board
        listed, board[:] = board[:_REPORTS_PER_TICK], board[_REPORTS_PER_TICK:]
        for slots in listed:
            slots.is_listed = False
        for number, slots in enumerate(listed):
            if slots.waiting is not None:
                # It is being told right now, perhaps of less than there is to tell.
                slots.report()
                continue
            try:
                await self.allowances.lease(slots)
            except StoreUnavailableError:
                for each in listed[number:]:
                    each.report()
                return

    def readings(self) -> dict[str, Reading]:
        """Return how full quotas are, for metrics: of each the fullest account."""
        fullest: dict[tuple[str, ...], float] = {}
        holdings = self.roster.holdings()
        now = self._now()
        for own in holdings:
            for slots in own.slots.values():
                used = 100 * slots.used / slots.limit
                fullest[slots.name,] = max(fullest.get((slots.name,), 0.0), used)
            for tokens in own.tokens.values():
                used = 100 * (1 - tokens.remaining(now) / max(tokens.burst, 1.0))
                fullest[tokens.name,] = max(fullest.get((tokens.name,), 0.0), used, 0.0)
        return {
            "frontend_router_quota_accounts": len(holdings),
            "frontend_router_quota_used_percent": fullest,
        }

    def _refused(self, quota: str, principal: Principal) -> None:
        self._metrics.over_quota.labels(quota).inc()
        if self._denials is not None:
            self._denials.refused(quota, principal)

    async def _read(self) -> None:
        if self._file is None:
            return
        self._read_at = self._now()
        try:
            named = await trio.to_thread.run_sync(self._file.read)
        except SettingsError as error:
            problem = f"--quotas-file {self._file.path}: {error}"
            if problem != self._problem:
                log.error("quotas_refused", reason=problem)  # noqa: TRY400 - expected, and said whole
            self._problem = problem
            return
        if self._problem:
            log.info("quotas_readable", source=self._file.path)
        self._problem = ""
        if named is not None:
            self.roster.follow(self._usual, named)
            log.info("quotas_read", tenants=len(named))


def keeper_of(gateway: Gateway) -> Keeper | None:
    """Return what keeps the quotas of a process, if something is limited."""
    settings = in_force(gateway.settings.quotas, are_known=gateway.access is not None)
    if not settings.file and quota_of(settings).is_free:
        return None
    router, audit = gateway.router, gateway.audit
    keeper = Keeper(
        settings,
        gateway.storage.quotas,
        workers=gateway.workers,
        metrics=gateway.metrics,
        clock=router.clock,
        now=trio.lowlevel.current_clock().current_time,  # asked at every question
        denials=None if audit is None else Denials(audit, trio.current_time),
    )
    router.on_ended = keeper.allowances.ended
    gateway.upkeep.on_forgotten = keeper.report_all
    return keeper
