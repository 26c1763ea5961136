"""The contract for limits that all instances keep together, and its memory half.

Whoever keeps a limit hands parts of it out (`pool.leases`): tokens of a rate, and leased
slots of a number. The methods return, wait and fail as those of `session.store.Store` do.
A limit arrives with each call: the keeper remembers use, and no settings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol, final

from pool.leases import SlotPool, Taken, TokenPool
from pool.portions import Account, Slots, Tokens

#: How many of an account's sessions are looked at to find ones that have ended.
CHECKED: Final = 64
_POOLS: Final = 200_000
# Full buckets forgotten for each new one.
_FORGOTTEN: Final = 2
_HERE: Final = "here"


class Quotas(Protocol):
    """What all instances must agree on about who uses how much."""

    @property
    def shared(self) -> bool:
        """Whether other instances have parts of the same limits."""

    def holders(self) -> int:
        """Return how many instances share the limits, as far as is known."""

    async def take(self, tokens: Tokens, needed: float, extra: float) -> Taken:
        """Take tokens out of an account's bucket; what is taken and not used is lost."""
        ...

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        """Say how many slots are used, and return how many this instance has.

        They are this instance's as long as it lives. With ``needed`` they are at least so
        many more than are used, unless the limit is reached.
        """
        ...

    async def open_session(self, accounts: Sequence[tuple[Account, int]], session_id: str) -> int:
        """Count a session for accounts with their limits; -1, or which of them is full."""
        ...

    async def end_session(self, accounts: Sequence[Account], session_id: str) -> None:
        """Count a session no more."""
        ...


@final
class MemoryQuotas:
    """See `Quotas`. There is one instance: it has all of every limit."""

    def __init__(self, now: Callable[[], float], is_session: Callable[[str], bool]) -> None:
        self._now = now
        self._is_session = is_session
        # Longest unused first.
        self._tokens: OrderedDict[Account, TokenPool] = OrderedDict()
        self._slots: dict[Account, SlotPool] = {}
        self._sessions: dict[Account, OrderedDict[str, None]] = {}

    @property
    def shared(self) -> bool:
        """Never."""
        return False

    def holders(self) -> int:
        """Return one."""
        return 1

    async def take(self, tokens: Tokens, needed: float, extra: float) -> Taken:
        """Take tokens out of an account's bucket."""
        account, now = tokens.account, self._now()
        pool = self._tokens.get(account)
        if pool is None:
            self._forget_full_ones(now)
            pool = self._tokens[account] = TokenPool()
        else:
            self._tokens.move_to_end(account)
        return pool.take(now, tokens.rate, tokens.burst, needed, extra)

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        """Return how many slots there are."""
        pool = self._slots.get(slots.account)
        if pool is None:
            pool = self._slots[slots.account] = SlotPool()
        granted = pool.lease(
            _HERE, self._now(), slots.limit, used=used, needed=needed, reserve=reserve
        )
        if not granted:
            del self._slots[slots.account]
        return granted

    async def open_session(self, accounts: Sequence[tuple[Account, int]], session_id: str) -> int:
        """Count a session."""
        for index, (account, limit) in enumerate(accounts):
            sessions = self._sessions.get(account)
            if sessions is not None and len(sessions) >= limit:
                self._drop_ended(sessions)
                if len(sessions) >= limit:
                    return index
        for account, _ in accounts:
            self._sessions.setdefault(account, OrderedDict())[session_id] = None
        return -1

    async def end_session(self, accounts: Sequence[Account], session_id: str) -> None:
        """Count a session no more."""
        for account in accounts:
            sessions = self._sessions.get(account)
            if sessions is not None:
                sessions.pop(session_id, None)
                if not sessions:
                    del self._sessions[account]

    def _drop_ended(self, sessions: OrderedDict[str, None]) -> None:
        """Look at some that were not looked at for longest."""
        for session_id in list(islice(sessions, CHECKED)):
            if self._is_session(session_id):
                sessions.move_to_end(session_id)
            else:
                del sessions[session_id]

    def _forget_full_ones(self, now: float) -> None:
        for _ in range(_FORGOTTEN):
            account = next(iter(self._tokens), None)
            if account is None:
                return
            if self._tokens[account].full_at > now and len(self._tokens) < _POOLS:
                return
            del self._tokens[account]
