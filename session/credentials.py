"""The contract for what credentials need that must outlive a process, and its memory half.

API keys, tickets that are good once, and whose a frontend's id is. The methods return,
wait and fail as those of `session.store.Store` do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

_TICKETS: Final = 10_000
_CLAIMS: Final = 100_000
#: How long a frontend's id stays somebody's after it was claimed last, in seconds.
CLAIM_SECONDS: Final = 86_400


class Credentials(Protocol):
    """What all instances must agree on about who is who."""

    async def api_keys(self, known: str | None) -> tuple[str, Sequence[bytes] | None]:
        """Return the version of the API keys, and their records.

        ``None`` instead of the records when the version is the one that is ``known``.
        """
        ...

    async def save_ticket(self, digest: str, ticket: bytes, seconds: int) -> None:
        """Keep a ticket that is good once, under a digest of it."""
        ...

    async def take_ticket(self, digest: str) -> bytes | None:
        """Return a ticket and forget it: nobody gets it again, at any instance."""
        ...

    async def claim(self, tenant: str, frontend_id: str, subject: str) -> bool:
        """Make a frontend's id the subject's; `False` if it is another's.

        It stays so for a day after it was claimed last.
        """
        ...


@final
class MemoryCredentials:
    """See `Credentials`. Of tickets and claims, the oldest go first when there are many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tickets: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._claims: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def api_keys(self, known: str | None) -> tuple[str, Sequence[bytes] | None]:  # noqa: ARG002 - there never are any
        """Return that there are none: with this store they are in a file."""
        return "", ()

    async def save_ticket(self, digest: str, ticket: bytes, seconds: int) -> None:
        """Keep a ticket."""
        self._tickets[digest] = (ticket, self._clock() + seconds)
        if len(self._tickets) > _TICKETS:
            self._tickets.popitem(last=False)

    async def take_ticket(self, digest: str) -> bytes | None:
        """Return a ticket and forget it."""
        ticket, ends_at = self._tickets.pop(digest, (None, 0.0))
        return ticket if ends_at > self._clock() else None

    async def claim(self, tenant: str, frontend_id: str, subject: str) -> bool:
        """Make a frontend's id the subject's."""
        key = (tenant, frontend_id)
        now = self._clock()
        whose, ends_at = self._claims.get(key, (subject, 0.0))
        if whose != subject and ends_at > now:
            return False
        self._claims[key] = (subject, now + CLAIM_SECONDS)
        self._claims.move_to_end(key)
        if len(self._claims) > _CLAIMS:
            self._claims.popitem(last=False)
        return True
