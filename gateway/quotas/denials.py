"""Who was over a quota, for the audit record: once a minute each, however often they are.

Whoever is far over a quota is refused a thousand times a second, and would push out of the
record what matters. So a principal's refusals by one quota are one entry a minute, with the
first of them; how many there were the metrics count. Who is recorded is remembered for that
minute, so many in all and so many of a tenant: of those beyond no entry is made, and the
record of strangers says how many they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from gateway.auth.refusals import Denial

if TYPE_CHECKING:
    from gateway.audit import Audit
    from session.model import Principal

SECONDS: Final = 60.0
#: Remembered at most, and how many of them of one tenant.
MOST: Final = 10_000
MOST_OF_TENANT: Final = 1_000

# Tenant, subject and quota.
_Key = tuple[str, str, str]


@final
class Denials:
    """Told of each refusal by `gateway.quotas.allowances`; whoever owns it calls `tick`.

    Args:
        audit: makes the entries.
        now: monotonic seconds.
    """

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now
        # Until when each is not recorded again, soonest first.
        self._until: dict[_Key, float] = {}
        self._of_tenant: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self._said_at = now()

    def __len__(self) -> int:
        return len(self._until)

    def refused(self, quota: str, principal: Principal) -> None:
        """Record that somebody is over a quota, if that is not in the record yet."""
        self.tick()
        tenant = principal.tenant
        key = (tenant, principal.subject, quota)
        if key in self._until:
            return
        of_tenant = self._of_tenant.get(tenant, 0)
        if len(self._until) >= MOST or of_tenant >= MOST_OF_TENANT:
            self._left_out[quota] = self._left_out.get(quota, 0) + 1
            return
        self._until[key] = self._now() + SECONDS
        self._of_tenant[tenant] = of_tenant + 1
        self._audit.denied(Denial(quota, 429, "", principal))

    def tick(self) -> None:
        """Say how many were left out, once a minute, also if nobody is refused any more."""
        now = self._now()
        self._forget(now)
        if now - self._said_at >= SECONDS:
            self.say_left_out()

    def say_left_out(self) -> None:
        """Say how many were left out since that was said last."""
        if not self._left_out:
            return
        self._said_at = self._now()
        said, self._left_out = self._left_out, {}
        for quota, count in said.items():
            self._audit.denials_not_recorded(quota, count)

    def _forget(self, now: float) -> None:
        """Forget those whose minute is over."""
        while self._until:
            key = next(iter(self._until))
            if self._until[key] > now:
                break
            del self._until[key]
            left = self._of_tenant[key[0]] - 1
            if left:
                self._of_tenant[key[0]] = left
            else:
                del self._of_tenant[key[0]]
