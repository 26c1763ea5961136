"""Who is known here: what each tenant and subject may use, and what is held of it.

There is a bound on how many are tracked. Those who use nothing make room for others; when
everybody uses something, those who do not fit share one account, so that a flood of
principals neither grows memory nor buys anybody a fresh allowance.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, final

from gateway.quotas.settings import Quota
from gateway.quotas.standing import Holdings, Standing
from pool.portions import Slots

if TYPE_CHECKING:
    from session.model import Principal

_TENANTS: Final = 10_000
_SUBJECTS: Final = 100_000
# Looked at for one that can be forgotten, when there are as many as there may be.
_LOOKED_AT: Final = 8
#: The account of those who do not fit; no principal has a name like this.
OTHERS: Final = "\x00others"


@final
class Roster:
    """Everybody's standing.

    Args:
        shared: whether other instances have parts of the same limits.
        tenants: how many are tracked at most.
        subjects: of how many subjects, in all tenants together.
    """

    def __init__(self, *, shared: bool, tenants: int = _TENANTS, subjects: int = _SUBJECTS) -> None:
        self._shared = shared
        self._most_tenants = tenants
        self._most_subjects = subjects
        self._usual = Quota({}, {})
        self._named: dict[str, Quota] = {}
        self._holders = 1
        #: Slots of which the store should hear.
        self.board: list[Slots] = []
        #: What each tenant may do as a whole, `None` for whatever it likes.
        self.tenants: dict[str, Standing | None] = {}
        self._subjects: dict[tuple[str, str], Standing] = {}

    def of(self, principal: Principal) -> Standing | None:
        """Return what somebody may use; `None`: whatever they like."""
        tenant = principal.tenant
        if tenant in self.tenants:
            standing = self.tenants[tenant]
            if standing is None or not standing.by_subject:
                return standing
            found = self._subjects.get((tenant, principal.subject))
            if found is not None:
                return found
        return self._enter(principal)

    def follow(self, usual: Quota, named: dict[str, Quota]) -> None:
        """Follow other limits from now on; what is used stays used."""
        self._usual, self._named = usual, named
        shared = self._shared
        for tenant, standing in list(self.tenants.items()):
            quota = named.get(tenant, usual)
            if standing is not None:
                standing.follow(quota, self._holders, shared=shared)
            elif not quota.is_free:
                del self.tenants[tenant]
        for (tenant, subject), standing in list(self._subjects.items()):
            whole = standing.whole
            if whole is not None and whole.by_subject:
                standing.follow_tenant(whole, self._holders, shared=shared)
            else:
                standing.own.follow({}, self._holders, shared=shared)
                self._forget_subject(tenant, subject)

    def share(self, holders: int) -> None:
        """Follow how many share the limits."""
        if holders != self._holders:
            self._holders = holders
            for own in self.holdings():
                own.share(holders, shared=self._shared)

    def holdings(self) -> list[Holdings]:
        """Return what every account holds, as they are now."""
        standings = (*self.tenants.values(), *self._subjects.values())
        return [standing.own for standing in standings if standing is not None]

    def _enter(self, principal: Principal) -> Standing | None:
        """Begin to track a principal, or have it share an account with others."""
        tenant, subject = principal.tenant, principal.subject
        if tenant not in self.tenants and not self._has_room_for_tenant():
            tenant = OTHERS
        if tenant not in self.tenants:
            self.tenants[tenant] = self._tenant(tenant)
        whole = self.tenants[tenant]
        if whole is None or not whole.by_subject:
            return whole
        found = self._subjects.get((tenant, subject))
        if found is None and not self._has_room_for_subject():
            subject = OTHERS
            found = self._subjects.get((tenant, subject))
        if found is None:
            found = Standing(Holdings(tenant, subject, self.board), whole)
            found.follow_tenant(whole, self._holders, shared=self._shared)
            self._subjects[tenant, subject] = found
            whole.tracked += 1
        return found

    def _tenant(self, tenant: str) -> Standing | None:
        quota = self._named.get(tenant, self._usual)
        if quota.is_free:
            return None
        standing = Standing(Holdings(tenant, "", self.board), None)
        standing.follow(quota, self._holders, shared=self._shared)
        return standing

    def _has_room_for_tenant(self) -> bool:
        """Return whether another tenant fits, perhaps in the place of one that does nothing."""
        tenants = self.tenants
        if len(tenants) < self._most_tenants:
            return True
        for tenant in list(islice(tenants, _LOOKED_AT)):
            standing = tenants.pop(tenant)
            is_idle = standing is None or (standing.own.is_idle and not standing.tracked)
            if is_idle and tenant != OTHERS:
                return True
            tenants[tenant] = standing
        return False

    def _has_room_for_subject(self) -> bool:
        subjects = self._subjects
        if len(subjects) < self._most_subjects:
            return True
        for tenant, subject in list(islice(subjects, _LOOKED_AT)):
            standing = subjects[tenant, subject]
            self._forget_subject(tenant, subject)
            if standing.own.is_idle and subject != OTHERS:
                return True
            subjects[tenant, subject] = standing
            if standing.whole is not None:
                standing.whole.tracked += 1
        return False

    def _forget_subject(self, tenant: str, subject: str) -> None:
        standing = self._subjects.pop((tenant, subject))
        if standing.whole is not None:
            standing.whole.tracked -= 1
