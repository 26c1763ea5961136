"""``frontend-router key``: make, list and revoke API keys.

A key is shown once, when it is made; only a digest of it is kept, in a file or in the
store. Running gateways notice within seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, final

import msgspec

from gateway.auth import keys
from gateway.auth.keys import KeyRecord, KeysError
from gateway.auth.settings import IN_STORE
from gateway.clock import WallClock
from gateway.ownership import ADMIN
from gateway.setting_names import PREFIX
from gateway.terminal.operator import operator
from gateway.terminal.spans import seconds_of
from gateway.terminal.stores import StoreError, add_store_arguments, store_address
from gateway.terminal.text import plain
from session.errors import StoreUnavailableError, UnreplicatedError
from session.model import SCOPES

_FAILED: Final = 1
_EPILOG: Final = """\
Keys are kept in the file that --keys names, or in the Redis that --store names;
FRONTEND_ROUTER_AUTH_KEYS and FRONTEND_ROUTER_STORE say so as well, and
FRONTEND_ROUTER_REDIS_PASSWORD_FILE where its password is. A gateway
started with --auth-keys FILE, or --auth-keys store, accepts them.

examples:
  frontend-router key create --keys keys.json --tenant acme --subject ci --scope ask
  frontend-router key create --store redis://127.0.0.1/0 --tenant acme --subject ann --scope answer
  frontend-router key list --keys keys.json
  frontend-router key revoke 5f0c27d1a9b3e846 --keys keys.json"""
_ID: Final = re.compile(r"[0-9a-f]{16}")


class KeyCommandError(Exception):
    """The command cannot be done; the message says what to do."""


class Keyring(Protocol):
    """Where keys are kept."""

    def records(self) -> list[KeyRecord]:
        """Return every key, also those that are revoked."""

    def put(self, record: KeyRecord) -> None:
        """Write a key's record, a new one or another one of the same id.

        Raises:
            UnreplicatedError: it is written, but a failover could undo it.
        """

    def note(self, tenant: str, entry: dict[str, Any]) -> None:
        """Append an entry to the audit record of a tenant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", metavar="create | list | revoke", required=True)
    create = actions.add_parser("create", help="Make a key and print it, once.")
    create.add_argument("--tenant", required=True, help="Whose questions and frontends it is for.")
    create.add_argument("--subject", required=True, help="Who has it: a service, or a user.")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=sorted(SCOPES),
        help="Repeat for more. admin, with ask: every question of the tenant can be read and "
        "taken back, and not only one's own.",
    )
    create.add_argument("--group", action="append", default=[], help="Of a user; repeat for more.")
    create.add_argument("--expires", metavar="SPAN", default="", help="As in 12h or 90d [never].")
    listing = actions.add_parser("list", help="Show all keys, without what is secret.")
    revoke = actions.add_parser("revoke", help="End a key.")
    revoke.add_argument("id", help="As `list` shows it, or the key itself up to its second _.")
    for each in (create, listing, revoke):
        each.add_argument("--keys", metavar="FILE", help="The file that keeps them.")
        add_store_arguments(each, "that keeps them")


def main(options: argparse.Namespace) -> int:
    """Do it. Returns the exit status."""
    try:
        keyring = _keyring(options)
        if options.action == "create":
            _create(keyring, options)
        elif options.action == "list":
            _list(keyring)
        else:
            _revoke(keyring, options.id)
    except (KeyCommandError, KeysError, StoreError, StoreUnavailableError, OSError) as error:
        print(f"frontend-router: {plain(str(error))}", file=sys.stderr)
        return _FAILED
    return 0


def _create(keyring: Keyring, options: argparse.Namespace) -> None:
    now = WallClock().now()
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    record = KeyRecord(
        key_id,
        keys.digest_of(secret),
        options.tenant,
        options.subject,
        tuple(sorted(set(options.scope))),
        now,
        tuple(options.group),
        now + _span(options.expires) if options.expires else 0.0,
    )
    problem = record.problem()
    if problem:
        raise KeyCommandError(problem)
    unreplicated = _put(keyring, record)
    try:
        _note(keyring, "key_created", record, now)
    except (StoreUnavailableError, OSError) as error:
        # Nobody has seen it, so nobody can use it.
        raise KeyCommandError(
            f"the key {key_id} was made, but not recorded, so it is not shown: revoke it. {error}"
        ) from None
    print(keys.text_of(key_id, secret))
    if ADMIN in record.scopes:
        print(_of_admin(record), file=sys.stderr)
    if sys.stdout.isatty():
        print("This is the only time that it is shown.", file=sys.stderr)
    if unreplicated is not None:
        raise KeyCommandError(
            f"the key {key_id} is made and shown, but {unreplicated}; see to its replica, and "
            "after a failover look for the key in `frontend-router key list`"
        )


def _of_admin(record: KeyRecord) -> str:
    """Return what the scope `admin` is to a key."""
    if "ask" not in record.scopes:
        return "The scope admin is of no use without ask, which this key does not have."
    return f"With admin it reads and takes back every question of {plain(record.tenant)}."


def _list(keyring: Keyring) -> None:
    rows = [("ID", "TENANT", "SUBJECT", "SCOPES", "GROUPS", "MADE", "ENDS")]
    for record in sorted(keyring.records(), key=lambda each: each.created_at):
        ends = _date(record.expires_at) if record.expires_at else "never"
        if record.revoked_at:
            ends = f"revoked {_date(record.revoked_at)}"
        rows.append(
            (
                record.id,
                plain(record.tenant),
                plain(record.subject),
                ",".join(record.scopes),
                plain(",".join(record.groups)) or "-",
                _date(record.created_at),
                ends,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _revoke(keyring: Keyring, said: str) -> None:
    key_id = said.removeprefix(keys.PREFIX).partition("_")[0]
    if not _ID.fullmatch(key_id):
        # It may be what is secret of a key: it is not repeated.
        raise KeyCommandError("an id has 16 hexadecimal digits; `frontend-router key list` has all")
    for record in keyring.records():
        if record.id == key_id:
            now = WallClock().now()
            # Also one that is revoked: the last attempt may have reached no replica.
            revoked = msgspec.structs.replace(record, revoked_at=record.revoked_at or now)
            unreplicated = _put(keyring, revoked)
            problems = []
            if unreplicated is not None:
                problems.append(f"{unreplicated}; see to its replica, and run this again")
            if not record.revoked_at:
                try:
                    _note(keyring, "key_revoked", record, now)
                except (StoreUnavailableError, OSError) as error:
                    problems.append(f"that is not recorded: {error}")
            if problems:
                raise KeyCommandError(f"the key {key_id} is revoked, but {', and '.join(problems)}")
            print(f"The key {key_id} of {plain(record.subject)} is revoked.")
            return
    raise KeyCommandError(f"there is no key {key_id}; `frontend-router key list` has all")


def _put(keyring: Keyring, record: KeyRecord) -> UnreplicatedError | None:
    """Write a record; return what is to be said of one that a failover could undo."""
    try:
        keyring.put(record)
    except UnreplicatedError as error:
        return error
    return None


def _note(keyring: Keyring, kind: str, record: KeyRecord, now: float) -> None:
    entry: dict[str, Any] = {
        "at": now,
        "kind": kind,
        "subject": record.subject,
        "credential": f"key:{record.id}",
        "scopes": list(record.scopes),
        "by": operator(),
    }
    keyring.note(record.tenant, entry)


def _span(text: str) -> float:
    seconds = seconds_of(text)
    if seconds is None:
        raise KeyCommandError(f"--expires takes a number and s, m, h or d, as in 90d, not {text!r}")
    return seconds


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _keyring(options: argparse.Namespace) -> Keyring:
    """Return where keys are: what was said on the command line counts, then the environment."""
    file = options.keys
    if not file and not options.store:
        named = os.environ.get(PREFIX + "AUTH_KEYS", "")
        file = named if named != IN_STORE else ""
    if file:
        return _FileKeyring(Path(file))
    address = store_address(options)
    if address is None:
        raise KeyCommandError("say where the keys are: --keys FILE, or --store redis://...")
    # Only here: a file needs no client of Redis.
    keyring = importlib.import_module("session.redis.keyring").RedisKeyring(address)
    trail = importlib.import_module("session.redis.trail").RedisTrail(address)
    return _StoredKeyring(keyring, trail)


def _check_room(count: int) -> None:
    if count >= keys.MOST:
        raise KeyCommandError(f"there are {keys.MOST} keys already")


@final
class _StoredKeyring:
    """Keys in Redis, with the audit record beside them."""

    def __init__(self, ring: Any, trail: Any) -> None:
        self._ring = ring
        self._trail = trail

    def records(self) -> list[KeyRecord]:
        return keys.records_of(self._ring.records())

    def put(self, record: KeyRecord) -> None:
        if not self._ring.put(record.id, keys.record_bytes(record), keys.MOST):
            _check_room(keys.MOST)

    def note(self, tenant: str, entry: dict[str, Any]) -> None:
        self._trail.append(tenant, msgspec.json.encode(entry))


@final
class _FileKeyring:
    """Keys in a file, which is replaced whole: a gateway never reads half of one.

    A file beside it says who changed what, a line each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> list[KeyRecord]:
        records = self._kept()
        if records is None:
            raise KeyCommandError(
                f"there is no file {self._path}; name the one that gateways have by --auth-keys, "
                "or make a key, which makes the file"
            )
        return records

    def _kept(self) -> list[KeyRecord] | None:
        try:
            return keys.records_of_file(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyCommandError(f"{self._path} cannot be read: {error.strerror}") from None
        except KeysError as error:
            raise KeysError(f"{self._path}: {error}") from None

    def put(self, record: KeyRecord) -> None:
        with self._alone():
            records = [each for each in self._kept() or () if each.id != record.id]
            _check_room(len(records))
            fresh = self._path.with_name(f"{self._path.name}.{record.id}")
            try:
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    self._keep_readers(descriptor)
                    file.write(keys.file_bytes([*records, record]))
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(self._path)
            finally:
                fresh.unlink(missing_ok=True)

    def _keep_readers(self, descriptor: int) -> None:
        """Let those read the new file who could read the old one: a gateway may be one of them."""
        with contextlib.suppress(FileNotFoundError):
            before = self._path.stat()
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))

    def note(self, tenant: str, entry: dict[str, Any]) -> None:
        line = msgspec.json.encode({"tenant": tenant, **entry}) + b"\n"
        path = self._path.with_name(f"{self._path.name}.audit")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others who change the file from doing so at the same time."""
        folder = self._path.parent
        try:
            lock = self._path.with_name(f"{self._path.name}.lock").open("wb")
        except FileNotFoundError:
            raise KeyCommandError(
                f"there is no folder {folder}; make it, or name a file elsewhere by --keys"
            ) from None
        except OSError as error:
            raise KeyCommandError(
                f"nothing can be written into {folder} ({error.strerror}); "
                "give it to whoever runs this, or name a file elsewhere by --keys"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
