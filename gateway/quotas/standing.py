"""What one principal may use: its tenant's portions of each limit, and its own.

Pure module. `RateLimit` and `RateLimit-Policy` are those of
draft-ietf-httpapi-ratelimit-headers-10; what is left is as well known as this process knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

from gateway.errors import OverQuotaError
from gateway.http.messages import Headers
from gateway.quotas.settings import ASKS, BYTES, LEVELS, Limits, Quota
from pool.portions import Account, Slots, Tokens

_MINUTE: Final = 60.0
# A bucket for bytes has what flows in so many seconds: no minute has more than a tenth too many.
_BYTES_SECONDS: Final = 6.0
_FREE: Final = Quota({}, {})


@final
class Holdings:
    """The portions of one account holder: a tenant as a whole, or one subject of it."""

    __slots__ = ("_board", "limits", "slots", "subject", "tenant", "tokens")

    def __init__(self, tenant: str, subject: str, board: list[Slots]) -> None:
        self.tenant = tenant
        self.subject = subject
        self._board = board
        self.limits: Limits = {}
        self.tokens: dict[str, Tokens] = {}
        self.slots: dict[str, Slots] = {}

    def follow(self, limits: Limits, holders: int, *, shared: bool) -> None:
        """Hold portions of these limits, and of no others."""
        self.limits = limits
        for kind in (ASKS, BYTES):
            if kind not in limits:
                self.tokens.pop(kind, None)
            elif kind not in self.tokens:
                self.tokens[kind] = Tokens(self.account(kind), self.name(kind))
        for kind in LEVELS:
            if kind not in limits:
                dropped = self.slots.pop(kind, None)
                if dropped is not None:
                    dropped.limit = 0
                    dropped.report()
            elif kind not in self.slots and kind != "sessions":
                self.slots[kind] = Slots(self.account(kind), self.name(kind), self._board)
        self.share(holders, shared=shared)

    def share(self, holders: int, *, shared: bool) -> None:
        """Hold what is due to one of so many holders."""
        for kind, tokens in self.tokens.items():
            limit = self.limits[kind]
            if kind == ASKS:
                tokens.set_limit(limit, limit, max(1.0, limit), holders)
            else:
                rate = limit / _MINUTE
                tokens.set_limit(limit, rate, max(1.0, rate * _BYTES_SECONDS), holders)
        for kind, slots in self.slots.items():
            slots.set_limit(int(self.limits[kind]), holders, shared=shared)

    def account(self, kind: str) -> Account:
        """Return the account of one kind."""
        return Account(kind, self.tenant, self.subject)

    def name(self, kind: str) -> str:
        """Return what a quota of this holder is called."""
        return f"subject_{kind}" if self.subject else kind

    @property
    def is_idle(self) -> bool:
        """Whether it can be forgotten: nothing is used, leased or under way."""
        return not (
            any(each.is_asking for each in self.tokens.values())
            or any(
                each.used or each.granted or each.is_listed or each.waiting is not None
                for each in self.slots.values()
            )
        )


@final
class Standing:
    """What somebody may use: the portions that each thing counts for, the tenant's first."""

    __slots__ = (
        "_policy",
        "_shown",
        "_told",
        "asking",
        "asks",
        "by_subject",
        "bytes",
        "frontends",
        "own",
        "pending",
        "quota",
        "registered_tools",
        "sessions",
        "streams",
        "tracked",
        "whole",
    )

    def __init__(self, own: Holdings, whole: Standing | None) -> None:
        self.own = own
        #: Of a subject: its tenant.
        self.whole = whole
        self.quota = _FREE
        #: Of a tenant: whether its subjects have limits of their own, and how many are known.
        self.by_subject = False
        self.tracked = 0
        self.asks: tuple[Tokens, ...] = ()
        self.bytes: tuple[Tokens, ...] = ()
        self.pending: tuple[Slots, ...] = ()
        self.frontends: tuple[Slots, ...] = ()
        self.streams: tuple[Slots, ...] = ()
        self.registered_tools: tuple[Slots, ...] = ()
        #: What a call that asks and waits uses.
        self.asking: tuple[Slots, ...] = ()
        self.sessions: tuple[tuple[Account, int], ...] = ()
        self._policy = b""
        self._shown: Headers = ()
        self._told = -1

    def follow(self, quota: Quota, holders: int, *, shared: bool) -> None:
        """Be a tenant's, with this quota."""
        self.quota = quota
        self.by_subject = bool(quota.subject)
        self.own.follow(quota.tenant, holders, shared=shared)
        self._compose((self.own,))

    def follow_tenant(self, whole: Standing, holders: int, *, shared: bool) -> None:
        """Be a subject's, whose tenant has this standing."""
        self.whole = whole
        self.quota = whole.quota
        self.own.follow(whole.quota.subject, holders, shared=shared)
        self._compose((whole.own, self.own))

    def headers(self, epoch: int, clock: Callable[[], float]) -> Headers:
        """Return what HTTP says of the asks that are left.

        It is said anew when the store has said something, and in another ``epoch``: what is
        taken from a reserve meanwhile is not worth the work.
        """
        if not self.asks:
            return ()
        for tokens in self.asks:
            epoch += tokens.told
        if epoch != self._told:
            self._told = epoch
            now = clock()
            parts = [_left(tokens, tokens.remaining(now)) for tokens in self.asks]
            self._shown = ((b"RateLimit-Policy", self._policy), (b"RateLimit", b", ".join(parts)))
        return self._shown

    def _compose(self, holders: tuple[Holdings, ...]) -> None:
        def tokens(kind: str) -> tuple[Tokens, ...]:
            return tuple(each.tokens[kind] for each in holders if kind in each.tokens)

        def slots(kind: str) -> tuple[Slots, ...]:
            return tuple(each.slots[kind] for each in holders if kind in each.slots)

        self.asks, self.bytes = tokens(ASKS), tokens(BYTES)
        self.pending, self.frontends = slots("pending"), slots("frontends")
        self.streams, self.registered_tools = slots("streams"), slots("registered_tools")
        self.asking = (*self.pending, *self.streams)
        kind = "sessions"
        self.sessions = tuple(
            (each.account(kind), int(each.limits[kind])) for each in holders if kind in each.limits
        )
        self._policy = b", ".join(map(_policy, self.asks))
        self._shown, self._told = (), -1


def retry_after(error: OverQuotaError) -> tuple[bytes, bytes]:
    """Return the header that says when to come back, in whole seconds."""
    return (b"Retry-After", b"%d" % max(1, math.ceil(error.retry_after)))


def _policy(tokens: Tokens) -> bytes:
    """Return a policy: so many in a window of whole seconds."""
    if tokens.limit >= 1:
        return b'"%b";q=%d;w=1' % (tokens.name.encode(), tokens.limit)
    return b'"%b";q=1;w=%d' % (tokens.name.encode(), round(1 / tokens.limit))


def _left(tokens: Tokens, left: int) -> bytes:
    seconds = max(1, math.ceil((tokens.burst - left) / tokens.rate))
    return b'"%b";r=%d;t=%d' % (tokens.name.encode(), left, seconds)
