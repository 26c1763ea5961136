"""Who somebody is, by the credential they show.

What was good a moment ago is known without looking again (`known`), until it ends or the
keys change: that is what the hot path asks. It fails closed: whatever cannot be found out
is a refusal, and nobody is anybody by default.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

import trio

from gateway.auth.keys import PREFIX, KeyTable
from gateway.auth.sources import Source, key_source, token_sources
from gateway.auth.tokens import Tokens, VerificationKey
from gateway.errors import (
    CredentialError,
    CredentialsUnavailableError,
    UnknownKeyError,
    UnusableError,
)
from pool.workers import QueueFullError, to_worker
from session.model import Principal

if TYPE_CHECKING:
    from gateway.auth.settings import Settings
    from session import Credentials

# Headers with credentials that were good.
_KNOWN: Final = 4_096
# Of a header; those that are known are kept.
_LONGEST: Final = 9 * 1024
# How often an unknown key may have everything read again.
_LOOK_AGAIN_SECONDS: Final = 1.0
# How many may wait for that: each has one of the workers meanwhile.
_WAITING: Final = 16
_WRONG_SCHEME: Final = "Send a credential as `Authorization: Bearer ...`."


@final
class _Verified:
    """A header that was good, until when, and by which keys."""

    __slots__ = ("generation", "principal")

    def __init__(self, principal: Principal, generation: int) -> None:
        self.principal = principal
        self.generation = generation


@final
class Authenticator:
    """Judges credentials. `run` keeps fresh what it judges by.

    Args:
        store: has the API keys, if ``--auth-keys store``.
        clock: seconds since the epoch.
        now: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        store: Credentials,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._now = now
        self._keys: Source[KeyTable] | None = key_source(settings, store) if settings.keys else None
        self._token_sources: list[Source[tuple[VerificationKey, ...]]] = token_sources(settings)
        self._sources: list[Source[Any]] = [*self._token_sources]
        if self._keys is not None:
            self._sources.append(self._keys)
        self._tokens = Tokens(settings)
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()
        self._generation = 0
        #: Set when other keys count than did when it was made; there is another one from then on.
        self.changed = trio.Event()
        self._reading = trio.Lock()
        self._read_all_at = -math.inf
        self._waiting = 0
        #: Which of the sources have been read lately enough.
        self._usable: tuple[bool, ...] = (False,)
        # Until when all of those are that were then: nobody is known after that.
        self._usable_until = -math.inf

    # -- asked by others

    @property
    def is_ready(self) -> bool:
        """Whether all keys have been read lately enough to judge by."""
        return all(self._usable)

    def known(self, header: bytes) -> Principal | None:
        """Return whose ``Authorization`` header this is, if it was good a moment ago."""
        verified = self._known.get(header)
        if (
            verified is None
            or verified.generation != self._generation
            # Said so that a clock that tells no time lets nobody in.
            or not self._clock() < verified.principal.expires_at
            or not self._now() <= self._usable_until
        ):
            return None
        return verified.principal

    async def verify(self, header: bytes) -> Principal:
        """Return whose ``Authorization`` header this is.

        Raises:
            CredentialError: it is not good.
            CredentialsUnavailableError: the keys that judge it are not there, or too old.
        """
        if len(header) > _LONGEST:
            raise CredentialError("This credential is too long.")
        scheme, _, credential = header.partition(b" ")
        if scheme.lower() != b"bearer":
            raise CredentialError(_WRONG_SCHEME)
        try:
            text = credential.strip().decode("ascii")
        except UnicodeDecodeError:
            raise CredentialError(_WRONG_SCHEME) from None
        principal: Principal | None = None
        with contextlib.suppress(UnknownKeyError):
            principal = self._find(text, looked=False)
        if principal is None:
            # It may be newer than what was read last.
            await self._look_again()
            principal = self._find(text, looked=True)
        self._known[header] = _Verified(principal, self._generation)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return principal

    def is_good(self, principal: Principal) -> bool:
        """Whether the credential that somebody came with is good still, for who they were then.

        While keys cannot be read it is, however long that lasts, unless it has expired: to
        end what everybody has open because a store is away would be an outage for all, and
        one that calls itself a revocation. Nobody new is let in then (`confirm`, `verify`).
        """
        if not self._clock() < principal.expires_at:
            return False
        if principal.credential.startswith("key:"):
            table = self._keys.value if self._keys is not None else None
            return table is None or table.has(principal)
        return self._tokens.has(principal.credential)

    def confirm(self, principal: Principal) -> bool:
        """Whether the credential that somebody had a moment ago still lets them in.

        Raises:
            CredentialsUnavailableError: the keys that judge it are not there, or too old.
        """
        is_key = principal.credential.startswith("key:")
        keys = [] if self._keys is None else [self._keys]
        sources: list[Source[Any]] = [*keys] if is_key else [*self._token_sources]
        if not all(source.is_usable(self._now()) for source in sources):
            raise CredentialsUnavailableError
        return self.is_good(principal)

    # -- keeping fresh

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read what judges credentials again and again, until cancelled; started after once.

        Raises:
            UnusableError: a file that was named cannot be used.
        """
        await self._refresh(at_once=True)
        for source in self._sources:
            if source.is_file and source.problem:
                raise UnusableError(f"{source.name}: {source.problem}")
        task_status.started()
        while True:
            await trio.sleep(self._rest())
            await self._refresh(at_once=False)

    def _rest(self) -> float:
        """Return how long until something is due: it may have been read out of turn."""
        now = self._now()
        return min(self._settings.refresh_seconds, *[each.due_in(now) for each in self._sources])

    async def _look_again(self) -> None:
        """Read everything again, unless that was done a moment ago.

        Raises:
            CredentialsUnavailableError: many wait for it already, and it takes its time.
        """
        if not self._reading.locked() and not self._may_look_again():
            return
        try:
            await to_worker()
        except QueueFullError:
            raise CredentialsUnavailableError from None
        if self._waiting >= _WAITING:
            raise CredentialsUnavailableError
        self._waiting += 1
        try:
            async with self._reading:
                if self._may_look_again():
                    await self._read(at_once=True)
        finally:
            self._waiting -= 1

    def _may_look_again(self) -> bool:
        return self._now() - self._read_all_at >= _LOOK_AGAIN_SECONDS

    async def _refresh(self, *, at_once: bool) -> None:
        async with self._reading:
            await self._read(at_once=at_once)

    async def _read(self, *, at_once: bool) -> None:
        now = self._now()
        generation = self._generation
        changed = False
        for source in self._sources:
            if at_once or source.is_due(now):
                changed = await source.refresh(now) or changed
        if at_once:
            # From its end on: it may take longer than the time until the next one.
            self._read_all_at = self._now()
        usable = self._note_which_are_usable()
        if changed or usable != self._usable:
            self._usable = usable
            self._generation += 1
            self._known.clear()
        if changed:
            keys = [key for source in self._token_sources for key in source.value or ()]
            self._tokens = Tokens(self._settings, keys)
        if self._generation != generation:
            self.changed.set()
            self.changed = trio.Event()

    def _note_which_are_usable(self) -> tuple[bool, ...]:
        now = self._now()
        untils = [source.usable_until for source in self._sources if source.is_usable(now)]
        self._usable_until = min(untils, default=-math.inf)
        return tuple([source.is_usable(now) for source in self._sources])

    def _find(self, text: str, *, looked: bool) -> Principal:
        now = self._clock()
        if text.startswith(PREFIX):
            return self._find_key(text, now, looked=looked)
        if not self._token_sources:
            raise CredentialError("Access tokens are not accepted here; send an API key.")
        if not all(source.is_usable(self._now()) for source in self._token_sources):
            raise CredentialsUnavailableError
        return self._tokens.find(text, now)

    def _find_key(self, text: str, now: float, *, looked: bool) -> Principal:
        if self._keys is None:
            raise CredentialError("API keys are not accepted here; send an access token.")
        table = self._keys.value
        if table is None or not self._keys.is_usable(self._now()):
            raise CredentialsUnavailableError
        if not looked and not table.knows(text):
            raise UnknownKeyError
        return table.find(text, now)
