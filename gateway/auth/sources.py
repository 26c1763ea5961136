"""Where keys come from: files, the store, a URL; read again and again.

A source that cannot be read keeps what it had until that is too old. The first reading of
a file is part of starting: what cannot be used then ends the process with a sentence.
"""

from __future__ import annotations

import importlib
import math
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import structlog
import trio

from gateway.auth.keys import KeyTable, records_of, records_of_file
from gateway.auth.settings import IN_STORE, Settings
from gateway.auth.tokens import VerificationKey, keys_of_secrets, keys_of_set
from gateway.errors import UnusableError
from gateway.watched_file import State, UnreadableError, read_if_changed
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from session import Credentials

log = structlog.get_logger()

_MOST_BYTES: Final = 8 * 1024 * 1024
_JWKS_BYTES: Final = 256 * 1024
# Of any source: one that hangs must not keep the others from being read.
_READ_SECONDS: Final = 5.0

_Value = TypeVar("_Value")


class SourceError(Exception):
    """A source cannot be read, or what is in it cannot be used; the message says why."""


@final
class Source(Generic[_Value]):
    """Something that is read now and then.

    Args:
        name: what it is called in errors and logs, without secrets.
        read: returns what it has now, or `None` if that has not changed.
        every: seconds between readings.
        stale: seconds without a reading after which what it had counts no more.
        is_file: whether it must be there from the start.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], Awaitable[_Value | None]],
        *,
        every: float,
        stale: float,
        is_file: bool = True,
    ) -> None:
        self.name = name
        self.is_file = is_file
        #: Why it cannot be read, if it cannot.
        self.problem = ""
        self.value: _Value | None = None
        self._read = read
        self._every = every
        self._stale = stale
        self._read_at = -math.inf
        self._tried_at: float | None = None

    @property
    def usable_until(self) -> float:
        """Until when what it has counts, unless it is read again."""
        return self._read_at + self._stale

    def is_usable(self, now: float) -> bool:
        """Whether what it has still counts."""
        return now <= self.usable_until

    def due_in(self, now: float) -> float:
        """Return in how many seconds it is time to read it again."""
        return 0.0 if self._tried_at is None else max(0.0, self._tried_at + self._every - now)

    def is_due(self, now: float) -> bool:
        """Whether it is time to read it again."""
        return not self.due_in(now)

    async def look(self) -> _Value | None:
        """Return what it has now, if that is new; nothing is kept of it.

        Raises:
            SourceError: it cannot be read, or what is in it cannot be used.
        """
        try:
            with trio.fail_after(_READ_SECONDS):
                return await self._read()
        except trio.TooSlowError:
            raise SourceError(f"it takes longer than {_READ_SECONDS:g} seconds") from None

    async def refresh(self, now: float) -> bool:
        """Read it; return whether it has something new. A failure is logged when it begins."""
        self._tried_at = now
        try:
            value = await self.look()
        except SourceError as error:
            return self._failed(str(error))
        if self.problem:
            log.info("credentials_readable", source=self.name)
        self.problem = ""
        self._read_at = now
        if value is None:
            return False
        self.value = value
        return True

    def _failed(self, why: str) -> bool:
        if not self.problem:
            log.error("credentials_unreadable", source=self.name, reason=why)
        self.problem = why
        return False


def key_source(settings: Settings, store: Credentials) -> Source[KeyTable]:
    """Return where API keys are: a file, or the store."""
    if settings.keys != IN_STORE:
        return _key_file(settings)
    every, stale = settings.refresh_seconds, settings.stale_seconds
    stored = _StoredKeys(store)
    return Source("the API keys in the store", stored.read, every=every, stale=stale, is_file=False)


def _key_file(settings: Settings) -> Source[KeyTable]:
    every, stale = settings.refresh_seconds, settings.stale_seconds
    kept = _FileOf(settings.keys, lambda data: KeyTable(records_of_file(data)))
    return Source(f"--auth-keys {settings.keys}", kept.read, every=every, stale=stale)


def token_sources(settings: Settings) -> list[Source[tuple[VerificationKey, ...]]]:
    """Return where the keys of access tokens are."""
    sources: list[Source[tuple[VerificationKey, ...]]] = []
    stale = settings.jwks_stale_seconds
    if settings.secret_file:
        secrets = _FileOf(settings.secret_file, keys_of_secrets)
        name = f"--auth-secret-file {settings.secret_file}"
        sources.append(Source(name, secrets.read, every=settings.refresh_seconds, stale=stale))
    # What is in the query may be somebody's secret.
    name = f"--auth-jwks {settings.jwks.partition('?')[0]}"
    if settings.jwks.startswith(("http://", "https://")):
        fetched = _Fetched(settings.jwks, settings.algorithms)
        every = settings.jwks_seconds
        sources.append(Source(name, fetched.read, every=every, stale=stale, is_file=False))
    elif settings.jwks:
        kept = _FileOf(settings.jwks, lambda data: keys_of_set(data, settings.algorithms))
        sources.append(Source(name, kept.read, every=settings.refresh_seconds, stale=stale))
    return sources


async def check_files(settings: Settings) -> None:
    """Look once at the files that who serves has to have when it starts.

    Raises:
        UnusableError: one of them cannot be used; the message says which, and why.
    """
    sources: list[Source[Any]] = [*token_sources(settings)]
    if settings.keys not in ("", IN_STORE):
        sources.append(_key_file(settings))
    for source in sources:
        if source.is_file:
            try:
                await source.look()
            except SourceError as error:
                raise UnusableError(f"{source.name}: {error}") from None


@final
class _FileOf(Generic[_Value]):
    """A file; looked into when it is another one, or changed."""

    def __init__(self, path: str, parse: Callable[[bytes], _Value]) -> None:
        self._path = path
        self._parse = parse
        self._seen: State | None = None

    async def read(self) -> _Value | None:
        # It may be on a file system that hangs, or no file: the thread is left behind then.
        found = await trio.to_thread.run_sync(self._look, abandon_on_cancel=True)
        if found is None:
            return None
        # Only now: what an abandoned thread has seen was never told.
        self._seen, value = found
        return value

    def _look(self) -> tuple[State, _Value] | None:
        try:
            found = read_if_changed(self._path, self._seen, _MOST_BYTES)
        except UnreadableError as error:
            raise SourceError(str(error)) from None
        if found is None:
            return None
        seen, data = found
        try:
            return seen, self._parse(data)
        except ValueError as error:
            raise SourceError(str(error)) from None


@final
class _StoredKeys:
    """The keys in the store; read when their version is another one."""

    def __init__(self, store: Credentials) -> None:
        self._store = store
        self._version: str | None = None

    async def read(self) -> KeyTable | None:
        try:
            version, kept = await self._store.api_keys(self._version)
        except StoreUnavailableError as error:
            raise SourceError(str(error)) from None
        if kept is None:
            return None
        table = _table_of(kept)
        self._version = version
        return table


def _table_of(kept: Sequence[bytes]) -> KeyTable:
    try:
        return KeyTable(records_of(kept))
    except ValueError as error:
        raise SourceError(str(error)) from None


@final
class _Fetched:
    """A JWK set that somebody serves."""

    def __init__(self, url: str, algorithms: Sequence[str]) -> None:
        self._url = url
        self._algorithms = algorithms
        self._tls: ssl.SSLContext | None = None

    async def read(self) -> tuple[VerificationKey, ...] | None:
        # Only here: it takes long to load, and most deployments do not need it.
        httpx: Any = importlib.import_module("httpx")
        try:
            if self._tls is None:
                # Once, and not on the loop: it reads all the authorities that are trusted.
                make = partial(httpx.create_ssl_context, trust_env=False)
                self._tls = await trio.to_thread.run_sync(make)
            # No redirects, no proxies of the environment: exactly this address.
            async with httpx.AsyncClient(
                trust_env=False, timeout=_READ_SECONDS, verify=self._tls
            ) as client:
                data = await self._fetch(client)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise SourceError(f"it cannot be fetched: {type(error).__name__}") from None
        try:
            return keys_of_set(data, self._algorithms)
        except ValueError as error:
            raise SourceError(str(error)) from None

    async def _fetch(self, client: Any) -> bytes:
        data = b""
        # Compressed, a little could be a lot.
        plain = {"Accept-Encoding": "identity"}
        async with client.stream("GET", self._url, headers=plain) as response:
            if response.status_code != 200:  # noqa: PLR2004 - HTTP
                raise SourceError(f"it cannot be fetched: the status is {response.status_code}")
            with trio.CancelScope() as reading:
                async for piece in response.aiter_raw():
                    data += piece
                    if len(data) > _JWKS_BYTES:
                        # Not by leaving: what the client reads with would be left behind.
                        reading.cancel()
        if len(data) > _JWKS_BYTES:
            raise SourceError(f"it is longer than {_JWKS_BYTES} bytes")
        return data
