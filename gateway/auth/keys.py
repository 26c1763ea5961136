"""API keys: how one looks, what is kept of it, and whose it is.

Pure module. A key is ``fr_<id>_<secret>``; only the SHA-256 of the secret is kept, which
is enough as the secret has 256 random bits. The id finds the record, the secret is
compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, final

import msgspec

from gateway.errors import CredentialError
from session.model import SCOPES, Principal

#: What tells an API key from other credentials, and a leaked one from noise.
PREFIX: Final = "fr_"
#: More are refused when one is made: all of them are in every gateway's memory.
MOST: Final = 10_000
_KEY: Final = re.compile(r"fr_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_BEGINNING: Final = re.compile(r"fr_[0-9a-f]{16}(?=_)")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# Without half characters, which cannot be written (RFC 8259 section 8.2).
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")
_REFUSED: Final = "This API key is not valid here: it is mistyped, revoked or expired."


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of an API key. Times are seconds since the epoch; 0 is never."""

    id: str
    digest: str
    tenant: str
    subject: str
    scopes: tuple[str, ...]
    created_at: float
    groups: tuple[str, ...] = ()
    expires_at: float = 0.0
    revoked_at: float = 0.0

    def problem(self) -> str:
        """Return what makes a record unusable; empty for a good one."""
        if not re.fullmatch(r"[0-9a-f]{16}", self.id):
            return "its id is not 16 hexadecimal digits"
        if not re.fullmatch(r"[0-9a-f]{64}", self.digest):
            return "its digest is not 64 hexadecimal digits"
        if not all(_NAME.fullmatch(name) for name in (self.tenant, self.subject, *self.groups)):
            return "tenant, subject and groups have 1 to 128 printable characters"
        unknown = set(self.scopes) - SCOPES
        if unknown or not self.scopes:
            return f"scopes are some of {', '.join(sorted(SCOPES))}"
        return ""


class KeysError(ValueError):
    """Records of keys that cannot be used; the message says which and why."""


# The last is for what is nested too deeply in a field that means nothing.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_read: Final = msgspec.json.Decoder(KeyRecord, strict=True).decode
_read_file: Final = msgspec.json.Decoder(list[KeyRecord], strict=True).decode


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def text_of(key_id: str, secret: str) -> str:
    """Return a key as its owner has it."""
    return f"{PREFIX}{key_id}_{secret}"


def name_of(credential: str) -> str:
    """Return what a credential calls itself, whoever made it, and nothing of what is secret."""
    found = _BEGINNING.match(credential)
    if found is not None:
        return f"key:{found[0].removeprefix(PREFIX)}"
    return "token" if _TOKEN.fullmatch(credential) else ""


def record_bytes(record: KeyRecord) -> bytes:
    """Return a record as it is kept."""
    return msgspec.json.encode(record)


def records_of(kept: Iterable[bytes]) -> list[KeyRecord]:
    """Read records.

    Raises:
        KeysError: one of them is none; then none of them counts.
    """
    try:
        return _checked([_read(data) for data in kept])
    except _UNREADABLE as error:
        raise KeysError(f"a key's record cannot be read: {error}") from None


def file_bytes(records: Iterable[KeyRecord]) -> bytes:
    """Return the file of keys, a line for each."""
    lines = b",\n".join(record_bytes(record) for record in records)
    return b"[\n%b\n]\n" % lines


def records_of_file(data: bytes) -> list[KeyRecord]:
    """Read a file of keys.

    Raises:
        KeysError: it is none.
    """
    try:
        return _checked(_read_file(data))
    except _UNREADABLE as error:
        raise KeysError(f"this is no file of keys: {error}") from None


def _checked(records: list[KeyRecord]) -> list[KeyRecord]:
    seen: set[str] = set()
    for record in records:
        problem = record.problem() or ("there are two of them" if record.id in seen else "")
        if problem:
            raise KeysError(f"the key {record.id[:16]!r} cannot be used: {problem}")
        seen.add(record.id)
    return records


@final
class KeyTable:
    """The keys that are good, by id."""

    __slots__ = ("_good",)

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self._good: Mapping[str, tuple[str, Principal]] = {
            record.id: (record.digest, _principal(record))
            for record in records
            if not record.revoked_at
        }

    def find(self, text: str, now: float) -> Principal:
        """Return whose key this is.

        Raises:
            CredentialError: nobody's, or not any more.
        """
        found = _KEY.fullmatch(text)
        if found is None:
            raise CredentialError(_REFUSED)
        key_id, secret = found.groups()
        digest, principal = self._good.get(key_id, ("", None))
        is_right = hmac.compare_digest(digest or "0" * 64, digest_of(secret))
        if principal is None or not is_right or not now < principal.expires_at:
            raise CredentialError(_REFUSED)
        return principal

    def knows(self, text: str) -> bool:
        """Whether a key of this id is among them; it need not be right."""
        found = _KEY.fullmatch(text)
        return found is None or found[1] in self._good

    def has(self, principal: Principal) -> bool:
        """Whether the key that a `Principal` came with is among them, and stands for it still.

        What was opened by a key that has other scopes now, or another owner or end, has rights
        that nobody would be given any more.
        """
        found = self._good.get(principal.credential.removeprefix("key:"))
        return found is not None and found[1] == principal

    def __len__(self) -> int:
        return len(self._good)


def _principal(record: KeyRecord) -> Principal:
    return Principal(
        record.tenant,
        record.subject,
        record.groups,
        frozenset(record.scopes),
        f"key:{record.id}",
        record.expires_at or math.inf,
    )
