"""The keys that this deployment signs and seals with.

From a file that every instance has, else from the store that they share, else made by the
process for itself. Each use has a key of its own, derived from these: what is signed for one
is of no use in another. What is good only as often as the store says is signed with the
store's key as well: a store that forgot what was used has another one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final, final

import trio

from gateway.errors import UnusableError
from gateway.watched_file import State, UnreadableError, read_if_changed
from pool.workers import QueueFullError, to_worker
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from session import Receipts

_BYTES: Final = 32
_SHORTEST: Final = 32
_MOST_KEYS: Final = 16
_MOST_BYTES: Final = 64 * 1024


@final
class SigningKeys:
    """Keys by what they are for.

    Args:
        path: a file with a secret in each line, the newest first; or an empty text.
        store: has the key of all instances where there is no file.
    """

    def __init__(self, path: str, store: Receipts) -> None:
        self._path = path
        self._store = store
        self._seen: State | None = None
        self._keys: tuple[bytes, ...] = ()
        self._store_key = b""

    async def refresh(self, *, is_doubted: bool = False) -> None:
        """Have the keys as they are now; the first time before anything is signed.

        A file is looked at each time. The store's key stays what it is, so that is only
        read when ``is_doubted``: something came that it did not sign.

        Raises:
            UnusableError: the file cannot be used, and never could.
            StoreUnavailableError: the store's key is not known yet, or too much waits for a worker.
        """
        if self._path:
            await self._read_file()
        if not self._store_key or is_doubted:
            own = self._store_key or os.urandom(_BYTES)
            self._store_key = await self._store.signing_key(own)
            if not self._path:
                self._keys = (self._store_key,)

    def newest(self, purpose: str, *, is_counted: bool = False) -> bytes:
        """Return the key to sign with, 32 bytes. `refresh` comes first.

        ``is_counted``: the store counts how often what is signed was used.
        """
        return self.all(purpose, is_counted=is_counted)[0]

    def all(self, purpose: str, *, is_counted: bool = False) -> list[bytes]:
        """Return the keys whose signatures are good."""
        words = b"frontend-router:" + purpose.encode()
        if is_counted:
            words += b":" + self._store_key
        return [hmac.new(key, words, hashlib.sha256).digest() for key in self._keys]

    async def _read_file(self) -> None:
        try:
            await to_worker()
        except QueueFullError:
            # As much a matter of trying again: who answers, or shows a receipt, is told so.
            raise StoreUnavailableError("no worker is free to read the keys") from None
        try:
            found = await trio.to_thread.run_sync(
                read_if_changed, self._path, self._seen, _MOST_BYTES
            )
            if found is not None:
                self._keys = _keys_in(found[1])
                self._seen = found[0]
        except (UnreadableError, ValueError) as error:
            # Half written, perhaps: what was read before is good until it can be read again.
            if not self._keys:
                raise UnusableError(f"--mcp-key-file {self._path}: {error}") from None


def _keys_in(data: bytes) -> tuple[bytes, ...]:
    lines = [line.strip() for line in data.splitlines() if line.strip()]
    if not lines or len(lines) > _MOST_KEYS:
        raise ValueError(f"it has 1 to {_MOST_KEYS} secrets, each in a line")
    if min(map(len, lines)) < _SHORTEST:
        raise ValueError(
            f"a secret has at least {_SHORTEST} characters, as `openssl rand -hex 32` makes it"
        )
    return tuple(lines)
