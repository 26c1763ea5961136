"""``frontend-router audit``: read the audit record in the store, and redact it.

It reads what gateways wrote, entry by entry, and needs none of them to run. What it takes
out of an entry it replaces by a word that it did, and who told it to.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final

import msgspec

from gateway.audit import KINDS, TEXTS
from gateway.clock import WallClock
from gateway.recorder import iso
from gateway.terminal.operator import operator
from gateway.terminal.spans import moment_of
from gateway.terminal.stores import StoreError, add_store_arguments, store_address
from gateway.terminal.text import plain
from session.errors import StoreUnavailableError

_FAILED: Final = 1
_EPILOG: Final = """\
The record is in the Redis that --store names; FRONTEND_ROUTER_STORE says so as
well, and FRONTEND_ROUTER_REDIS_PASSWORD_FILE where its password is. Times are
UTC. Entries are shown by their times, those that --follow waits for as they
arrive.

examples:
  frontend-router audit --store redis://127.0.0.1/0 --tenant acme --since 2h
  frontend-router audit --tenant acme --question 4f1c... --json
  frontend-router audit --strangers --kind denied --follow
  frontend-router audit redact 4f1c... --tenant acme"""
_NO_STORE: Final = """\
say which Redis the record is in: --store redis://...
A gateway with --store memory:// has its record in its log, a line for each entry \
(--audit-to log): look there for lines with the event "audit"."""
# By how much the clock of a gateway may be ahead of that of Redis.
_SKEW_SECONDS: Final = 60.0

# What an entry may be about.
_NAMES: Final = ("question", "notification")

Shown = dict[str, Any]


class AuditCommandError(Exception):
    """The command cannot be done; the message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("--since", metavar="TIME", help="2026-01-31T12:00Z, or a span: 2h.")
    parser.add_argument("--until", metavar="TIME", help="As --since.")
    parser.add_argument("--subject", help="Only what this service or user did, or was shown.")
    parser.add_argument("--question", metavar="ID", help="Only what became of this question.")
    parser.add_argument(
        "--kind", action="append", default=[], choices=KINDS, help="Repeat for more."
    )
    parser.add_argument("--json", action="store_true", help="A JSON object a line.")
    parser.add_argument("--follow", action="store_true", help="Wait for more, until Ctrl-C.")
    _add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="redact ID")
    redact = actions.add_parser(
        "redact", help="Take out what was said, of a question or notification, for good."
    )
    redact.add_argument("id", help="The question's, or the notification's.")
    # What stands before the action must not be overwritten by what does not stand behind it.
    _add_places(redact, default=argparse.SUPPRESS)


def _add_places(parser: argparse.ArgumentParser, default: Any) -> None:
    add_store_arguments(parser, "it is in", default)
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--tenant", default=default, help="Whose record. [default]")
    whose.add_argument(
        "--strangers",
        action="store_true",
        default=default,
        help="Nobody's record: refusals of those who were not known.",
    )


def main(options: argparse.Namespace) -> int:
    """Do it. Returns the exit status."""
    tenant = "" if options.strangers else options.tenant or "default"
    try:
        trail = _trail(options)
        if options.action == "redact":
            _redact(trail, tenant, options.id)
        else:
            _show(trail, tenant, options)
    except (AuditCommandError, StoreError, StoreUnavailableError) as error:
        print(f"frontend-router: {plain(str(error))}", file=sys.stderr)
        return _FAILED
    return 0


def _trail(options: argparse.Namespace) -> Any:
    address = store_address(options)
    if address is None:
        raise AuditCommandError(_NO_STORE)
    # Only here: whoever asks for help needs no client of Redis.
    return importlib.import_module("session.redis.trail").RedisTrail(address)


def _show(trail: Any, tenant: str, options: argparse.Namespace) -> None:
    is_wanted, since = _filter(options)
    if not options.follow and not trail.exists(tenant):
        whose = f"the tenant {tenant!r}" if tenant else "strangers"
        raise AuditCommandError(
            f"there is no record of {whose} there; gateways with credentials write one, "
            "others with --audit-to store"
        )
    written = _as_json if options.json else _as_line
    last = "0-0"
    shown: list[Shown] = []
    for position, raw in trail.entries(tenant, max(0.0, since - _SKEW_SECONDS)):
        last = position
        shown += _read(tenant, position, raw)
    # Gateways write in batches, so what happened first may have arrived second.
    for entry in sorted(filter(is_wanted, shown), key=itemgetter("at")):
        print(written(entry))
    sys.stdout.flush()
    if options.follow:
        for position, raw in trail.follow(tenant, last):
            for entry in filter(is_wanted, _read(tenant, position, raw)):
                print(written(entry), flush=True)


def _filter(options: argparse.Namespace) -> tuple[Callable[[Shown], bool], float]:
    """Return which entries are wanted, and since when."""
    now = WallClock().now()
    since = _moment("--since", options.since, now) if options.since else 0.0
    until = _moment("--until", options.until, now) if options.until else None
    kinds = frozenset(options.kind or KINDS)
    subject, question = options.subject, options.question

    def is_wanted(entry: Shown) -> bool:
        return (
            entry["at"] >= since
            and (until is None or entry["at"] <= until)
            and entry["kind"] in kinds
            and (subject is None or entry.get("subject") == subject)
            and (question is None or entry.get("question") == question)
        )

    return is_wanted, since


def _moment(flag: str, text: str, now: float) -> float:
    moment = moment_of(text, now)
    if moment is None:
        raise AuditCommandError(
            f"{flag} takes a time as in 2026-01-31T12:00Z, or a span as in 2h, not {text!r}"
        )
    return moment


def _read(tenant: str, position: str, raw: bytes) -> Iterator[Shown]:
    """Read an entry; what another version wrote and cannot be read is passed over."""
    try:
        entry = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        return
    if isinstance(entry.get("at"), int | float) and isinstance(entry.get("kind"), str):
        yield {**entry, "tenant": tenant, "position": position}


def _as_json(entry: Shown) -> str:
    # Nothing but ASCII: it may be a terminal that shows it.
    return json.dumps({**entry, "at": iso(entry["at"])})


def _as_line(entry: Shown) -> str:
    rest = {
        name: value
        for name, value in entry.items()
        if name not in ("at", "kind", "tenant", "position", "subject")
    }
    who = plain(entry.get("subject", "-"))
    words = (f"{name}={_word(value)}" for name, value in rest.items())
    return f"{iso(entry['at'])}  {entry['kind']:<11}  {who:<16}  {' '.join(words)}"


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text or any(character in text for character in ' "\n\t='):
        text = json.dumps(value, ensure_ascii=False)
    return plain(text)


def _redact(trail: Any, tenant: str, redacted_id: str) -> None:
    names, found, count = set[str](), 0, 0
    for position, raw in trail.entries(tenant):
        for entry in _read(tenant, position, raw):
            named = [name for name in _NAMES if entry.get(name) == redacted_id]
            names.update(named)
            found += bool(named)
            if named and not entry.keys().isdisjoint(TEXTS):
                count += trail.replace(tenant, position, _without_texts(raw))
    if not found:
        raise AuditCommandError(f"there is no entry about {redacted_id[:64]!r} in this record")
    if not count:
        print("No entry about it quotes anybody: nothing is to be taken out.")
        return
    entry = {
        "at": WallClock().now(),
        "kind": "redacted",
        **dict.fromkeys(names, redacted_id),
        "count": count,
        "by": operator(),
    }
    trail.append(tenant, msgspec.json.encode(entry))
    print(f"What was said is taken out of {count} {'entry' if count == 1 else 'entries'}.")


def _without_texts(raw: bytes) -> bytes:
    entry = msgspec.json.decode(raw, type=dict[str, Any])
    kept = {name: value for name, value in entry.items() if name not in TEXTS}
    return msgspec.json.encode(kept | {"redacted": True})
