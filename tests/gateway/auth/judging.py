"""Everything that judges credentials, with files, a clock and a store of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from gateway.auth.authenticator import Authenticator
from gateway.auth.keys import KeyRecord, digest_of, file_bytes, text_of
from gateway.auth.settings import Settings
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers
from session import MemoryCredentials
from tests.gateway.auth.signing import AUDIENCE, ISSUER, NOW, jwk_set

SECRET: Final = "s" * 43


def key(letter: str) -> str:
    """Return an API key, as its owner has it."""
    return text_of(letter * 16, SECRET)


def header(credential: str) -> bytes:
    """Return what stands in a request."""
    return b"Bearer " + credential.encode()


def write_keys(path: Path, *letters: str, **more: Any) -> None:
    """Have these API keys in a file, and no others."""
    fields = {"tenant": "acme", "scopes": ("ask", "answer"), "created_at": 1.0, **more}
    records = [
        KeyRecord(id=letter * 16, digest=digest_of(SECRET), subject=letter, **fields)
        for letter in letters
    ]
    fresh = path.with_name("fresh")
    fresh.write_bytes(file_bytes(records))
    fresh.replace(path)


class Judge:
    """An authenticator, and what it judges by. ``now`` is both of its clocks."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.now = NOW
        self.keys = directory / "keys.json"
        self.jwks = directory / "jwks.json"
        write_keys(self.keys, "a")
        self.jwks.write_bytes(jwk_set("rsa"))
        fields = {
            "keys": str(self.keys),
            "jwks": str(self.jwks),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            **more,
        }
        self.settings = Settings(**fields)
        self.store = MemoryCredentials(lambda: self.now)
        self.auth = Authenticator(self.settings, self.store, lambda: self.now, lambda: self.now)
        self.failures: list[Exception] = []
        self.workers = Workers(
            WorkerSettings(), on_failure=lambda _lane, error: self.failures.append(error)
        )

    def is_ready(self) -> bool:
        """Whether the authenticator is, now; it is asked again and again."""
        return self.auth.is_ready

    async def reread(self, seconds: float = 5.0) -> None:
        """Let so much time pass, and have done what `run` does then."""
        self.now += seconds
        await self.auth._refresh(at_once=False)


@asynccontextmanager
async def judging(directory: Path, **more: Any) -> AsyncIterator[Judge]:
    """Make them; what they judge by was read once."""
    judge = Judge(directory, **more)
    async with trio.open_nursery() as nursery:
        await nursery.start(judge.workers.run)
        await judge.auth._refresh(at_once=True)
        yield judge
        nursery.cancel_scope.cancel()
    assert judge.failures == []
